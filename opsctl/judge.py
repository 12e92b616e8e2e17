"""Snapshot to findings: run every check, and say `unknown` or `blocked` where none could look."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import msgspec

from opsctl.checks import checks_for
from opsctl.checks.base import Check, CheckContext, Limits, NotObserved
from opsctl.model import HOST_SERVICE, Finding, Reading, ServiceSummary, Snapshot, StackSummary, Status

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


def judge(snapshot: Snapshot, slugs: Iterable[str] | None = None) -> list[Finding]:
    """Return the findings of every (check, target) pair, worst last; none is left out.

    Args:
        snapshot: the facts.
        slugs: only these checks; all by default. Reachability checks always run, since the
            others lean on them; their findings are returned only if asked for.
    """
    wanted = None if slugs is None else set(slugs)
    findings: list[Finding] = []
    for reading in snapshot.readings:
        found = _of_reading(reading, snapshot.stack)
        findings.extend(_without_permission(reading, found))
    findings = _with_blocked_parents(findings, snapshot)
    if wanted is not None:
        findings = [finding for finding in findings if finding.id in wanted]
    return findings


def limits_in_force(check: Check, stack: StackSummary) -> Limits:
    """Return a check's limits with the stack file's thresholds applied."""
    limits = check.limits or Limits()
    own = stack.thresholds.get(check.slug, {})
    return dataclasses.replace(
        limits,
        warning=own.get("warning", limits.warning),
        critical=own.get("critical", limits.critical),
    )


def _of_reading(reading: Reading, stack: StackSummary) -> list[Finding]:
    checks = checks_for(reading.target.kind)
    if reading.facts is None:
        return [_not_read(check, reading) for check in checks]
    results: list[Finding] = []
    down: Finding | None = None
    for check in sorted(checks, key=lambda item: not item.reachability):
        if not reading.facts.up and not check.reachability:
            results.append(_blocked(check, reading, down))
            continue
        found = _run(check, reading, stack)
        results.extend(found)
        if check.reachability and down is None:
            down = next((finding for finding in found if finding.status is Status.CRITICAL), None)
    return results


def _run(check: Check, reading: Reading, stack: StackSummary) -> list[Finding]:
    runs = stack.services.get(reading.target.service, ServiceSummary())
    context = CheckContext(check, reading.target, limits_in_force(check, stack), reading.taken_at, runs)
    found: list[Finding] = []
    try:
        # one by one: what was said of the first subject stands, whatever happens at the second
        for finding in check.function(reading.facts, context):
            found.append(finding)
    except NotObserved as missing:
        found.append(context.finding(Status.UNKNOWN, missing.reason, hint=missing.hint))
    except Exception as error:  # noqa: BLE001 - a broken check is itself a finding, never silence
        words = f"the check crashed: {type(error).__name__}: {error}"[:300]
        found.append(context.finding(Status.UNKNOWN, words, hint="report it with `opsctl snapshot -o FILE`"))
    return found


def _without_permission(reading: Reading, findings: list[Finding]) -> list[Finding]:
    """Take back every `ok` and `blocked` of a target that we were not allowed to talk to."""
    connection = getattr(reading.facts, "connection", None)
    if getattr(connection, "state", "") != "no-permission":
        return findings
    return [
        finding
        if finding.status.failing or finding.status is Status.UNKNOWN
        else msgspec.structs.replace(
            finding,
            status=Status.UNKNOWN,
            summary=f"no permission: {getattr(connection, 'detail', '') or reading.target.address}",
            hint=finding.hint or "run as root, or as a user who may connect",
            parent="",
        )
        for finding in findings
    ]


def _not_read(check: Check, reading: Reading) -> Finding:
    problem = reading.problem
    context = CheckContext(check, reading.target, Limits(), reading.taken_at)
    if problem is None:
        return context.finding(Status.UNKNOWN, "nothing was read")
    finding = context.finding(Status.UNKNOWN, problem.message, hint=problem.hint)
    return msgspec.structs.replace(finding, parent=problem.parent)


def _blocked(check: Check, reading: Reading, down: Finding | None) -> Finding:
    context = CheckContext(check, reading.target, Limits(), reading.taken_at)
    parent = down.id if down else f"{reading.target.kind} is not up"
    finding = context.finding(Status.BLOCKED, f"not asked: {parent} on {reading.target.service}")
    return msgspec.structs.replace(finding, parent=f"{parent}:{reading.target.service}")


def is_down(finding: Finding) -> bool:
    """True where a finding may mean that its target does not work at all, not merely badly."""
    return finding.status is Status.CRITICAL and _check(finding.id).reachability


def _check(slug: str) -> Check:
    return next(check for check in checks_for(slug.partition("/")[0]) if check.slug == slug)


NOT_SERVING = frozenset(("config", "logs", "data", "network", "host", "static"))
"""Kinds that nobody connects to: that one of them is not there silences no other target."""
HUNG = frozenset(("timeout", "refused"))
"""Problems of a target that a dead parent accounts for. A missing right is never one of them."""


def _with_blocked_parents(findings: list[Finding], snapshot: Snapshot) -> list[Finding]:
    """Turn `unknown` into `blocked` where the reason is a parent that is down.

    That is: where the probe named the parent's kind, or where it hung or was refused below a
    service that is down by a cause of its own. What a missing right hides stays `unknown`.
    """
    readings = {reading.target.id: reading for reading in snapshot.readings}
    dead = [
        finding
        for finding in findings
        if is_down(finding)
        and (facts := readings[finding.target_id].facts) is not None
        and not facts.up
        and finding.kind not in NOT_SERVING
    ]
    kinds = {finding.kind: finding for finding in dead}
    down: dict[str, Finding] = {}
    for finding in dead:
        if finding.target != HOST_SERVICE and _check(finding.id).role != "symptom":
            down.setdefault(finding.target, finding)
    services = snapshot.stack.services

    def parent_of(finding: Finding) -> Finding | None:
        if finding.parent and finding.parent in kinds:
            return kinds[finding.parent]
        problem = readings[finding.target_id].problem
        if problem is None or problem.code not in HUNG:
            return None
        for name in (finding.target, *ancestors(finding.target, services)):
            if name in down and down[name].target_id != finding.target_id:
                return down[name]
        return None

    result: list[Finding] = []
    for finding in findings:
        parent = parent_of(finding) if finding.status is Status.UNKNOWN else None
        if parent is None:
            result.append(finding)
            continue
        result.append(
            msgspec.structs.replace(
                finding,
                status=Status.BLOCKED,
                summary=f"{finding.summary}; {parent.id} on {parent.target} is the reason",
                parent=f"{parent.id}:{parent.target}",
                hint="",
            )
        )
    return result


def ancestors(name: str, services: Mapping[str, object]) -> list[str]:
    """Return every service that `name` leans on, nearest first; circles are harmless."""
    found: list[str] = []
    waiting = [name]
    while waiting:
        service = services.get(waiting.pop(0))
        for parent in getattr(service, "depends_on", ()):
            if parent not in found and parent != name:
                found.append(parent)
                waiting.append(parent)
    return found
