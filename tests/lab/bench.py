"""One booted system under test: its faults, its controls, and the time they take."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

from tests.lab import load
from tests.lab.faults.base import Fault, resolved
from tests.lab.interrupt import shielded
from tests.lab.processors import WINDOW_SECONDS, Processors
from tests.lab.score import RECOVERED_SECONDS, Control, Result, control, found, judge
from tests.lab.stacks import SYSTEMS
from tests.lab.stacks.base import System
from tests.servers.image import locked

SETTLE_SECONDS = 40
"""How long traces of a fault may be found after it is undone, before the system is booted anew;
longer beside other work."""


class Bench:
    """A system that is booted, kept lightly busy, broken and mended.

    Args:
        name: of the system.
        shared_machine: other work runs beside it; pressure on the whole machine is not judged.
        controls: where the looks at the healthy system are written down.
        verbose: tell every step.
        processors: what was measured while they were taken away is measured again.
    """

    def __init__(
        self,
        name: str,
        shared_machine: bool = False,
        controls: list[Control] | None = None,
        verbose: bool = False,
        processors: Processors | None = None,
    ) -> None:
        self.name, self.shared_machine, self.verbose = name, shared_machine, verbose
        self.processors = processors or Processors()
        self.system: System | None = None
        self.controls: list[Control] = [] if controls is None else controls
        self.boot_seconds = 0.0
        self.last: Result | None = None
        self.well_since = 0.0
        self.spent = False
        """Marks were left on it; it is not to be used again."""

    @property
    def lab(self) -> System:
        """The system; it must have been booted."""
        assert self.system is not None, f"{self.name} is not booted"
        return self.system

    @property
    def usable(self) -> bool:
        """True while more can be done on it."""
        return self.system is not None and not self.spent

    # -- life -------------------------------------------------------------------------------------

    def boot(self) -> None:
        """Boot the system under light load. What was made is removed by `stop`, however far this came.

        Systems are booted one at a time: two at once on two processors are both late.
        """
        with locked("boot"):
            self.tell("booting")
            began = time.monotonic()
            with shielded():
                self.system = SYSTEMS[self.name](self.shared_machine)
            self.system.boot()
            self.boot_seconds = round(time.monotonic() - began, 2)
        load.start(self.system)
        self.lab.forget()
        self.well_since = time.monotonic()
        say(f"{self.name}: up in {self.boot_seconds:.1f} s")

    def stop(self) -> None:
        """Pull the plug and remove everything; harmless where nothing was booted."""
        with shielded():
            self.tell("removing")
            if self.system is not None:
                self.system.stop()
                self.system = None
            self.tell("removed")

    def tell(self, text: str) -> None:
        """Say what is being done, where asked to."""
        if self.verbose:
            say(f"{self.name}: {text}")

    # -- looks ------------------------------------------------------------------------------------

    def look(self, fault: Fault | None = None) -> tuple[dict[str, Any], float]:
        """Ask opsctl once."""
        user, options = (fault.user, fault.options) if fault else ("", ())
        return self.lab.diagnosis(*options, user=user)

    def settled(self) -> bool:
        """Wait until opsctl finds nothing; looks that come late enough count as controls."""
        self.tell("settle")
        began = time.monotonic()
        seen: list[str] = []
        patience = SETTLE_SECONDS * (3 if self.shared_machine else 1)
        while time.monotonic() < began + patience:
            if time.monotonic() < self._well_since() + RECOVERED_SECONDS:
                self.lab.forget()
            looked, well_since = time.monotonic(), self._well_since()
            try:
                diagnosis = self.look()[0]
            except Exception as error:
                seen = [_words(error)]
                continue
            if not self.processors.disturbed_since(looked):
                self._count("between", diagnosis, looked - well_since)
            seen = [f"{item['id']}@{item['target']}: {item['summary']}" for item in found(diagnosis)]
            if not seen:
                self._spent("settle", began)
                return True
            time.sleep(0.3)
        self._spent("settle", began)
        say(f"  still found on {self.name}: {seen[:4]}")
        return False

    def control_looks(self, count: int) -> None:
        """Look so often at the healthy system, half of the time idle, half under load; every look counts."""
        if not count:
            return
        self.tell("control looks")
        self.lab.wait_healthy()
        self.lab.forget()
        time.sleep(max(0.0, self.well_since + RECOVERED_SECONDS - time.monotonic()))
        load.stop(self.lab)
        for number in range(count):
            if number == count // 2:
                load.start(self.lab)
            when = "load" if number >= count // 2 else "idle"
            diagnosis, seconds = self._undisturbed_look()
            counted = self._count(when, diagnosis, max(RECOVERED_SECONDS, time.monotonic() - self.well_since))
            if counted:
                counted.seconds = round(seconds, 3)
                if counted.found:
                    say(f"  FALSE ALARM on {self.name} ({when}): {counted.found[:4]}")
        load.start(self.lab)

    def _well_since(self) -> float:
        return max(self.well_since, self.processors.disturbed_at)

    def _undisturbed_look(self) -> tuple[dict[str, Any], float]:
        """Ask opsctl while the processors are ours, and were since the traces of a disturbance went away."""
        while True:
            while self.processors.wait(RECOVERED_SECONDS):
                self.lab.wait_healthy()
                self.lab.forget()
                time.sleep(RECOVERED_SECONDS)
            began = time.monotonic()
            found = self.look()
            if not self.processors.disturbed_since(began):
                return found
            self.processors.again(began)

    def _count(self, when: str, diagnosis: dict[str, Any], since: float) -> Control | None:
        counted = control(self.name, when, diagnosis, self.last if when == "between" else None, since)
        if counted is not None:
            self.controls.append(counted)
        return counted

    # -- faults -----------------------------------------------------------------------------------

    def one(self, fault: Fault) -> Result:
        """Inject, look, undo; the result says whether it was disturbed meanwhile."""
        self.processors.wait(WINDOW_SECONDS)
        began = time.monotonic()
        expected = [f"{slugs}@{self.lab.services.get(role, role)}" for slugs, role in fault.expect]
        result = Result(
            fault.id, fault.system, fault.kind, expected, fault.special, fault.hangs, fault.abstain
        )
        self.last = result
        steps = fault.inject(self.lab)
        try:
            self._timed("inject", lambda: next(steps))
            diagnosis, result.seconds = self._timed("look", lambda: self.look(fault))
            judge(
                result,
                diagnosis,
                resolved(self.lab, fault.expect),
                resolved(self.lab, fault.shows),
                fault.innocent,
                fault.abstain,
            )
            result.disturbed = self.processors.disturbed_since(began)
            self._timed("undo", lambda: self._undo(steps))
        except Exception as error:
            result.error = _words(error)
            result.disturbed = self.processors.disturbed_since(began)
        finally:
            steps.close()  # type: ignore[attr-defined]
        self.well_since = time.monotonic()
        return result

    def _undo(self, steps: Iterator[None]) -> None:
        next(steps, None)
        self.lab.wait_healthy()
        self.lab.forget()

    def _timed(self, phase: str, step: Callable[[], Any]) -> Any:
        self.tell(phase)
        began = time.monotonic()
        try:
            return step()
        finally:
            self._spent(phase, began)

    def _spent(self, phase: str, began: float) -> None:
        if self.last is not None:
            already = self.last.phases.get(phase, 0.0)
            self.last.phases[phase] = round(already + time.monotonic() - began, 2)


def say(text: str) -> None:
    """Progress goes to stderr."""
    print(text, file=sys.stderr, flush=True)


def show(result: Result) -> None:
    """Print one line, and the reasons where something is wrong."""
    mark = "ok   " if result.right else "ERROR" if result.error else "WRONG"
    spent = " ".join(f"{name} {seconds:.0f}" for name, seconds in result.phases.items() if name != "look")
    got = ", ".join(result.got) or "-"
    say(f"  {mark} {result.fault:<52} {result.seconds:5.2f} s  {got}  ({spent})")
    if not result.right:
        say(f"        expected {result.expected or 'nothing'}")
        for note in [*result.notes, *result.false_alarms, *filter(None, [result.error])]:
            say(f"        {note}")
        for line in result.evidence.get("findings", [])[:12]:
            say(f"        | {line[:220]}")


def _words(error: Exception) -> str:
    words = f"{type(error).__name__}: {error}"
    return words if len(words) < 800 else f"{words[:300]} … {words[-500:]}"
