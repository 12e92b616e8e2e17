"""The catalogue: every check with what it needs, its limits, and who explains whom."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from opsctl.checks import all_checks, find_check
from opsctl.runbooks import all_runbooks, effect

if TYPE_CHECKING:
    from opsctl.checks.base import Check


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One check as the catalogue shows it."""

    id: str
    summary: str
    description: str
    role: str
    reachability: bool
    needs: str
    permission: str = ""
    warning: float | None = None
    critical: float | None = None
    unit: str = ""
    below: bool = False
    limits_source: str = ""
    severity: str = ""
    flow: str = ""
    runbook: str = ""
    explains: dict[str, list[str]] = {}
    explained_by: list[str] = []

    @property
    def kind(self) -> str:
        """The first half of the slug."""
        return self.id.partition("/")[0]


def entries() -> list[Entry]:
    """Return every check of the catalogue, in reading order."""
    return [_entry(check) for check in all_checks()]


def entry(slug: str) -> Entry:
    """Return one check of the catalogue.

    Raises:
        UserError: there is none of that slug; suggests the nearest.
    """
    return _entry(find_check(slug))


def _entry(check: Check) -> Entry:
    runbooks = all_runbooks()
    book = runbooks.get(check.slug)
    limits = check.limits
    explains = {} if book is None else msgspec.to_builtins(book.explains)
    return Entry(
        id=check.slug,
        summary=check.summary,
        description=check.description,
        role=check.role,
        reachability=check.reachability,
        needs=check.needs,
        permission=check.permission,
        warning=limits.warning if limits else None,
        critical=limits.critical if limits else None,
        unit=limits.unit if limits else "",
        below=limits.below if limits else False,
        limits_source=limits.source if limits else "",
        severity=book.severity if book else "",
        flow=book.flow if book else "",
        runbook=f"runbooks/{check.slug}.md" if book else "",
        explains={where: patterns for where, patterns in explains.items() if patterns},
        explained_by=[
            slug
            for slug, other in runbooks.items()
            if slug != check.slug
            and any(
                effect(pattern).names(check.slug)
                for patterns in msgspec.to_builtins(other.explains).values()
                for pattern in patterns
            )
        ],
    )
