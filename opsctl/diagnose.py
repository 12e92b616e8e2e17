"""Snapshot to diagnosis: judge, rank, walk the tree, count what was seen. Pure but for shipped files."""

from __future__ import annotations

import functools
import time
from typing import TYPE_CHECKING

import msgspec

from opsctl import causes as ranking
from opsctl import without_systemd
from opsctl.checks import checks_for
from opsctl.corroborate import with_the_proxys_reason
from opsctl.explanations import Explanations
from opsctl.flows import walk
from opsctl.judge import is_down, judge
from opsctl.model import Coverage, Diagnosis, Finding, Snapshot, Status, worst
from opsctl.places import files_of_services
from opsctl.runbooks import all_runbooks, load_flow
from opsctl.watching import observed
from opsctl.wiring import asked_through, passes_to

if TYPE_CHECKING:
    from opsctl.checks.base import Role


def diagnose(snapshot: Snapshot) -> Diagnosis:
    """Return the diagnosis of a snapshot, live or saved.

    Raises:
        UserError: the stack names a flow that does not exist.
    """
    began = time.monotonic()
    findings = judge(snapshot)
    through = asked_through(snapshot)
    if any(finding.status.failing for finding in findings):
        findings = with_the_proxys_reason(findings, snapshot, through)
        explanations = Explanations(
            snapshot.stack.services,
            {reading.target.id: reading.target for reading in snapshot.readings},
            all_runbooks(),
            passes_to(snapshot),
            (item.subject for item in findings if item.kind == "host" and item.subject.startswith("/")),
            through,
            findings,
            observed(snapshot),
            files=files_of_services(snapshot),
        )
        causes = ranking.rank(findings, explanations, role_of, is_down)
    else:
        causes = ranking.Causes()
    diagnosis = Diagnosis(
        stack=snapshot.stack.name,
        taken_at=snapshot.taken_at,
        duration_seconds=0,
        status=overall(findings),
        root_causes=tuple(causes.proven),
        unproven=tuple(causes.unproven),
        also=tuple(causes.also),
        candidates=tuple(causes.candidates),
        path=tuple(walk(snapshot.stack.flow, findings, load_flow, through)),
        findings=tuple(sorted(findings, key=lambda item: item.status.rank)),
        ruled_out=tuple(causes.ruled_out),
        coverage=coverage(findings),
        guessed=tuple(name for name, service in snapshot.stack.services.items() if service.guessed),
    )
    if without_systemd.applies(snapshot.stack):
        diagnosis = without_systemd.without_systemd(diagnosis)
    seconds = snapshot.duration_seconds + time.monotonic() - began
    return msgspec.structs.replace(diagnosis, duration_seconds=round(seconds, 3))


@functools.cache
def role_of(slug: str) -> Role:
    """Return whether a check names causes, symptoms or risks."""
    return next(check.role for check in checks_for(slug.partition("/")[0]) if check.slug == slug)


def overall(findings: list[Finding]) -> Status:
    """Return the worst status; with nothing failing, `unknown` where a whole target was not seen.

    A single check that could not look is counted by `coverage` and does not hide what was seen.
    """
    failing = worst(finding.status for finding in findings if finding.status.failing)
    if failing is not Status.OK:
        return failing
    seen = {finding.target_id for finding in findings if finding.status is Status.OK}
    unseen = {finding.target_id for finding in findings if finding.status is Status.UNKNOWN} - seen
    return Status.UNKNOWN if unseen or not seen else Status.OK


def coverage(findings: list[Finding]) -> Coverage:
    """Count (check, target) pairs by what became of them, and list what would raise the count."""
    pairs: dict[tuple[str, str], Status] = {}
    for finding in findings:
        key = (finding.id, finding.target_id)
        pairs[key] = worst([pairs[key], finding.status]) if key in pairs else finding.status
    hints = dict.fromkeys(
        f"{finding.hint} ({finding.summary}; {finding.target})"
        for finding in findings
        if finding.status is Status.UNKNOWN and finding.hint
    )
    return Coverage(
        checks=len(pairs),
        ran=sum(1 for status in pairs.values() if status not in (Status.UNKNOWN, Status.BLOCKED)),
        blocked=sum(1 for status in pairs.values() if status is Status.BLOCKED),
        unknown=sum(1 for status in pairs.values() if status is Status.UNKNOWN),
        hints=tuple(hints),
    )
