"""What a PostgreSQL did lately: counters of two samples compared, taken only where there is reason to.

`diagnose` waits a moment for the second sample. Where looks follow each other the first one is that
of an earlier look, and nobody waits.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import msgspec

from opsctl.facts.postgres_settings import Window
from opsctl.probes import postgres_parsing as parsing
from opsctl.probes import postgres_queries as queries
from opsctl.probes.remembering import earlier

if TYPE_CHECKING:
    from collections.abc import Callable

    from opsctl.probes.base import ProbeContext
    from opsctl.probes.postgres_connection import Asker

Row = dict[str, Any]

WINDOW_SECONDS = 1.2
"""Backends hand in their counters about once a second; a shorter window would miss them."""
_KEPT = ("databases", "checkpoints_requested", "wal_position")


def second_sample(
    asker: Asker,
    values: Row,
    reasons: set[str],
    first_at: float,
    again: Callable[[], list[Row]],
    context: ProbeContext,
) -> list[Row]:
    """Wait, look at the counters once more, and add the window to the values.

    Args:
        asker: connected.
        values: the fields of `PostgresFacts` as first read; changed in place.
        reasons: which counters are worth it; none, and nothing is done.
        first_at: when the first sample was taken (monotonic).
        again: asks for the statements once more.
        context: how long it may take.

    Returns:
        The statements of the second sample, where they were among the reasons.
    """
    if not reasons or not asker.alive or context.left <= WINDOW_SECONDS + 0.4:
        return []
    time.sleep(max(0.0, WINDOW_SECONDS - (time.monotonic() - first_at)))
    seconds = time.monotonic() - first_at
    databases = asker.ask("second sample", queries.databases())
    rows = asker.ask("second sample", queries.window(values["version_number"]))
    if rows:
        values["window"] = _window(values, {**rows[0], "databases": databases}, seconds)
    return again() if "statements" in reasons else []


def since_the_last_look(
    context: ProbeContext, values: Row, reasons: set[str], statements: list[Row]
) -> tuple[list[Row], list[Row]]:
    """Add the window since an earlier look to the values, where there is reason for one.

    Args:
        context: with what earlier looks remember.
        values: the fields of `PostgresFacts`; changed in place.
        reasons: which counters are worth it.
        statements: as they are now.

    Returns:
        The statements of the first and of the second sample.
    """
    sample: Row = {name: values.get(name) for name in _KEPT} | {"statements": statements}
    found = earlier(context, "counters", sample, WINDOW_SECONDS)
    if found is None or not reasons:
        return statements, []
    seconds, first = found
    rows = [msgspec.structs.asdict(database) for database in values.get("databases") or []]
    values["window"] = _window(first, {**sample, "databases": rows}, seconds)
    return (first["statements"], statements) if "statements" in reasons else (statements, [])


def _window(first: Row, second: Row, seconds: float) -> Window:
    def change(field: str) -> int | None:
        before, after = first.get(field), second.get(field)
        return None if before is None or after is None else max(int(after) - int(before), 0)

    return Window(
        seconds=seconds,
        **parsing.database_changes(first.get("databases") or [], second["databases"]),
        checkpoints_requested=change("checkpoints_requested"),
        wal_bytes=change("wal_position"),
    )
