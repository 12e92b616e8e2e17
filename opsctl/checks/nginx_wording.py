"""What the checks of nginx share: the evidence of a log, and the commands that show it."""

from __future__ import annotations

from shlex import quote
from typing import TYPE_CHECKING

from opsctl.checks.wording import count_text
from opsctl.model import Evidence

if TYPE_CHECKING:
    from opsctl.checks.base import CheckContext
    from opsctl.facts.nginx import LogErrors, NginxFacts, Refusal

CURRENT_SECONDS = 20.0
"""A log line without a later success counts as current for this long where successes prove nothing."""


def age(context: CheckContext, errors: LogErrors) -> float:
    """Return how many seconds ago the last of the lines was written."""
    return max(context.at.timestamp() - (errors.last_at or 0.0), 0.0)


def log_row(errors: LogErrors, facts: NginxFacts) -> list[Evidence]:
    """Return lines of the error log as evidence; none where there are none."""
    if not errors.count:
        return []
    return [
        Evidence(
            text=f"{count_text(errors.count, 'line')} in the last minute, for one: {errors.example}",
            value=errors.count,
            unit="lines",
            source=error_log(facts),
        )
    ]


def error_log(facts: NginxFacts) -> str:
    """Return the command that shows the end of the error log."""
    path = next((item.path for item in facts.logs if "error" in item.path), "/var/log/nginx/error.log")
    return f"tail -n 50 {quote(path)}"


def access_log(facts: NginxFacts) -> str:
    """Return the command that shows the end of the access log."""
    path = next((item.path for item in facts.logs if "access" in item.path), "/var/log/nginx/access.log")
    return f"tail -n 200 {quote(path)}"


def refusal_row(facts: NginxFacts, refusal: Refusal) -> Evidence:
    """Return what nginx itself says of a page that it would not serve."""
    return Evidence(
        text=f"nginx says of {refusal.path}: {refusal.reason}",
        value=refusal.status,
        source=error_log(facts),
    )


def refusal_rows(facts: NginxFacts, path: str) -> list[Evidence]:
    """Return what nginx says of pages whose file is, or lies below, a path."""
    below = path.rstrip("/") + "/"
    return [
        refusal_row(facts, item)
        for item in facts.refusals
        if item.file.rstrip("/") == path.rstrip("/") or item.file.startswith(below)
    ][:3]
