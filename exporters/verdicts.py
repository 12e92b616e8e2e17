"""`/metrics/findings`: what `opsctl diagnose` would say now, as metrics; kept for a few seconds."""

from __future__ import annotations

import threading
import time
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


class Verdicts:
    """The verdicts on one stack; one look at a time, shared by all who ask meanwhile."""

    def __init__(self, lookout: Lookout) -> None:
        self._lookout = lookout
        self._lock = threading.Lock()
        self._known: tuple[float, VerdictFacts] | None = None

    def facts(self, until: float) -> VerdictFacts:
        """Return verdicts that are fresh; where somebody still looks at `until`, the last ones or none."""
        if not self._lock.acquire(timeout=max(until - time.monotonic(), 0)):
            return self._known[1] if self._known else VerdictFacts()
        try:
            if self._known is None or time.monotonic() - self._known[0] > KEPT_SECONDS:
                facts = self._look(until)
                self._known = (time.monotonic(), facts)
            return self._known[1]
        finally:
            self._lock.release()

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
