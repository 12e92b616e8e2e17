"""Snapshot to a health report: every finding, and one line a service. Pure."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

import msgspec

from opsctl.diagnose import coverage, overall
from opsctl.judge import judge
from opsctl.model import HOST_SERVICE, Coverage, Finding, Snapshot, Status

if TYPE_CHECKING:
    from collections.abc import Iterable


class ServiceHealth(msgspec.Struct, frozen=True, kw_only=True):
    """One service: its status, how much of it was seen, and its findings, worst last."""

    name: str
    status: Status
    coverage: Coverage
    findings: tuple[Finding, ...] = ()


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """What `opsctl health` reports; findings are those that are failing or unseen, worst last."""

    stack: str
    taken_at: datetime
    duration_seconds: float
    status: Status
    services: tuple[ServiceHealth, ...]
    findings: tuple[Finding, ...]
    coverage: Coverage

    @property
    def words(self) -> str:
        """The report in one sentence."""
        failing = [finding for finding in self.findings if finding.status.failing]
        total = sum(1 for item in self.services if item.name != HOST_SERVICE)
        if failing:
            targets = {finding.target for finding in failing}
            hit = len(targets - {HOST_SERVICE})
            places = [f"{hit} of {count(total, 'service')}"] if hit else []
            places += ["the host"] if HOST_SERVICE in targets else []
            return (
                f"{count(len(failing), 'finding')} on {' and '.join(places)}; "
                "`opsctl diagnose` names the cause"
            )
        if self.status is Status.OK:
            host = " and the host" if total and total < len(self.services) else ""
            what = f"{count(total, 'service')}{host}" if total else "the host"
            return f"{what} healthy; {self.coverage.ran} checks ran"
        return "nothing wrong was seen, but not everything could be looked at"


def count(number: int, noun: str) -> str:
    """Return "1 service", "2 services"."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def health(snapshot: Snapshot) -> Health:
    """Return the health report of a snapshot."""
    findings = judge(snapshot)
    order = [HOST_SERVICE, *snapshot.stack.services]
    by_service: dict[str, list[Finding]] = {name: [] for name in order}
    for finding in findings:
        by_service.setdefault(finding.target, []).append(finding)
    return Health(
        stack=snapshot.stack.name,
        taken_at=snapshot.taken_at,
        duration_seconds=snapshot.duration_seconds,
        status=overall(findings),
        services=tuple(_service(name, items) for name, items in by_service.items() if items),
        findings=_noteworthy(findings),
        coverage=coverage(findings),
    )


def _service(name: str, findings: list[Finding]) -> ServiceHealth:
    return ServiceHealth(
        name=name, status=overall(findings), coverage=coverage(findings), findings=_noteworthy(findings)
    )


def _noteworthy(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    kept = [finding for finding in findings if finding.status is not Status.OK]
    return tuple(sorted(kept, key=lambda finding: finding.status.rank))
