"""`/metrics/findings`: what `opsctl diagnose` would say now, as metrics; kept for a few seconds."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from exporters.self_facts import FindingFacts, RootCauseFacts, VerdictFacts

if TYPE_CHECKING:
    from exporters.looking import Lookout
    from opsctl.model import Diagnosis, Finding

KEPT_SECONDS = 10.0
"""For how long verdicts answer further scrapes."""
JUDGING_SECONDS = 0.5
"""Kept back of a scrape's time for judging and writing."""


@dataclass(frozen=True, slots=True)
class _Known:
    """Verdicts, when they were found, and how many seconds their look was allowed to take."""

    at: float
    allowed: float
    facts: VerdictFacts


class Verdicts:
    """The verdicts on one stack; one look at a time, shared by all who ask meanwhile."""

    def __init__(self, lookout: Lookout) -> None:
        self._lookout = lookout
        self._lock = threading.Lock()
        self._known: _Known | None = None

    def facts(self, until: float) -> VerdictFacts:
        """Return verdicts that are fresh; where somebody still looks at `until`, the last ones or none."""
        if not self._lock.acquire(timeout=max(until - time.monotonic(), 0)):
            return self._known.facts if self._known else VerdictFacts()
        try:
            allowed = until - time.monotonic()
            if self._known is None or not self._is_good_enough(self._known, allowed):
                facts = self._look(until)
                self._known = _Known(time.monotonic(), allowed, facts)
            return self._known.facts
        finally:
            self._lock.release()

    def _is_good_enough(self, known: _Known, allowed: float) -> bool:
        """Return whether verdicts are fresh, and not those of somebody in more of a hurry: see `readings`."""
        wanted = min(allowed, self._lookout.probe_seconds + 2 * JUDGING_SECONDS)
        fresh = time.monotonic() - known.at <= KEPT_SECONDS
        return fresh and known.allowed >= wanted - JUDGING_SECONDS

    def _look(self, until: float) -> VerdictFacts:
        from opsctl import __version__
        from opsctl.diagnose import diagnose
        from opsctl.model import Snapshot
        from opsctl.snapshot import SCHEMA, redacted

        began, taken_at = time.monotonic(), datetime.now(UTC)
        latest = max(until - JUDGING_SECONDS, (began + until) / 2)
        readings = self._lookout.readings(self._lookout.assignments, latest)
        snapshot = Snapshot(
            schema=SCHEMA,
            opsctl_version=__version__,
            stack=self._lookout.stack.summary(),
            taken_at=taken_at,
            duration_seconds=round(time.monotonic() - began, 4),
            deadline_seconds=round(until - began, 4),
            readings=tuple(readings),
        )
        return verdict_facts(diagnose(redacted(snapshot, self._lookout.redactor)))


def verdict_facts(diagnosis: Diagnosis) -> VerdictFacts:
    """Return a diagnosis as metrics. Pure."""
    coverage = diagnosis.coverage
    return VerdictFacts(
        findings=[
            FindingFacts(
                finding=item.id,
                service=item.target,
                target=item.target_id,
                subject=item.subject,
                status=item.status.value,
            )
            for item in diagnosis.findings
        ],
        root_causes=[
            _cause(root.finding, len(root.chain), root.status.value) for root in diagnosis.root_causes
        ],
        checks={"ran": coverage.ran, "blocked": coverage.blocked, "unknown": coverage.unknown},
        taken_at=diagnosis.taken_at.timestamp(),
        seconds=diagnosis.duration_seconds,
    )


def _cause(finding: Finding, explains: int, status: str) -> RootCauseFacts:
    return RootCauseFacts(
        finding=finding.id,
        service=finding.target,
        target=finding.target_id,
        subject=finding.subject,
        status=status,
        explains=explains,
    )
