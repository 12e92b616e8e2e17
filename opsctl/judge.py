"""Snapshot to findings: run every check, and say `unknown` or `blocked` where none could look."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import msgspec

from opsctl.checks import checks_for
from opsctl.checks.base import Check, CheckContext, Limits, NotObserved
from opsctl.model import HOST_SERVICE, Finding, Reading, Snapshot, StackSummary, Status

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
        findings.extend(_of_reading(reading, snapshot.stack))
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
    context = CheckContext(check, reading.target, limits_in_force(check, stack), reading.taken_at)
    try:
        return list(check.function(reading.facts, context))
    except NotObserved as missing:
        return [context.finding(Status.UNKNOWN, missing.reason, hint=missing.hint)]
    except Exception as error:  # noqa: BLE001 - a broken check is itself a finding, never silence
        words = f"the check crashed: {type(error).__name__}: {error}"[:300]
        return [context.finding(Status.UNKNOWN, words, hint="report it with `opsctl snapshot -o FILE`")]


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
    """True where a finding means that its target does not work at all, not merely badly."""
    if finding.status is not Status.CRITICAL:
        return False
    return any(check.slug == finding.id and check.reachability for check in checks_for(finding.kind))


def down_services(findings: Iterable[Finding]) -> dict[str, Finding]:
    """Return each service that is down, with the finding that says so."""
    down: dict[str, Finding] = {}
    for finding in findings:
        if finding.target != HOST_SERVICE and is_down(finding):
            down.setdefault(finding.target, finding)
    return down


def _with_blocked_parents(findings: list[Finding], snapshot: Snapshot) -> list[Finding]:
    """Turn `unknown` into `blocked` where the reason is a parent that is down."""
    down = down_services(findings)
    kinds = {finding.kind: finding for finding in findings if is_down(finding)}
    services = snapshot.stack.services

    def parent_of(finding: Finding) -> Finding | None:
        if finding.parent and finding.parent in kinds:
            return kinds[finding.parent]
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
