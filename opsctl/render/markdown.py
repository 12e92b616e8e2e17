"""Markdown for issues and chats: tables whose cells cannot break the table."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from opsctl.render.page import printable
from opsctl.render.text import candidate_groups

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from opsctl.health import Health
    from opsctl.model import Candidate, Diagnosis, Finding, RootCause

_SPECIAL = re.compile(r"([\\`*_{}\[\]<>|~#])")


def inline(text: str) -> str:
    """Return other people's words as Markdown text: on one line, nothing of it takes effect."""
    return _SPECIAL.sub(r"\\\1", " ".join(printable(text).split()))


def code(text: str) -> str:
    """Return text as inline code; inside a table too."""
    words = " ".join(printable(text).split()).replace("|", "\\|")
    ticks = "`" * (max((len(run) for run in re.findall("`+", words)), default=0) + 1)
    pad = " " if words.startswith("`") or words.endswith("`") else ""
    return f"{ticks}{pad}{words}{pad}{ticks}" if words else ""


def fenced(lines: Iterable[str]) -> str:
    """Return commands as a code block that none of them can end."""
    text = printable("\n".join(lines))
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}sh\n{text}\n{fence}"


def table(headers: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table of cells that are Markdown already."""
    lines = [f"| {' | '.join(headers)} |", f"|{'|'.join(' --- ' for _ in headers)}|"]
    lines += [f"| {' | '.join(cell or ' ' for cell in row)} |" for row in rows]
    return "\n".join(lines)


def diagnosis_markdown(diagnosis: Diagnosis, stack_argument: str = "") -> str:
    """Return a diagnosis as Markdown."""
    parts = [
        f"# {diagnosis.status.value.upper()}: {inline(diagnosis.stack)}",
        f"{diagnosis.taken_at:%Y-%m-%d %H:%M:%S} UTC, {diagnosis.duration_seconds:.2f} s",
    ]
    for number, cause in enumerate(diagnosis.root_causes, 1):
        title = "Root cause" if len(diagnosis.root_causes) == 1 else f"Root cause {number}"
        parts += [f"## {title}", *_cause(diagnosis, cause, stack_argument)]
    for cause in diagnosis.unproven:
        parts += ["## No cause proven", *_cause(diagnosis, cause, stack_argument)]
    if diagnosis.candidates:
        rows = [
            (_several(group), inline(group[0].target), inline(group[0].because), code(group[0].next_probe))
            for group in candidate_groups(diagnosis.candidates)
        ]
        parts += [
            "## Suspects that could not be looked at",
            table(("suspect", "on", "because", "next"), rows),
        ]
    if diagnosis.path:
        parts.append("## Path walked")
        parts.append(
            "\n".join(
                f"{'  ' * step.depth}- {inline(step.question)} **{inline(step.answer)}**"
                + (f" → {inline(step.action)}" if step.action else "")
                + (f" ({', '.join(map(code, step.because))})" if step.because else "")
                for step in diagnosis.path
            )
        )
    if diagnosis.also:
        parts += ["## Also noticed", findings_table(diagnosis.also)]
    if diagnosis.ruled_out:
        ruled_out = [(code(row.id), inline(row.target), inline(row.because)) for row in diagnosis.ruled_out]
        parts += ["## Ruled out", table(("check", "on", "because"), ruled_out)]
    parts += ["## Coverage", coverage_markdown(diagnosis.coverage)]
    return "\n\n".join(parts) + "\n"


def coverage_markdown(coverage: object) -> str:
    """Return the coverage and its hints."""
    from opsctl.model import Coverage
    from opsctl.render.text import coverage_words

    assert isinstance(coverage, Coverage)
    return "\n".join([coverage_words(coverage), *(f"- {inline(hint)}" for hint in coverage.hints)])


def _cause(diagnosis: Diagnosis, cause: RootCause, stack_argument: str) -> list[str]:
    finding = cause.finding
    parts = [
        f"**{cause.status.value}** {code(finding.id)} on {inline(finding.target)}: {inline(finding.summary)}"
    ]
    if finding.evidence:
        rows = [
            (
                inline(row.text),
                "" if row.value is None else inline(f"{row.value} {row.unit}"),
                "" if row.threshold is None else inline(str(row.threshold)),
                code(row.source),
            )
            for row in finding.evidence
        ]
        parts.append(table(("evidence", "value", "limit", "source"), rows))
    probable = [item for item in cause.chain if diagnosis.probable(cause, item)]
    proven = [item for item in cause.chain if item not in probable]
    if proven:
        parts += ["Explains:", findings_table(proven)]
    if probable:
        parts += [
            "Probably explains (who leans on whom was guessed; a stack file says it):",
            findings_table(probable),
        ]
    if finding.remediation:
        parts.append(f"Fix: {inline(finding.remediation.text)}")
        if finding.remediation.commands:
            parts.append(fenced(finding.remediation.commands))
    parts += ["Verify:", fenced([f"{finding.verify}{stack_argument}"])]
    return parts


def _several(group: list[Candidate]) -> str:
    return code(group[0].id) if len(group) == 1 else f"{len(group)} checks"


def findings_table(findings: Iterable[Finding]) -> str:
    """Return findings as a table."""
    rows = [
        (item.status.value, code(item.id), inline(item.target), inline(item.subject), inline(item.summary))
        for item in findings
    ]
    return table(("status", "finding", "on", "subject", "what"), rows)


def health_markdown(health: Health) -> str:
    """Return a health report as Markdown."""
    rows = [
        (inline(item.name), item.status.value, f"{item.coverage.ran} of {item.coverage.checks}")
        for item in health.services
    ]
    parts = [
        f"# {health.status.value.upper()}: {inline(health.stack)}",
        f"{health.taken_at:%Y-%m-%d %H:%M:%S} UTC, {health.duration_seconds:.2f} s",
        table(("service", "status", "checks"), rows),
    ]
    if health.findings:
        parts += ["## Findings", findings_table(health.findings)]
    parts += ["## Coverage", coverage_markdown(health.coverage)]
    return "\n\n".join(parts) + "\n"
