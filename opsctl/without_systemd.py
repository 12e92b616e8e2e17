"""A diagnosis of a machine on which no systemd runs: nobody is sent to systemctl. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterable

    from opsctl.model import Diagnosis, Finding, RootCause, StackSummary, Step

_ASKS = "systemctl status "
_COMMANDS = ("systemctl", "journalctl", "sudo systemctl", "sudo journalctl")


def applies(stack: StackSummary) -> bool:
    """Return whether systemd is neither there nor expected: no service of the stack is a unit."""
    return not stack.systemd and not any(service.unit for service in stack.services.values())


def without_systemd(diagnosis: Diagnosis) -> Diagnosis:
    """Return the diagnosis without commands that only systemd understands; the words stay."""
    return msgspec.structs.replace(
        diagnosis,
        root_causes=tuple(_cause(cause) for cause in diagnosis.root_causes),
        unproven=tuple(_cause(cause) for cause in diagnosis.unproven),
        also=tuple(_finding(finding) for finding in diagnosis.also),
        findings=tuple(_finding(finding) for finding in diagnosis.findings),
        path=tuple(_step(step) for step in diagnosis.path),
    )


def _cause(cause: RootCause) -> RootCause:
    return msgspec.structs.replace(cause, finding=_finding(cause.finding))


def _finding(finding: Finding) -> Finding:
    fix = finding.remediation
    if fix is None or not any(command.startswith(_COMMANDS) for command in fix.commands):
        return finding
    kept = tuple(command for command in fix.commands if not command.startswith(_COMMANDS))
    return msgspec.structs.replace(finding, remediation=msgspec.structs.replace(fix, commands=kept))


def findings(stack: StackSummary, found: Iterable[Finding]) -> list[Finding]:
    """Return the findings as people of this machine can use them."""
    return [_finding(item) for item in found] if applies(stack) else list(found)


def _step(step: Step) -> Step:
    parts = step.action.split("; ")
    kept = [part for part in parts if not part.startswith(_COMMANDS)]
    if len(kept) < len(parts):
        step = msgspec.structs.replace(step, action="; ".join(kept))
    if not step.question.startswith(_ASKS):
        return step
    return msgspec.structs.replace(step, question=f"Is {step.question.removeprefix(_ASKS)} well?")
