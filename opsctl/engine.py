"""Every probe at once under one deadline; what has not answered by then is left behind.

Never raises for what a probe does. Probes run in daemon threads, so a hung one cannot keep
the process alive; child processes are killed when the deadline has passed.
"""

from __future__ import annotations

import queue
import threading
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import msgspec

from opsctl import __version__, system
from opsctl.companion import Companion, possible
from opsctl.look import look_at
from opsctl.model import Problem, Reading, Snapshot, Target
from opsctl.probes.base import PROBE_SECONDS, ProbeContext, Shared
from opsctl.redact import Redactor
from opsctl.secrets import Secrets
from opsctl.snapshot import SCHEMA, reading_from, redacted
from opsctl.stack.targets import Assignment, assignments

if TYPE_CHECKING:
    from collections.abc import Callable

    from opsctl.stack.stack import Stack

DEADLINE_SECONDS = 10.0
MAX_THREADS = 64
COMPANION_KINDS = (("postgres", "data"), ("redis",))
"""Kinds whose probes go into a process of their own: each group shares a driver that is slow to import."""
_PACKING_SECONDS = 0.15
"""How much earlier the second process stops waiting, to hand over what it has."""
_LEAST_SECONDS = 0.05
"""How much earlier than a collection its last probes end."""
_MARGIN_SECONDS = 0.25
"""Kept back from the deadline for judging and writing the answer."""


def collect(
    stack: Stack,
    deadline: float = DEADLINE_SECONDS,
    wanted: Callable[[Target], bool] | None = None,
    progress: Callable[[int, int], None] | None = None,
    options: dict[str, Any] | None = None,
) -> Snapshot:
    """Look at every target of the stack (or the wanted ones) and return the snapshot.

    Args:
        stack: what to look at.
        deadline: seconds from now after which the snapshot is returned, whatever is missing.
        wanted: which targets; all by default.
        progress: called with (answered, total) as answers arrive.
        options: passed to probes; `companion` allows a second process, `debug` shows tracebacks.
    """
    began, taken_at = time.monotonic(), datetime.now(UTC)
    ends = began + max(deadline - _MARGIN_SECONDS, deadline / 2)
    redactor = Redactor()
    secrets = Secrets(stack, redactor)
    chosen = [item for item in assignments(stack) if wanted is None or wanted(item.target)]
    run = _Run(stack, secrets, redactor, ends, options or {})
    run.probe_seconds = probe_seconds(deadline)
    readings = _everything(run, chosen, progress)
    return redacted(
        Snapshot(
            schema=SCHEMA,
            opsctl_version=__version__,
            stack=stack.summary(),
            taken_at=taken_at,
            duration_seconds=round(time.monotonic() - began, 4),
            deadline_seconds=deadline,
            readings=tuple(readings),
        ),
        redactor,
    )


def probe_seconds(deadline: float) -> float:
    """Return how long one probe may take: 3 s, in proportion more where more than 10 s are allowed in all."""
    return PROBE_SECONDS * max(1.0, deadline / DEADLINE_SECONDS)


def _everything(
    run: _Run, chosen: list[Assignment], progress: Callable[[int, int], None] | None
) -> list[Reading]:
    """Return the readings of all assignments in their order, with a second process where that helps."""
    groups = [[item for item in chosen if item.target.kind in kinds] for kinds in COMPANION_KINDS]
    elsewhere = {item.target.id for group in groups for item in group}
    here = [item for item in chosen if item.target.id not in elsewhere]
    if not (run.options.get("companion") and elsewhere and here and possible()):
        return run.all(chosen, progress)
    companions: list[tuple[list[Assignment], Companion | None]] = []
    try:
        for group in groups:
            companions.append((group, _companion(run, group)))
        here += [item for group, companion in companions if companion is None for item in group]
        found = run.all(here, progress)
        _ready_to_judge(chosen)  # while the others still look
        for group, companion in companions:
            if companion is not None:
                found += _unpacked(run, group, companion.result(run.ends))
    finally:
        for _, companion in companions:
            if companion is not None:
                companion.end()
    by_id = {reading.target.id: reading for reading in found}
    return [by_id[item.target.id] for item in chosen]


def _ready_to_judge(chosen: list[Assignment]) -> None:
    """Import the checks that will be needed next."""
    from opsctl.checks import checks_for

    for kind in {item.target.kind for item in chosen}:
        checks_for(kind)


def _companion(run: _Run, group: list[Assignment]) -> Companion | None:
    """Start a second process for a group; None where there is nothing to do or no process to be had."""
    if not group:
        return None
    try:
        return Companion(lambda: _packed(run, group))
    except OSError:
        return None


def _packed(run: _Run, there: list[Assignment]) -> bytes:
    run.ends -= _PACKING_SECONDS  # what hangs must not cost the others their answer
    readings = [msgspec.to_builtins(reading) for reading in run.all(there, None)]
    return msgspec.msgpack.encode({"readings": readings, "secrets": run.redactor.known()})


def _unpacked(run: _Run, there: list[Assignment], data: bytes | None) -> list[Reading]:
    if data is None:
        return [_late(item, "timed out in a process of its own", 0.0) for item in there]
    value = msgspec.msgpack.decode(data)
    for secret in value["secrets"]:
        run.redactor.add(secret)
    return [reading_from(item) for item in value["readings"]]


class _Run:
    """The state of one collection."""

    def __init__(
        self,
        stack: Stack,
        secrets: Secrets,
        redactor: Redactor,
        ends: float,
        options: dict[str, Any],
    ) -> None:
        self.stack, self.secrets, self.redactor = stack, secrets, redactor
        self.ends, self.options = ends, options
        self.shared = Shared()
        self.batch = system.Batch()
        self.started: dict[int, float] = {}
        self.probe_seconds = PROBE_SECONDS

    def all(self, chosen: list[Assignment], progress: Callable[[int, int], None] | None) -> list[Reading]:
        if progress is not None:
            progress(0, len(chosen))
        waiting: queue.SimpleQueue[tuple[int, Assignment]] = queue.SimpleQueue()
        results: queue.SimpleQueue[tuple[int, Reading]] = queue.SimpleQueue()
        for index, item in enumerate(chosen):
            waiting.put((index, item))
        for number in range(min(MAX_THREADS, len(chosen))):
            threading.Thread(
                target=self._work, args=(waiting, results), name=f"probe-{number}", daemon=True
            ).start()
        done: dict[int, Reading] = {}
        while len(done) < len(chosen):
            left = self.ends - time.monotonic()
            if left <= 0:
                break
            try:
                index, reading = results.get(timeout=left)
            except queue.Empty:
                break
            done[index] = reading
            if progress is not None:
                progress(len(done), len(chosen))
        self.batch.end()
        return [done.get(index) or self._left_behind(index, item) for index, item in enumerate(chosen)]

    def _work(
        self,
        waiting: queue.SimpleQueue[tuple[int, Assignment]],
        results: queue.SimpleQueue[tuple[int, Reading]],
    ) -> None:
        self.batch.join()
        while time.monotonic() < self.ends:
            try:
                index, item = waiting.get_nowait()
            except queue.Empty:
                return
            self.started[index] = time.monotonic()
            results.put((index, self.one(item)))

    def one(self, item: Assignment) -> Reading:
        """Return what the target's probe says, or why it said nothing."""
        ends = min(time.monotonic() + self.probe_seconds, self.ends - _LEAST_SECONDS)
        context = ProbeContext(
            target=item.target,
            spec=item.spec,
            service=item.service,
            stack=self.stack,
            secrets=self.secrets,
            redactor=self.redactor,
            shared=self.shared,
            ends=ends,
            options=self.options,
        )
        return look_at(context)

    def _left_behind(self, index: int, item: Assignment) -> Reading:
        began = self.started.get(index)
        if began is None:
            return _late(item, "not reached before the deadline", 0.0)
        seconds = time.monotonic() - began
        return _late(item, f"timed out after {seconds:.1f} s", seconds)


def _late(item: Assignment, message: str, seconds: float) -> Reading:
    return Reading(
        target=item.target,
        taken_at=datetime.now(UTC),
        duration_seconds=round(seconds, 4),
        problem=Problem(code="timeout", message=message, hint="give it longer with --timeout"),
    )
