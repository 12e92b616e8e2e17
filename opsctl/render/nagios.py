"""One line as Nagios plugins print it: status, words, and performance data after a bar."""

from __future__ import annotations

from typing import TYPE_CHECKING

from opsctl.model import Status
from opsctl.render.page import printable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from opsctl.health import Health
    from opsctl.model import Coverage, Diagnosis

LONGEST = 1000
FindingKey = tuple[str, str, str]
_WORDS = {Status.BLOCKED: "UNKNOWN"}


def diagnosis_nagios(diagnosis: Diagnosis) -> str:
    """Return a diagnosis as one line."""
    from opsctl.render.text import summary_line

    causes = [
        f"{cause.finding.id} on {cause.finding.target}: {cause.finding.summary}"
        for cause in (*diagnosis.root_causes, *diagnosis.unproven)
    ]
    words = "; ".join(causes) or summary_line(diagnosis)
    return _line(diagnosis.status, words, diagnosis.coverage, diagnosis.duration_seconds)


def health_nagios(health: Health, causes: Sequence[FindingKey] = ()) -> str:
    """Return a health report as one line: the worst findings first, of these the root causes.

    Args:
        health: what to show.
        causes: keys of the root causes, the first one first.
    """
    places = {key: place for place, key in enumerate(causes)}
    failing = sorted(
        (finding for finding in health.findings if finding.status.failing),
        key=lambda finding: (-finding.status.rank, places.get(finding.key, len(places))),
    )
    words = "; ".join(f"{finding.id} on {finding.target}: {finding.summary}" for finding in failing)
    return _line(health.status, words or health.words, health.coverage, health.duration_seconds)


def _line(status: Status, words: str, coverage: Coverage, seconds: float) -> str:
    text = plugin_text(words)
    if len(text) > LONGEST:
        text = f"{text[: LONGEST - 1]}…"
    numbers = {
        "checks": f"{coverage.checks};;;0",
        "ran": f"{coverage.ran};;;0;{coverage.checks}",
        "blocked": f"{coverage.blocked};;;0;{coverage.checks}",
        "unknown": f"{coverage.unknown};;;0;{coverage.checks}",
        "time": f"{seconds:.3f}s;;;0",
    }
    data = " ".join(f"{name}={value}" for name, value in numbers.items())
    return f"OPSCTL {_WORDS.get(status, status.value.upper())} - {text} | {data}\n"


def plugin_text(text: str) -> str:
    """Return the text on one line and without the bar that would begin performance data."""
    return " ".join(printable(text).split()).replace("|", "¦")
