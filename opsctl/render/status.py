"""Containers and units in one table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from opsctl.checks.wording import bytes_text, seconds_text
from opsctl.health import count
from opsctl.render.page import Page, columns
from opsctl.render.plain import SCHEMA, moment

if TYPE_CHECKING:
    from collections.abc import Sequence

    from opsctl.model import Snapshot, Status
    from opsctl.status import Row

HEADERS = ("NAME", "STATE", "HEALTH", "SINCE", "RESTARTS", "MEMORY", "IMAGE OR UNIT FILE")
SHORTEST = 12


def render(
    snapshot: Snapshot,
    rows: Sequence[Row],
    status: Status,
    output: str,
    color: bool = False,
    width: int | None = None,
) -> str:
    """Return the rows in a format: text, json, yaml or markdown."""
    if output in ("json", "yaml"):
        from opsctl.render.diagnosis import data

        return data(_plain(snapshot, rows, status), output)
    now = snapshot.taken_at.timestamp()
    cells = [_cells(row, now) for row in rows]
    if output == "markdown":
        from opsctl.render.markdown import inline, table

        return table(HEADERS, [[inline(cell) for cell in row] for row in cells]) + "\n"
    page = Page(width, color)
    used = [index for index in range(len(HEADERS)) if any(row[index] for row in cells) or index < 2]
    headers = [HEADERS[index] for index in used]
    cells = [[row[index] for index in used] for row in cells]
    page.table(headers, _fitted(headers, cells, page.width))
    problems: dict[str, list[str]] = {}
    for row in rows:
        if row.problem:
            problems.setdefault(row.problem, []).append(row.name)
    if problems:
        page.gap()
    for problem, concerned in problems.items():
        who = concerned[0] if len(concerned) == 1 else f"{len(concerned)} of them"
        page.wrapped(f"  {who}: ", problem, "    ")
    page.gap()
    page.status_line(status, _words(rows))
    return page.text()


def _words(rows: Sequence[Row]) -> str:
    if not rows:
        return "this stack names no container and no unit"
    bad = [row for row in rows if not row.well]
    if not bad:
        kinds = {row.kind: sum(1 for other in rows if other.kind == row.kind) for row in rows}
        nouns = {"container": "container", "systemd": "unit"}
        said = " and ".join(count(number, nouns[kind]) for kind, number in kinds.items())
        return f"{said}, nothing amiss"
    if all(row.state == "unknown" for row in bad):
        return f"the state of {len(bad)} of {len(rows)} is not known"
    names = ", ".join(f"{row.name} {row.health or row.state}" for row in bad[:4])
    more = f" and {len(bad) - 4} more" if len(bad) > 4 else ""
    return f"{len(bad)} of {len(rows)} not well: {names}{more}"


def _cells(row: Row, now: float) -> list[str]:
    memory = "" if row.memory_bytes is None else bytes_text(row.memory_bytes)
    if memory and row.memory_limit_bytes:
        memory += f" / {bytes_text(row.memory_limit_bytes)}"
    return [
        row.name,
        row.state,
        row.health,
        "" if row.since is None else seconds_text(max(now - row.since, 0)),
        "" if row.restarts is None else str(row.restarts),
        memory,
        row.runs,
    ]


def _fitted(headers: Sequence[str], cells: list[list[str]], width: int) -> list[list[str]]:
    """Shorten the last column from its left where the table would be too wide."""
    if not cells:
        return cells
    others = sum(
        max(columns(headers[index]), *(columns(row[index]) for row in cells)) + 2
        for index in range(len(headers) - 1)
    )
    left = max(width - others, SHORTEST, columns(headers[-1]))
    return [
        [*row[:-1], row[-1] if columns(row[-1]) <= left else f"…{row[-1][-(left - 1) :]}"] for row in cells
    ]


def _plain(snapshot: Snapshot, rows: Sequence[Row], status: Status) -> dict[str, Any]:
    from datetime import UTC, datetime

    import msgspec

    items = []
    for row in rows:
        plain = msgspec.to_builtins(row)
        plain["since"] = None if row.since is None else moment(datetime.fromtimestamp(row.since, UTC))
        items.append(plain)
    return {
        "schema": SCHEMA,
        "stack": snapshot.stack.name,
        "taken_at": moment(snapshot.taken_at),
        "status": status.value,
        "rows": items,
    }
