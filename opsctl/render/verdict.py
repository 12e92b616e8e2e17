"""The verdict of `opsctl verify`: gone, still there, or not to be seen."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec

from opsctl.model import Finding, Status
from opsctl.render.page import Page
from opsctl.render.plain import SCHEMA, finding_plain, moment
from opsctl.render.text import evidence_lines, finding_name


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What one check says now; findings are of every status, worst last."""

    slug: str
    stack: str
    taken_at: datetime
    duration_seconds: float
    status: Status
    findings: tuple[Finding, ...]

    @property
    def words(self) -> str:
        """The verdict in one sentence."""
        if self.status is Status.OK:
            return f"{self.slug} is not there"
        if self.status.failing:
            return f"{self.slug} is still there"
        return f"{self.slug} could not be judged; this proves nothing"


def render(verdict: Verdict, output: str, color: bool = False, width: int | None = None) -> str:
    """Return the verdict in a format: text, json, yaml, markdown, junit or nagios."""
    if output == "text":
        return _text(verdict, color, width)
    if output == "junit":
        from opsctl.render.junit import findings_junit

        return findings_junit(verdict.stack, verdict.findings, verdict.duration_seconds)
    if output == "nagios":
        from opsctl.render.nagios import plugin_text

        worst = verdict.findings[-1].summary if verdict.findings else ""
        word = "UNKNOWN" if verdict.status is Status.BLOCKED else verdict.status.value.upper()
        return (
            f"OPSCTL {word} - {plugin_text(f'{verdict.words}: {worst}')}"
            f" | time={verdict.duration_seconds:.3f}s;;;0\n"
        )
    if output == "markdown":
        from opsctl.render.markdown import findings_table, inline

        title = f"# {verdict.status.value.upper()}: {inline(verdict.words)}"
        return f"{title}\n\n{findings_table(verdict.findings)}\n"
    from opsctl.render.diagnosis import data

    return data(_plain(verdict), output)


def _plain(verdict: Verdict) -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        "id": verdict.slug,
        "stack": verdict.stack,
        "taken_at": moment(verdict.taken_at),
        "duration_seconds": verdict.duration_seconds,
        "status": verdict.status.value,
        "gone": verdict.status is Status.OK,
        "findings": [finding_plain(finding) for finding in verdict.findings],
    }


def _text(verdict: Verdict, color: bool, width: int | None) -> str:
    page = Page(width, color)
    for finding in verdict.findings:
        page.status_line(finding.status, f"{finding_name(finding)}: {finding.summary}")
        if finding.status.failing:
            evidence_lines(page, finding)
            if finding.remediation and finding.remediation.text:
                page.wrapped("  Fix: ", finding.remediation.text)
                for command in finding.remediation.commands:
                    page.copyable("      ", command)
        elif finding.hint:
            page.wrapped("  hint: ", finding.hint)
    page.status_line(verdict.status, verdict.words)
    return page.text()
