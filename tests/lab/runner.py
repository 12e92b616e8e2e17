"""Boots each system, injects its faults one after the other, and scores what opsctl says."""

from __future__ import annotations

import contextlib
import json
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from tabulate import tabulate

from tests.lab import load
from tests.lab.faults import all_faults
from tests.lab.faults.base import Fault, resolved
from tests.lab.score import Result, judge, plain, summary
from tests.lab.stacks import SYSTEMS
from tests.lab.stacks.base import System

SETTLE_SECONDS = 40
REPORT = Path(__file__).resolve().parents[2] / "build" / "lab" / "report.json"


def chosen(only: Sequence[str], stacks: Sequence[str]) -> list[Fault]:
    """Return the faults asked for; patterns match SYSTEM/NAME or the kind."""
    wanted = set(stacks or SYSTEMS) & set(SYSTEMS)
    faults = [fault for fault in all_faults() if fault.system in wanted]
    if only:
        faults = [
            item for item in faults if any(fnmatchcase(item.id, text) or item.kind == text for text in only)
        ]
    return faults


class Run:
    """One run over some faults."""

    def __init__(self, shared_machine: bool = False, repeat: int = 1) -> None:
        self.shared_machine, self.repeat = shared_machine, repeat
        self.results: list[Result] = []
        self.controls: dict[str, list[list[str]]] = {}
        self.boots: dict[str, list[float]] = {}
        self.began = datetime.now(UTC)

    def all(self, faults: Sequence[Fault]) -> None:
        """Run the faults system by system."""
        for name in dict.fromkeys(fault.system for fault in faults):
            self.of_system(name, [fault for fault in faults if fault.system == name])

    def of_system(self, name: str, faults: Sequence[Fault]) -> None:
        """Boot one system and run its faults on it; it is booted anew where a fault leaves marks."""
        waiting = [item for item in faults for _ in range(self.repeat)]
        attempts = 0
        while waiting and attempts <= len(faults) * self.repeat:
            attempts += 1
            with self.booted(name) as system:
                while waiting:
                    if not self.settled(system):
                        say(f"  {name} does not settle; booting it anew")
                        break
                    fault = waiting.pop(0)
                    result = self.one(system, fault)
                    self.results.append(result)
                    show(result)
                    if result.error:
                        break

    @contextlib.contextmanager
    def booted(self, name: str) -> Iterator[System]:
        """Boot a system under light load, and remove it at the end, whatever happens."""
        system = SYSTEMS[name](self.shared_machine)
        began = time.monotonic()
        try:
            system.boot()
            seconds = time.monotonic() - began
            self.boots.setdefault(name, []).append(round(seconds, 2))
            say(f"{name}: up in {seconds:.1f} s")
            load.start(system)
            system.forget()
            yield system
        finally:
            system.stop()

    def settled(self, system: System) -> bool:
        """Wait until opsctl finds nothing; the first quiet look counts as a control run."""
        ends = time.monotonic() + SETTLE_SECONDS
        seen: list[str] = []
        while time.monotonic() < ends:
            system.forget()
            time.sleep(0.5)
            diagnosis = self.look(system)[0]
            seen = [f"{item['id']}@{item['target']}: {item['summary']}" for item in failing(diagnosis)]
            if not seen:
                self.controls.setdefault(system.name, []).append([])
                return True
        self.controls.setdefault(system.name, []).append(seen)
        say(f"  still found: {seen[:4]}")
        return False

    def look(self, system: System, fault: Fault | None = None) -> tuple[dict[str, Any], float]:
        """Ask opsctl once."""
        user, options = (fault.user, fault.options) if fault else ("", ())
        diagnosis, wall = system.diagnosis(*options, user=user)
        return diagnosis, wall

    def one(self, system: System, fault: Fault) -> Result:
        """Inject, look, undo."""
        expected = [f"{slugs}@{system.services.get(role, role)}" for slugs, role in fault.expect]
        result = Result(fault.id, fault.system, fault.kind, expected)
        steps = fault.inject(system)
        try:
            next(steps)
            diagnosis, result.seconds = self.look(system, fault)
            judge(
                result,
                diagnosis,
                resolved(system, fault.expect),
                resolved(system, fault.shows),
                fault.innocent,
                fault.abstain,
            )
            next(steps, None)
            system.wait_healthy()
        except Exception as error:
            words = f"{type(error).__name__}: {error}"
            result.error = words if len(words) < 800 else f"{words[:300]} … {words[-500:]}"
        finally:
            steps.close()  # type: ignore[attr-defined]
        return result

    def report(self) -> dict[str, Any]:
        """Return everything as plain values."""
        return {
            "schema": 1,
            "taken_at": self.began.isoformat(timespec="seconds"),
            "seconds": round((datetime.now(UTC) - self.began).total_seconds(), 1),
            "shared_machine": self.shared_machine,
            "boots": self.boots,
            "summary": summary(self.results, self.controls),
            "faults": [plain(item) for item in self.results],
        }


def failing(diagnosis: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the findings that say something is wrong."""
    return [item for item in diagnosis["findings"] if item["status"] in ("warning", "critical")]


def say(text: str) -> None:
    """Progress goes to stderr."""
    print(text, file=sys.stderr, flush=True)


def show(result: Result) -> None:
    """Print one line, and the reasons where something is wrong."""
    mark = "ok   " if result.right else "ERROR" if result.error else "WRONG"
    say(f"  {mark} {result.fault:<48} {result.seconds:5.2f} s  {', '.join(result.got) or '-'}")
    if not result.right:
        say(f"        expected {result.expected or 'nothing'}")
        for note in [*result.notes, *result.false_alarms, *filter(None, [result.error])]:
            say(f"        {note}")
        for line in result.evidence.get("findings", [])[:12]:
            say(f"        | {line[:220]}")


def table(report: dict[str, Any]) -> str:
    """Return the scores as a table."""
    found = report["summary"]
    rows = [
        [
            name,
            each["faults"],
            each["ac1"],
            each["exact"],
            each["path"],
            each["false_alarms"],
            each["abstained"],
            each["errors"],
            each["p50_seconds"],
            each["p95_seconds"],
        ]
        for group in ("systems", "kinds")
        for name, each in [*found[group].items(), *([("all", found["all"])] if group == "kinds" else [])]
    ]
    heads = ["", "faults", "AC@1", "exact", "path", "false alarms", "abstained", "errors", "p50 s", "p95 s"]
    controls = found["controls"]
    wrong = len(controls["false_alarms"])
    return f"{tabulate(rows, heads)}\n\ncontrol runs: {controls['runs']}, with a false alarm: {wrong}"


def run(
    only: Sequence[str], stacks: Sequence[str], shared_machine: bool, repeat: int, path: Path = REPORT
) -> int:
    """Run and report; 0 where every fault was named rightly, 1 where not, 130 on Ctrl-C."""
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    faults = chosen(only, stacks)
    if not faults:
        say("no fault goes by that name; --list shows them")
        return 3
    runner = Run(shared_machine, repeat)
    interrupted = False
    try:
        runner.all(faults)
    except KeyboardInterrupt:
        interrupted = True
        say("interrupted; everything is removed")
    report = runner.report()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(report, indent=2) + "\n")
    print(table(report))
    if interrupted:
        return 130
    return 0 if all(item.right for item in runner.results) else 1
