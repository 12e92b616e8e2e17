"""Named SQL queries of the stack file against the limits written beside them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from opsctl.checks.base import CheckContext, Limits, NotObserved, check

if TYPE_CHECKING:
    from collections.abc import Iterator

    from opsctl.facts.data import DataFacts
    from opsctl.model import Finding


@check("data/threshold", needs="the service's PostgreSQL", role="symptom")
def threshold(facts: DataFacts, context: CheckContext) -> Iterator[Finding]:
    """A number that the business watches is beyond its limit: orders, queues, waiting notifications."""
    if not facts.measurements:
        raise NotObserved("the query was not run")
    for item in facts.measurements:
        context.need_part(facts, item.name)
        value = context.need(item.value, f"{item.name}: the query returned no number")
        warning = context.limits.warning if item.warning is None else item.warning
        critical = context.limits.critical if item.critical is None else item.critical
        limits = Limits(warning, critical, facts.unit, item.below)
        status = limits.status(value)
        limit = limits.limit_for(status)
        unit = f" {facts.unit}" if facts.unit else ""
        side = "at most" if not item.below else "at least"
        wanted = f"; it should be {side} {limit:g}" if status.failing and limit is not None else ""
        yield context.finding(
            status,
            f"{item.name} is {value:g}{unit}{wanted}",
            subject=item.name,
            value=value,
            threshold=limit,
            unit=facts.unit,
            source=facts.query,
            fix=facts.help
            or "See who fills or empties it: the worker, the bot, the job that should have run.",
        )
