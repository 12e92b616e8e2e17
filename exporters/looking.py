"""Looks at targets of the stack, fresh for every scrape: each in its own flight, at most one at a time."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from exporters.flights import Flight, Flights
from exporters.self_facts import CollectorFacts
from opsctl.look import look
from opsctl.model import Problem, Reading
from opsctl.probes.base import PROBE_SECONDS, Shared
from opsctl.redact import Redactor
from opsctl.secrets import Secrets
from opsctl.stack.targets import Assignment, assignments

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from opsctl.logs.following import Following
    from opsctl.stack.stack import Stack

THREADS = 24
SECRETS_SECONDS = 5.0
"""How long the env files are trusted; a password that changes is known this much later."""
SECRETS_WAIT_SECONDS = 1.0
"""How long a scrape waits for env files where it may not hang; then those of before are used."""
MARGIN_SECONDS = 0.1
"""How much earlier than the page a probe must end."""


@dataclass
class _Tally:
    """What is counted of one target."""

    success: bool | None = None
    duration: float | None = None
    looks: int = 0
    failures: int = 0
    succeeded_at: float | None = None
    newest: float = 0.0
    """When the newest look began of those that have landed (monotonic seconds)."""


class Lookout:
    """The targets of one stack and the means to look at them.

    `options["kept"]` is handed to a target's probe each time: what it puts there (a connection)
    is there the next time. A look that was given up keeps its own; the next one starts empty. What it puts
    there as `ahead` is called with the seconds of the next look before that begins.
    `options["following"]` are the logs that are followed, where they are.
    """

    def __init__(
        self, stack: Stack, looker: Callable[..., Reading] = look, probe_seconds: float = PROBE_SECONDS
    ) -> None:
        self.stack, self.probe_seconds = stack, probe_seconds
        self.assignments = assignments(stack)
        self.redactor = Redactor()
        self.redactor.keep(stack.spec.services)
        self.flights = Flights(THREADS, "look")
        self._looker = looker
        self.following: Following | None = None
        self._kept: dict[str, dict[str, Any]] = {}
        self._of_kinds: dict[tuple[str, ...], list[Assignment]] = {}
        self._tallies = {item.target.id: _Tally() for item in self.assignments}
        self._lock = threading.Lock()
        self._secrets: tuple[float, Secrets] | None = None
        self._reading_secrets = threading.Lock()
        """Not the one above: an env file may hang."""

    def of_kinds(self, kinds: Iterable[str]) -> list[Assignment]:
        """Return what there is of some kinds, in the order of the stack file."""
        wanted = tuple(kinds)
        found = self._of_kinds.get(wanted)
        if found is None:
            found = [item for item in self.assignments if item.target.kind in wanted]
            self._of_kinds[wanted] = found
        return found

    def readings(self, chosen: list[Assignment], until: float, here: bool = False) -> list[Reading]:
        """Look at targets and return what is known at `until` (monotonic); one reading each, in order.

        Args:
            chosen: what to look at.
            until: when to return, whatever is missing.
            here: whether the calling thread may look by itself and hang, where there is one target only:
                to change threads and back takes longer than many a look.
        """
        alone = here and len(chosen) == 1
        began = time.monotonic()
        secrets, shared = self.secrets() if alone else self._secrets_by(until), Shared()
        if secrets is None:
            return [self._missing(item, began) for item in chosen]
        seconds = max(min(until - time.monotonic() - MARGIN_SECONDS, self.probe_seconds), 0.05)
        if alone:
            work = self._work(chosen[0], seconds, secrets, shared)
            own = self.flights.here(chosen[0].target.id, work, seconds)
            if own is not None:
                return [own.value if own.value is not None else self._missing(chosen[0], own.began, own)]

        def start(item: Assignment) -> Flight:
            return self.flights.start(item.target.id, self._work(item, seconds, secrets, shared), seconds)

        found: list[Reading] = []
        for item, flight in [(item, start(item)) for item in chosen]:
            landed = self.flights.wait(flight, until)
            if landed and flight.seconds < seconds - MARGIN_SECONDS and not _answered(flight.value):
                flight = start(item)  # it was shared with somebody in more of a hurry, and had less time
                landed = self.flights.wait(flight, until)
            whole = landed and flight.value is not None
            found.append(flight.value if whole else self._missing(item, flight.began, flight))
        return found

    def secrets(self) -> Secrets:
        """Return the secrets of the stack, read anew every few seconds; by one, the others do not wait."""
        known = self._secrets
        old = known is None or time.monotonic() - known[0] > SECRETS_SECONDS
        if old and self._reading_secrets.acquire(blocking=known is None):
            try:
                if known is self._secrets:  # nobody else has, meanwhile
                    known = self._secrets = (time.monotonic(), Secrets(self.stack, self.redactor))
            finally:
                self._reading_secrets.release()
        known = known or self._secrets
        assert known is not None
        return known[1]

    def _secrets_by(self, until: float) -> Secrets | None:
        """Return the secrets; while an env file hangs those of before, None where there are none."""
        known, now = self._secrets, time.monotonic()
        if known is None or now - known[0] > SECRETS_SECONDS:
            seconds = until - now if known is None else min(until - now, SECRETS_WAIT_SECONDS)
            flight = self.flights.start("secrets", self.secrets, max(seconds, 0.0))
            self.flights.wait(flight, now + seconds)
            if flight.error is not None:
                raise flight.error
            known = self._secrets
        return known[1] if known is not None else None

    def collectors(self, name_of: Callable[[str], str]) -> list[CollectorFacts]:
        """Return what is counted of every target; `name_of` says which collector a kind belongs to."""
        return [
            CollectorFacts(
                collector=name_of(item.target.kind),
                target=item.target.id,
                success=tally.success,
                duration=tally.duration,
                looks=tally.looks,
                failures=tally.failures,
                succeeded_at=tally.succeeded_at,
            )
            for item in self.assignments
            for tally in [self._tallies[item.target.id]]
        ]

    def _work(
        self, item: Assignment, seconds: float, secrets: Secrets, shared: Shared
    ) -> Callable[[], Reading]:
        def work() -> Reading:
            kept = self._kept.pop(item.target.id, {})
            if ahead := kept.get("ahead"):
                ahead(seconds)
            options = {"detail": "metrics", "kept": kept, "following": self.following}
            reading = self._looker(self.stack, item, seconds, secrets, self.redactor, shared, options)
            self._kept.setdefault(item.target.id, kept)
            self._count(reading)
            return reading

        return work

    def _count(self, reading: Reading) -> None:
        with self._lock:
            tally = self._tallies[reading.target.id]
            tally.looks += 1
            tally.failures += reading.facts is None
            began = time.monotonic() - reading.duration_seconds
            if began < tally.newest:  # it was given up, and a later look has said how things are
                return
            tally.newest = began
            tally.success, tally.duration = reading.facts is not None, reading.duration_seconds
            if reading.facts is not None:
                tally.succeeded_at = reading.taken_at.timestamp()

    def _missing(self, item: Assignment, began: float, flight: Flight | None = None) -> Reading:
        """Return the reading of a target that said nothing in time; a look fails once for all who wait."""
        seconds = time.monotonic() - began
        with self._lock:
            tally = self._tallies[item.target.id]
            tally.success = False
            if flight is None or not flight.missed:
                tally.failures += 1
            if flight is not None:
                flight.missed = True
        return Reading(
            target=item.target,
            taken_at=datetime.now(UTC),
            duration_seconds=round(seconds, 4),
            problem=Problem(code="timeout", message=f"no answer in {seconds:.1f} s"),
        )


def _answered(reading: Reading | None) -> bool:
    return reading is not None and reading.facts is not None and reading.facts.up is not False
