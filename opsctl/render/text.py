"""A diagnosis for a tired person: the path as a tree, the cause, the evidence, the fix, the proof."""

from __future__ import annotations

import shutil
import textwrap
from typing import TYPE_CHECKING

from opsctl.model import Status

if TYPE_CHECKING:
    from collections.abc import Iterable

    from opsctl.model import Diagnosis, Evidence, Finding, RootCause, Step

_COLORS = {
    Status.OK: "32",
    Status.WARNING: "33",
    Status.CRITICAL: "31;1",
    Status.UNKNOWN: "35",
    Status.BLOCKED: "36",
}
MOST_RULED_OUT = 8
MOST_HINTS = 5


def diagnosis_text(diagnosis: Diagnosis, color: bool = False, width: int | None = None) -> str:
    """Return a diagnosis as text of at most `width` columns (80 without a terminal)."""
    page = _Page(width or min(max(shutil.get_terminal_size((80, 24)).columns, 60), 120), color)
    count = len(diagnosis.root_causes)
    page.line(
        f"{page.status(diagnosis.status)}  {diagnosis.stack}  "
        f"{diagnosis.taken_at:%Y-%m-%d %H:%M:%S} UTC  ({diagnosis.duration_seconds:.2f} s)"
    )
    if diagnosis.path:
        page.line()
        page.heading("Path walked")
        _path(page, diagnosis.path)
    for number, cause in enumerate(diagnosis.root_causes, 1):
        page.line()
        page.heading("Root cause" if count == 1 else f"Root cause {number} of {count}")
        _cause(page, cause)
    for cause in diagnosis.unproven:
        page.line()
        page.heading("No cause proven")
        page.wrapped(
            "What is seen: ", f"{cause.finding.summary} ({cause.finding.id}, {cause.finding.target})"
        )
    if diagnosis.candidates:
        page.line()
        page.heading("Candidates that could not be looked at")
        for candidate in diagnosis.candidates:
            page.wrapped("  - ", f"{candidate.id} on {candidate.target}: {candidate.because}")
            page.wrapped("    next: ", candidate.next_probe)
    if diagnosis.also:
        page.line()
        page.heading("Also noticed (not the cause)")
        for finding in diagnosis.also:
            page.finding(finding)
    if diagnosis.ruled_out:
        page.line()
        page.heading("Ruled out")
        for row in diagnosis.ruled_out[:MOST_RULED_OUT]:
            page.wrapped("  ", f"{row.id} ({row.target}): {row.because}")
        more = len(diagnosis.ruled_out) - MOST_RULED_OUT
        if more > 0:
            page.line(f"  and {more} more; --output json lists all")
    _coverage(page, diagnosis)
    return page.text()


def _path(page: _Page, path: Iterable[Step]) -> None:
    """Draw the walk: one line a question, its answer, and what it rests on."""
    steps = list(path)
    asked: tuple[str, str] | None = None
    for step in steps:
        indent = "   " * step.depth
        if asked != (step.flow, step.step):
            page.wrapped(f"{indent}{step.question}", "")
            asked = (step.flow, step.step)
        arrow = f" → {step.action}" if step.action else ""
        page.wrapped(f"{indent}└─ ", f"{step.answer}{arrow}")
        if step.because:
            page.wrapped(f"{indent}     ", ", ".join(step.because))


def _cause(page: _Page, cause: RootCause) -> None:
    finding = cause.finding
    page.wrapped(f"{page.status(finding.status)} ", f"{finding.id} on {finding.target}")
    page.wrapped("  ", finding.summary)
    page.evidence(finding.evidence)
    if cause.chain:
        page.line("  explains:")
        for item in cause.chain:
            page.wrapped("    → ", f"{item.id} on {item.target}: {item.summary}")
    if finding.remediation:
        page.wrapped("  fix: ", finding.remediation.text)
        for command in finding.remediation.commands:
            page.line(f"    $ {command}")
    page.line("  verify:")
    page.line(f"    $ {finding.verify}")
    page.wrapped("  runbook: ", f"opsctl runbook {finding.id}")


def _coverage(page: _Page, diagnosis: Diagnosis) -> None:
    seen = diagnosis.coverage
    page.line()
    page.wrapped(
        "Coverage: ",
        f"{seen.ran} of {seen.checks} checks ran, {seen.blocked} blocked, {seen.unknown} unknown.",
    )
    for hint in seen.hints[:MOST_HINTS]:
        page.wrapped("  - ", hint)
    if len(seen.hints) > MOST_HINTS:
        page.line(f"  and {len(seen.hints) - MOST_HINTS} more; --output json lists all")
    failing = [cause.finding for cause in diagnosis.root_causes]
    if not failing and not diagnosis.unproven:
        words = "Nothing is wrong." if diagnosis.status is Status.OK else "Not everything could be seen."
        page.line(words)
        return
    names = ", ".join(f"{item.id} on {item.target}" for item in failing) or "no cause proven"
    page.wrapped("", f"{diagnosis.status.value.upper()}: {names}")


class _Page:
    """Lines of a limited width."""

    def __init__(self, width: int, color: bool) -> None:
        self.width, self.color = width, color
        self.lines: list[str] = []

    def line(self, text: str = "") -> None:
        self.lines.append(text)

    def heading(self, text: str) -> None:
        self.lines.append(f"\033[1m{text}\033[0m" if self.color else text)

    def status(self, status: Status) -> str:
        word = status.value.upper()
        return f"\033[{_COLORS[status]}m{word}\033[0m" if self.color else word

    def wrapped(self, lead: str, text: str) -> None:
        """Add text with a lead; later lines are indented below its beginning."""
        plain = lead.replace("\033", "")
        indent = " " * (len(lead) if plain == lead else 2)
        self.lines.extend(
            textwrap.wrap(
                lead + " ".join(text.split()),
                self.width,
                subsequent_indent=indent if len(indent) < self.width // 2 else "  ",
                break_on_hyphens=False,
                break_long_words=False,
            )
            or [lead]
        )

    def finding(self, finding: Finding) -> None:
        self.wrapped("  ", f"{finding.status.value} {finding.id} on {finding.target}: {finding.summary}")

    def evidence(self, rows: Iterable[Evidence]) -> None:
        for row in rows:
            parts = [row.text] if row.value is None else [f"{row.value} {row.unit}".strip()]
            if row.threshold is not None:
                parts.append(f"limit {row.threshold} {row.unit}".strip())
            if row.value is not None and row.text and not row.text == "":
                parts = parts if len(self.lines) and row.text in self.lines[-1] else [row.text, *parts]
            source = f"  [{row.source}]" if row.source else ""
            self.wrapped("  evidence: ", "; ".join(dict.fromkeys(parts)) + source)

    def text(self) -> str:
        return "\n".join(line.rstrip() for line in self.lines) + "\n"
