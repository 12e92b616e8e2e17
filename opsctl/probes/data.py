"""Runs the named SQL queries of a service: read-only, bounded in time, over one connection.

All queries of a service share one run and one connection, however many there are: near the
limit of connections a second one would be one too many. Metrics keep it between looks.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from opsctl.facts.base import FactProblem
from opsctl.facts.data import DataFacts, Measurement
from opsctl.probes.base import ProbeError
from opsctl.probes.postgres_connection import Unreachable, connect, parameters, problem_of
from opsctl.probes.postgres_kept import kept_asker
from opsctl.probes.postgres_parsing import without_literals
from opsctl.probes.remembering import for_metrics
from opsctl.stack.specs import DataSpec

if TYPE_CHECKING:
    from opsctl.probes.base import ProbeContext
    from opsctl.probes.postgres_connection import Asker

QUERY_SECONDS = 1.0
"""One query may take this long; a number that takes longer does not belong on a dashboard."""


@dataclass(frozen=True)
class Outcome:
    """What one query returned, or why it returned nothing."""

    value: float | None = None
    seconds: float = 0.0
    problem: FactProblem | None = None


def probe(context: ProbeContext) -> DataFacts:
    """Return the number that one named query gives.

    Raises:
        ProbeError: the database could not be reached.
    """
    spec = context.spec
    assert isinstance(spec, DataSpec)
    service = context.target.service
    outcome = context.shared.once(("data", service), lambda: _run_all(context))[spec.name]
    measurement = Measurement(
        name=spec.name,
        value=outcome.value,
        warning=spec.warning,
        critical=spec.critical,
        below=spec.below,
        seconds=outcome.seconds,
    )
    return DataFacts(
        measurements=[measurement],
        unit=spec.unit,
        help=spec.help[:300],
        query=without_literals(spec.query),
        problems=[outcome.problem] if outcome.problem else [],
    )


def _run_all(context: ProbeContext) -> dict[str, Outcome]:
    if not context.service.postgres:
        raise ProbeError("missing", "the service has no postgres to ask", "add `postgres:` to the service")
    values = parameters(context, context.service.postgres[0])
    try:
        if for_metrics(context):
            asker = kept_asker(context, values, _store(context))
        else:
            asker = connect(context, values)
    except Unreachable as unreachable:
        connection = unreachable.connection
        state = "timeout" if connection.state == "timeout" else "refused"
        raise ProbeError(
            state, f"no connection to the database: {connection.detail or connection.state}"
        ) from None
    try:
        return {spec.name: _run(asker, spec) for spec in context.service.data}
    finally:
        asker.close()


_stores: dict[tuple[str, str, str], dict[str, Any]] = {}


def _store(context: ProbeContext) -> dict[str, Any]:
    """Return where the connection of a service's queries is between looks.

    What a target keeps is of no use here: whichever query of a service comes first runs them all.
    """
    return _stores.setdefault((str(context.stack.directory), context.stack.name, context.target.service), {})


def _run(asker: Asker, spec: DataSpec) -> Outcome:
    import psycopg

    began = time.monotonic()
    try:
        return Outcome(number(asker.single(spec.query, QUERY_SECONDS)), time.monotonic() - began)
    except (psycopg.Error, OSError, ValueError) as error:
        if isinstance(error, ValueError):
            problem = FactProblem(part=spec.name, code="unsupported", message=f"{spec.name}: {error}")
        else:
            problem = problem_of(spec.name, error)
        return Outcome(seconds=time.monotonic() - began, problem=problem)


def number(rows: list[tuple[Any, ...]]) -> float:
    """Return the one number that a query must give. Pure.

    Raises:
        ValueError: it gave something else.
    """
    if len(rows) != 1 or len(rows[0]) != 1:
        shape = f"{len(rows)} rows" if len(rows) != 1 else f"{len(rows[0])} columns"
        raise ValueError(f"the query must return one number, it returned {shape}")
    value = rows[0][0]
    if isinstance(value, (bool, int, float, Decimal)):
        return float(value)
    if value is None:
        raise ValueError("the query returned null; use coalesce(…, 0)")
    raise ValueError(f"the query must return a number, it returned {type(value).__name__}")
