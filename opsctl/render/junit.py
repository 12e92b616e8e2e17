"""JUnit XML for build servers: one test case per finding, valid for any text."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape, quoteattr

from opsctl.model import Status

if TYPE_CHECKING:
    from collections.abc import Iterable

    from opsctl.model import Finding

_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What XML 1.0 cannot hold, not even escaped."""


def findings_junit(stack: str, findings: Iterable[Finding], seconds: float) -> str:
    """Return findings as a JUnit test suite.

    Warning and critical are failures; unknown and blocked are skipped, with the reason.
    """
    items = list(findings)
    failures = sum(1 for item in items if item.status.failing)
    skipped = sum(1 for item in items if item.status in (Status.UNKNOWN, Status.BLOCKED))
    lines = [
        '<?xml version="1.0" encoding="UTF-8"?>',
        f"<testsuites name={_attribute('opsctl')}>",
        f"  <testsuite name={_attribute(stack)} tests={_attribute(len(items))} "
        f"failures={_attribute(failures)} errors={_attribute(0)} skipped={_attribute(skipped)} "
        f"time={_attribute(f'{seconds:.3f}')}>",
    ]
    for item in items:
        lines.extend(_case(item))
    lines += ["  </testsuite>", "</testsuites>"]
    return "\n".join(lines) + "\n"


def _case(finding: Finding) -> list[str]:
    name = f"{finding.id} {finding.subject}".strip()
    opening = f"    <testcase classname={_attribute(finding.target_id)} name={_attribute(name)}"
    if finding.status is Status.OK:
        return [f"{opening}/>"]
    if not finding.status.failing:
        message = _attribute(f"{finding.status.value}: {finding.summary}")
        return [f"{opening}>", f"      <skipped message={message}/>", "    </testcase>"]
    kind, message = _attribute(finding.status.value), _attribute(finding.summary)
    body = [f"{row.text} [{row.source}]" if row.source else row.text for row in finding.evidence]
    if finding.remediation:
        body += [f"fix: {finding.remediation.text}", *finding.remediation.commands]
    body.append(f"verify: {finding.verify}")
    return [
        f"{opening}>",
        f"      <failure type={kind} message={message}>{escape(_sound(chr(10).join(body)))}</failure>",
        "    </testcase>",
    ]


def _sound(text: str) -> str:
    return _NOT_XML.sub("\ufffd", text)


def _attribute(value: object) -> str:
    entities = {"\n": "&#10;", "\r": "&#13;", "\t": "&#9;"}
    return quoteattr(_sound(str(value)), entities)
