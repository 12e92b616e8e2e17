"""Diagnosis and findings as plain values: the stable shape of `--output json` (schema 1)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from opsctl.model import Diagnosis, Finding, RootCause

SCHEMA = 1
"""Kept stable; fields are only ever added."""


def diagnosis_plain(diagnosis: Diagnosis, stack_argument: str = "") -> dict[str, Any]:
    """Return a diagnosis as dicts and lists; `stack_argument` is added to the verify commands."""
    plain: dict[str, Any] = {
        "schema": SCHEMA,
        "stack": diagnosis.stack,
        "taken_at": moment(diagnosis.taken_at),
        "duration_seconds": diagnosis.duration_seconds,
        "status": diagnosis.status.value,
        "root_causes": [_cause(diagnosis, cause, stack_argument) for cause in diagnosis.root_causes],
        "unproven": [_cause(diagnosis, cause, stack_argument) for cause in diagnosis.unproven],
        "candidates": msgspec.to_builtins(diagnosis.candidates),
        "also": [finding_plain(finding, stack_argument) for finding in diagnosis.also],
        "path": [
            {
                "flow": step.flow,
                "step": step.step,
                "question": step.question,
                "answer": step.answer,
                "because": list(step.because),
                "action": step.action,
                "depth": step.depth,
            }
            for step in diagnosis.path
        ],
        "findings": [
            finding_plain(finding, stack_argument)
            for finding in diagnosis.findings
            if finding.status.value != "ok"
        ],
        "ruled_out": msgspec.to_builtins(diagnosis.ruled_out),
        "coverage": msgspec.to_builtins(diagnosis.coverage),
    }
    return plain


def finding_plain(finding: Finding, stack_argument: str = "") -> dict[str, Any]:
    """Return one finding as a dict."""
    return {
        "id": finding.id,
        "target": finding.target,
        "target_id": finding.target_id,
        "subject": finding.subject,
        "code": finding.code,
        "status": finding.status.value,
        "summary": finding.summary,
        "evidence": [
            {
                "text": row.text,
                "value": row.value,
                "threshold": row.threshold,
                "unit": row.unit,
                "source": row.source,
                "at": moment(row.at),
            }
            for row in finding.evidence
        ],
        "remediation": msgspec.to_builtins(finding.remediation) if finding.remediation else None,
        "verify": f"{finding.verify}{stack_argument}",
        "runbook": finding.runbook,
        "hint": finding.hint,
        "parent": finding.parent,
    }


def _cause(diagnosis: Diagnosis, cause: RootCause, stack_argument: str) -> dict[str, Any]:
    plain = finding_plain(cause.finding, stack_argument)
    plain["status"] = cause.status.value
    plain["chain"] = [
        {
            "id": item.id,
            "target": item.target,
            "target_id": item.target_id,
            "summary": item.summary,
            "probable": diagnosis.probable(cause, item),
        }
        for item in cause.chain
    ]
    return plain


def moment(at: Any) -> str | None:
    """Return a moment as ISO 8601 in UTC, to the millisecond, with a Z."""
    return None if at is None else at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
