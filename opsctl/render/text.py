"""A diagnosis for a tired person.

The story in order: the path walked, what was ruled out, what else was noticed and what could
not be seen; and last, where the eye rests when the prompt is back: the cause, its evidence,
the fix, the proof, and one line that sums up.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from opsctl.checks.wording import count_text
from opsctl.model import Status
from opsctl.render.page import Page

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from opsctl.model import Candidate, Coverage, Diagnosis, Evidence, Finding, RootCause, Step

MOST_RULED_OUT = 8
MOST_HINTS = 4
MOST_BECAUSE = 3
MOST_EXPLAINED = 12
MOST_CANDIDATES = 6
MOST_CAUSES = 5
"""Causes shown in full: with hundreds of them, what to mend first must still be on the screen."""
MOST_NAMES = 3
MOST_NOTICED = 10
ALL = "--output json lists all"


def diagnosis_text(
    diagnosis: Diagnosis, color: bool = False, width: int | None = None, stack_argument: str = ""
) -> str:
    """Return a diagnosis as text of at most `width` columns; only commands may be longer.

    Args:
        diagnosis: what to show.
        color: whether it may hold colour codes.
        width: columns; the terminal's by default, 80 without one.
        stack_argument: what the commands shown need to mean the same stack (` --stack NAME`).
    """
    page = Page(width, color)
    page.status_line(
        diagnosis.status,
        f"{diagnosis.stack}, {diagnosis.taken_at:%Y-%m-%d %H:%M:%S} UTC, {diagnosis.duration_seconds:.2f} s",
    )
    path = _worth_showing(diagnosis)
    if path:
        page.heading("Path walked")
        path_tree(page, path)
    _ruled_out(page, diagnosis)
    if diagnosis.also:
        page.heading("Also noticed, not the cause")
        for finding in diagnosis.also[:MOST_NOTICED]:
            finding_line(page, finding)
        _more(page, len(diagnosis.also) - MOST_NOTICED)
    coverage_lines(page, diagnosis.coverage)
    if diagnosis.candidates:
        page.heading("Suspects that could not be looked at")
        _candidates(page, candidate_groups(diagnosis.candidates))
    causes, unproven = diagnosis.root_causes, diagnosis.unproven[:MOST_CAUSES]
    for cause in unproven:
        page.heading("No cause proven")
        page.wrapped("  ", "A symptom is seen, and what could explain it could not be looked at:")
        _cause(page, diagnosis, cause, stack_argument)
    _more(page, len(diagnosis.unproven) - len(unproven), "symptom", " without a proven cause")
    if len(causes) > MOST_CAUSES:
        page.heading(f"{len(causes)} root causes")
        for cause in causes[MOST_CAUSES : MOST_CAUSES + MOST_NOTICED]:
            finding_line(page, cause.finding)
        _more(page, len(causes) - MOST_CAUSES - MOST_NOTICED, "cause")
    for number, cause in reversed(list(enumerate(causes[:MOST_CAUSES], 1))):  # the worst one last
        page.heading("Root cause" if len(causes) == 1 else f"Root cause {number} of {len(causes)}")
        _cause(page, diagnosis, cause, stack_argument)
    page.gap()
    page.status_line(diagnosis.status, summary_line(diagnosis))
    return page.text()


def _more(page: Page, count: int, what: str = "", which: str = "") -> None:
    """Say how many were left out, and how to see them."""
    if count > 0:
        left_out = count_text(count, f"more {what}") if what else f"{count} more"
        page.line(f"  and {left_out}{which}; {ALL}")


def candidate_groups(candidates: Iterable[Candidate]) -> list[list[Candidate]]:
    """Return the suspects that could not be looked at for one and the same reason together."""
    groups: dict[tuple[str, str], list[Candidate]] = {}
    for item in candidates:
        groups.setdefault((item.target, item.because), []).append(item)
    return list(groups.values())


def _candidates(page: Page, groups: list[list[Candidate]]) -> None:
    for group in groups[:MOST_CANDIDATES]:
        first = group[0]
        name = first.id if len(group) == 1 else f"{len(group)} checks"
        page.wrapped("  ", f"{name} on {first.target}: {first.because}", "    ")
        page.copyable("    next: ", first.next_probe)
    if len(groups) > MOST_CANDIDATES:
        page.line(f"  and {count_text(len(groups) - MOST_CANDIDATES, 'more reason')}; {ALL}")


def summary_line(diagnosis: Diagnosis) -> str:
    """Return the one sentence that sums a diagnosis up."""
    causes = [f"{cause.finding.id} on {cause.finding.target}" for cause in diagnosis.root_causes]
    if causes:
        explained = len({item.key for cause in diagnosis.root_causes for item in cause.chain})
        probable = any(
            diagnosis.probable(cause, item) for cause in diagnosis.root_causes for item in cause.chain
        )
        explains = "probably explains" if probable else "explains"
        if len(causes) > 1:
            explains = explains.replace("explains", "explain")
        more = f", which {explains} {count_text(explained, 'other finding')}"
        more = more if explained else ""
        if diagnosis.unproven:
            more = "; another fault is not proven"
        if len(causes) > MOST_NAMES:
            names = (
                f"{', '.join(causes[:MOST_NAMES])} and {count_text(len(causes) - MOST_NAMES, 'more cause')}"
            )
        else:
            names = " and ".join(filter(None, (", ".join(causes[:-1]), causes[-1])))
        return f"{names}{more}"
    if diagnosis.unproven:
        return "no cause proven; the suspects above could not be looked at"
    if diagnosis.status is Status.OK:
        return f"nothing is wrong; {diagnosis.coverage.ran} checks ran"
    if diagnosis.status is Status.UNKNOWN:
        return "nothing wrong was seen, but not everything could be looked at"
    return "no cause found"


def _worth_showing(diagnosis: Diagnosis) -> list[Step]:
    """Return the path without what says nothing.

    That is: deeper questions with a good answer, and steps
    that only could not look because their parent is down.
    """
    blocked = {f"{item.id}:{item.target}" for item in diagnosis.findings if item.status is Status.BLOCKED}
    return [
        step
        for step in diagnosis.path
        if not (step.depth and not step.because)
        and not (step.answer == "could not look" and step.because and blocked.issuperset(step.because))
    ]


def path_tree(page: Page, path: Sequence[Step]) -> None:
    """Draw the walk: each question once, below it the answers that hold and what they rest on.

    Deeper trees hang below the answer that leads to them, beside a bar where another answer follows.
    """
    bars: list[str] = []
    asked: list[tuple[str, str]] = []
    for index, step in enumerate(path):
        key = (step.flow, step.step)
        del asked[step.depth + 1 :], bars[step.depth :]
        bars += ["   "] * (step.depth - len(bars))  # what led here may have been left out
        indent = f"  {''.join(bars)}"
        if asked[step.depth :] != [key]:
            page.wrapped(indent, step.question)
        asked = [*asked[: step.depth], *[("", "")] * (step.depth - len(asked)), key]
        again = _asked_again(path[index + 1 :], step)
        branch = "├─ " if again else "└─ "
        action = f" → {step.action}" if step.action else ""
        bars.append("│  " if again else "   ")
        below = f"{indent}{bars[-1]}"
        page.wrapped(f"{indent}{branch}", f"{step.answer}{action}", below)
        if step.because:
            more = len(step.because) - MOST_BECAUSE
            names = [name.replace(":", " on ", 1) for name in step.because[:MOST_BECAUSE]]
            text = ", ".join(names) + (f" and {more} more" if more > 0 else "")
            page.wrapped(below, f"({text})", f"{below} ")


def _asked_again(later: Sequence[Step], step: Step) -> bool:
    """Return whether the same question has another answer, with only deeper steps before it."""
    following = next((item for item in later if item.depth <= step.depth), None)
    return following is not None and (following.flow, following.step, following.depth) == (
        step.flow,
        step.step,
        step.depth,
    )


def _cause(page: Page, diagnosis: Diagnosis, cause: RootCause, stack_argument: str) -> None:
    finding = cause.finding
    page.status_line(cause.status, finding_name(finding), "  ")
    page.wrapped("  ", finding.summary)
    evidence_lines(page, finding)
    if cause.chain:
        page.line("  Explains")
        for number, item in enumerate(cause.chain[:MOST_EXPLAINED], 1):
            last = number == min(len(cause.chain), MOST_EXPLAINED)
            below = "         " if last else "    │    "
            probably = "probably " if diagnosis.probable(cause, item) else ""
            page.wrapped(
                f"    {'└─' if last else '├─'} ",
                f"{probably}{item.id} on {item.target}: {item.summary}",
                below,
            )
        if len(cause.chain) > MOST_EXPLAINED:
            page.line(f"       and {len(cause.chain) - MOST_EXPLAINED} more; --output json lists all")
        if any(diagnosis.probable(cause, item) for item in cause.chain):
            page.wrapped("    ", "Probably: who leans on whom was guessed; a stack file says it.")
    if finding.remediation:
        page.line("  Fix")
        if finding.remediation.text:
            page.wrapped("    ", finding.remediation.text)
        for command in finding.remediation.commands:
            page.copyable("      ", command)
    page.line("  Verify")
    page.copyable("      ", f"{finding.verify}{stack_argument}")
    page.line("  Runbook")
    page.copyable("      ", f"opsctl runbook {finding.id}")


def finding_name(finding: Finding) -> str:
    """Return slug, service and, where there is one, what precisely is meant."""
    subject = finding.subject
    which = f" ({subject})" if subject and subject not in finding.summary else ""
    return f"{finding.id} on {finding.target}{which}"


def finding_line(page: Page, finding: Finding, indent: str = "  ") -> None:
    """Add one finding: status, name, summary."""
    page.status_line(finding.status, f"{finding_name(finding)}: {finding.summary}", indent)


def evidence_lines(page: Page, finding: Finding) -> None:
    """Add the measured values; the command that shows each is on a line of its own."""
    rows = [row for row in finding.evidence if row.source or row.value is not None or row.text]
    if not rows:
        return
    page.line("  Evidence")
    for row in rows:
        said = [] if row.text == finding.summary else [row.text]
        measured = measured_text(row)
        if measured and measured not in row.text:
            said.append(measured)
        moment = f"  ({row.at:%H:%M:%S} UTC)" if row.at else ""
        if said:
            page.wrapped("    ", "; ".join(part for part in said if part), "      ")
        if row.source:
            page.copyable("    from: ", row.source + moment)


def measured_text(row: Evidence) -> str:
    """Return value and limit of one row of evidence in words, empty where there is no value."""
    if row.value is None:
        return ""
    unit = f" {row.unit}" if row.unit and row.unit != "ratio" else ""
    value = _number(row.value) if not isinstance(row.value, str) else row.value
    if row.threshold is None:
        return f"{value}{unit}"
    limit = _number(row.threshold) if not isinstance(row.threshold, str) else row.threshold
    return f"{value}{unit}, limit {limit}{unit}"


def _number(value: float | int) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return str(value)
    return f"{value:.4g}" if abs(value) < 100_000 else f"{value:.0f}"


def _ruled_out(page: Page, diagnosis: Diagnosis) -> None:
    if not diagnosis.ruled_out:
        return
    page.heading("Ruled out")
    rows = [(f"{row.id} ({row.target})", row.because) for row in diagnosis.ruled_out[:MOST_RULED_OUT]]
    page.pairs("  ", rows)
    more = len(diagnosis.ruled_out) - MOST_RULED_OUT
    if more > 0:
        page.line(f"  and {more} more; --output json lists all")


def coverage_lines(page: Page, coverage: Coverage) -> None:
    """Add how much was seen, and what would let more be seen."""
    page.gap()
    page.wrapped("Coverage: ", coverage_words(coverage))
    for hint in _shortest(coverage.hints):
        page.wrapped("  - ", hint)
    if len(coverage.hints) > MOST_HINTS:
        page.line(f"  and {count_text(len(coverage.hints) - MOST_HINTS, 'more hint')}; {ALL}")


def coverage_words(coverage: Coverage) -> str:
    """Return the coverage as one sentence."""
    return (
        f"{coverage.ran} of {coverage.checks} checks ran, "
        f"{coverage.blocked} blocked, {coverage.unknown} unknown."
    )


def _shortest(hints: Iterable[str]) -> list[str]:
    return list(hints)[:MOST_HINTS]
