"""What one target's facts say of another's finding: evidence that no check alone can see. Pure.

It adds words to findings; it makes none and changes no status.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import msgspec

from opsctl.checks.nginx_wording import refusal_row
from opsctl.facts.http import HttpFacts
from opsctl.facts.nginx import NginxFacts, Refusal

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from opsctl.model import Finding, Snapshot

MAX_SUMMARY = 400


def with_the_proxys_reason(
    findings: Iterable[Finding], snapshot: Snapshot, through: Mapping[str, Collection[str]]
) -> list[Finding]:
    """Return the findings, pages with a wrong status code with the reason that nginx logged for it.

    Args:
        findings: of the snapshot.
        snapshot: the facts.
        through: for each target that is asked through proxies, their services.
    """
    proxies: dict[str, list[NginxFacts]] = {}
    urls: dict[str, str] = {}
    for reading in snapshot.readings:
        if isinstance(reading.facts, NginxFacts) and reading.facts.refusals:
            proxies.setdefault(reading.target.service, []).append(reading.facts)
        elif isinstance(reading.facts, HttpFacts):
            urls[reading.target.id] = reading.facts.url
    if not proxies:
        return list(findings)
    return [
        _with_reason(
            item,
            urls[item.target_id],
            [facts for name in through[item.target_id] for facts in proxies.get(name, ())],
        )
        if item.id == "http/status" and item.status.failing and item.target_id in through
        else item
        for item in findings
    ]


def _with_reason(finding: Finding, url: str, proxies: list[NginxFacts]) -> Finding:
    parts = urlsplit(url)
    for facts in proxies:
        alike = [
            item
            for item in facts.refusals
            if item.path == (parts.path or "/") and item.status == finding.code
        ]
        alike.sort(key=lambda item: not _same_host(item, parts.hostname or ""))
        if alike:
            return msgspec.structs.replace(
                finding,
                summary=f"{finding.summary}; nginx says: {alike[0].reason}"[:MAX_SUMMARY],
                evidence=(*finding.evidence, refusal_row(facts, alike[0])),
            )
    return finding


def _same_host(item: Refusal, host: str) -> bool:
    return item.host.rpartition(":")[0] == host or item.host == host
