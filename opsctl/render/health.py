"""A health report as text: a table of services, every finding, the worst one last."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from opsctl.model import Status
from opsctl.render.page import Page
from opsctl.render.plain import SCHEMA, finding_plain, moment
from opsctl.render.text import coverage_lines, finding_line

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from opsctl.health import Health, ServiceHealth
    from opsctl.model import Finding

MOST_UNSEEN = 6


def render(
    health: Health,
    output: str,
    color: bool = False,
    width: int | None = None,
    causes: Sequence[tuple[str, str, str]] = (),
) -> str:
    """Return the report in a format: text, json, yaml, markdown, junit or nagios.

    Args:
        health: what to show.
        output: the format.
        color: whether text may hold colour codes.
        width: columns of text; the terminal's by default, 80 without one.
        causes: keys of the root causes, which the one line of nagios has first.
    """
    if output == "text":
        return health_text(health, color, width)
    if output == "markdown":
        from opsctl.render.markdown import health_markdown

        return health_markdown(health)
    if output == "nagios":
        from opsctl.render.nagios import health_nagios

        return health_nagios(health, causes)
    from opsctl.render.diagnosis import data

    return data(health_plain(health), output)


def health_plain(health: Health) -> dict[str, Any]:
    """Return a health report as dicts and lists; fields are only ever added."""
    import msgspec

    return {
        "schema": SCHEMA,
        "stack": health.stack,
        "taken_at": moment(health.taken_at),
        "duration_seconds": health.duration_seconds,
        "status": health.status.value,
        "services": [
            {
                "name": item.name,
                "status": item.status.value,
                "coverage": msgspec.to_builtins(item.coverage),
            }
            for item in health.services
        ],
        "findings": [finding_plain(finding) for finding in health.findings],
        "coverage": msgspec.to_builtins(health.coverage),
    }


def health_text(health: Health, color: bool = False, width: int | None = None) -> str:
    """Return the report for people."""
    page = Page(width, color)
    page.status_line(
        health.status,
        f"{health.stack}, {health.taken_at:%Y-%m-%d %H:%M:%S} UTC, {health.duration_seconds:.2f} s",
    )
    page.gap()
    page.table(
        ("SERVICE", "STATUS", "CHECKS", "WHAT"),
        [
            (item.name, item.status.value, f"{item.coverage.ran}/{item.coverage.checks}", _what(item))
            for item in health.services
        ],
        wrap=(3,),
    )
    unseen = [item for item in health.findings if item.status in (Status.UNKNOWN, Status.BLOCKED)]
    if unseen:
        page.heading("Not seen")
        _unseen(page, unseen)
    failing = [item for item in health.findings if item.status.failing]
    if failing:
        page.heading("Findings")
        for finding in failing:
            finding_line(page, finding)
    coverage_lines(page, health.coverage)
    page.gap()
    page.status_line(health.status, health.words)
    return page.text()


def _what(service: ServiceHealth) -> str:
    """Return what a service's row says: its worst findings by name, or how much was not seen."""
    failing = [item.id for item in reversed(service.findings) if item.status.failing]
    if failing:
        names = list(dict.fromkeys(failing))
        return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
    seen = service.coverage
    parts = []
    if seen.blocked:
        parts.append(f"{seen.blocked} blocked")
    if seen.unknown:
        parts.append(f"{seen.unknown} not seen")
    return ", ".join(parts)


def _unseen(page: Page, findings: Iterable[Finding]) -> None:
    """Show what could not be seen, grouped by the reason: twenty checks, one line."""
    groups: dict[tuple[str, Status, str], list[str]] = {}
    for item in findings:
        groups.setdefault((item.target, item.status, item.summary), []).append(item.id)
    rows = list(groups.items())
    for (target, status, why), slugs in rows[:MOST_UNSEEN]:
        name = slugs[0] if len(slugs) == 1 else f"{len(slugs)} checks"
        page.status_line(status, f"{name} on {target}: {why}", "  ")
    if len(rows) > MOST_UNSEEN:
        page.line(f"  and {len(rows) - MOST_UNSEEN} more reasons; --output json lists all")
