"""Boots each system, injects its faults one after the other, and scores what opsctl says."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from tabulate import tabulate

from tests.lab.bench import Bench, say, show
from tests.lab.faults import all_faults
from tests.lab.faults.base import Fault
from tests.lab.interrupt import install, shielded, was_asked
from tests.lab.machine import sweep
from tests.lab.processors import PATIENCE_SECONDS, Processors
from tests.lab.score import Control, Result, broken_gates, plain, result_from, summary
from tests.lab.stacks import SYSTEMS
from tests.lab.stacks.base import NEIGHBOURS

REPORT = Path(__file__).resolve().parents[2] / "build" / "lab" / "report.json"
CONTROL_LOOKS = 44
"""Looks at each healthy system in a full run: five systems give more than 200."""
BOOT_SECONDS = 20
"""What a boot from the cached image may take."""


def chosen(only: Sequence[str], stacks: Sequence[str]) -> list[Fault]:
    """Return the faults asked for.

    Patterns match SYSTEM/NAME, SYSTEM/SLUG with the slug of an expected cause written with a dash
    (freemarket/postgres-connections), the slug itself, or the kind.
    """
    wanted = set(stacks or SYSTEMS) & set(SYSTEMS)
    faults = [fault for fault in all_faults() if fault.system in wanted]
    return [item for item in faults if not only or any(_is_meant(item, text) for text in only)]


def _is_meant(fault: Fault, pattern: str) -> bool:
    slugs = [slug for cause, _ in fault.expect for slug in cause.split("|")]
    names = [fault.id, fault.kind, *slugs, *(f"{fault.system}/{slug.replace('/', '-')}" for slug in slugs)]
    return any(fnmatchcase(name, pattern) for name in names)


class Run:
    """One run over some faults, one system after the other.

    Args:
        shared_machine: other work runs beside it; pressure on the whole machine is not judged.
        repeat: how often each fault is run.
        controls: how often each healthy system is looked at.
        verbose: tell every step.
    """

    def __init__(
        self,
        shared_machine: bool = False,
        repeat: int = 1,
        controls: int = 0,
        verbose: bool = False,
    ) -> None:
        self.shared_machine, self.repeat, self.verbose = shared_machine, repeat, verbose
        self.control_count = controls
        self.processors = Processors(PATIENCE_SECONDS if controls else 0.0)
        """A run that says how good opsctl is waits for a machine that can be measured on."""
        self.measured_again = 0
        self.results: list[Result] = []
        self.controls: list[Control] = []
        self.boots: dict[str, list[float]] = {}
        self.problems: list[str] = []
        self.left_out: list[str] = []
        self.began = datetime.now(UTC)
        self._stopping: list[threading.Thread] = []
        self._bench: Bench | None = None

    def all(self, faults: Sequence[Fault]) -> None:
        """Run the faults system by system; one is removed while the next one boots."""
        self.processors.start()
        try:
            for name in dict.fromkeys(fault.system for fault in faults):
                self.of_system(name, [fault for fault in faults if fault.system == name])
        finally:
            self.processors.stop()
            self.close()

    def of_system(self, name: str, faults: Sequence[Fault]) -> None:
        """Run the faults of one system; it is booted anew where a fault leaves marks."""
        if self.shared_machine:
            unseen = [item for item in faults if any(slug in NEIGHBOURS for slug, _ in item.expect)]
            self.left_out += [item.id for item in unseen]
            faults = [item for item in faults if item not in unseen]
        waiting = [item for item in faults for _ in range(self.repeat)]
        before, after = self.control_count - self.control_count // 2, self.control_count // 2
        fruitless = 0
        while waiting or before or after:
            ran = 0
            try:
                bench = self.booted(name)
                looks, before = before, 0
                bench.control_looks(looks)
                while waiting and bench.usable and bench.settled():
                    fault = waiting.pop(0)
                    ran += 1
                    began = time.monotonic()
                    result = bench.one(fault)
                    bench.spent = bool(result.error)
                    if result.disturbed:
                        self.processors.again(began)
                        say(f"  again {fault.id}: the host took the processors away")
                        waiting.insert(0, fault)
                        continue
                    show(result)
                    self.results.append(result)
                if not waiting and bench.usable and bench.settled():
                    looks, after = after, 0
                    bench.control_looks(looks)
                    return
            except Exception as error:
                self.problems.append(f"{name}: {type(error).__name__}: {error}"[:600])
                say(f"  {self.problems[-1]}")
            fruitless = 0 if ran else fruitless + 1
            if fruitless >= 2:  # it does not boot, or is not well when booted: nothing can be injected
                self.results += [_not_run(item, "the system did not come up well") for item in waiting]
                self.problems.append(f"{name}: did not come up well")
                return
            self.drop()
            if waiting or before or after:
                say(f"  {name} is booted anew")

    def booted(self, name: str) -> Bench:
        """Return a system that runs under light load: the one at hand, or one that is booted now."""
        if self._bench is not None and (self._bench.name != name or not self._bench.usable):
            self.drop()
        if self._bench is None:
            self._bench = Bench(name, self.shared_machine, self.controls, self.verbose, self.processors)
            self._bench.boot()
            self.boots.setdefault(name, []).append(self._bench.boot_seconds)
        return self._bench

    def drop(self) -> None:
        """Have the system at hand removed beside what comes next."""
        with shielded():
            bench, self._bench = self._bench, None
            if bench is None:
                return

            def remove() -> None:
                try:
                    bench.stop()
                except Exception as error:
                    text = f"{bench.name} was not removed: {type(error).__name__}: {error}"
                    self.problems.append(text[:600])

            thread = threading.Thread(target=remove)
            thread.start()
            self._stopping.append(thread)

    def close(self) -> None:
        """Remove everything and wait until it is gone."""
        with shielded():
            self.drop()
            while self._stopping:
                self._stopping.pop().join()

    def take(self, report: dict[str, Any]) -> None:
        """Add what another process's run has measured."""
        self.results += [result_from(item) for item in report["faults"]]
        self.controls += [Control(**item) for item in report["control_looks"]]
        for name, seconds in report["boots"].items():
            self.boots.setdefault(name, []).extend(seconds)
        self.problems += report["problems"]
        self.left_out += report["left_out"]
        self.measured_again += report["measured_again"]

    def report(self, workers: int = 1) -> dict[str, Any]:
        """Return everything as plain values."""
        summed = summary(self.results, self.controls)
        return {
            "schema": 1,
            "taken_at": self.began.isoformat(timespec="seconds"),
            "seconds": round((datetime.now(UTC) - self.began).total_seconds(), 1),
            "workers": workers,
            "cores": os.cpu_count(),
            "shared_machine": self.shared_machine,
            "boots": self.boots,
            "slow_boots": [
                f"{name}: {seconds} s"
                for name, each in self.boots.items()
                for seconds in each
                if seconds > BOOT_SECONDS
            ],
            "problems": self.problems,
            "left_out": self.left_out,
            "measured_again": self.measured_again + self.processors.measured_again,
            "broken_gates": broken_gates(summed),
            "summary": summed,
            "faults": [plain(item) for item in self.results],
            "control_looks": [asdict(item) for item in self.controls],
        }


def _not_run(fault: Fault, reason: str) -> Result:
    expected = [f"{slugs}@{role}" for slugs, role in fault.expect]
    return Result(
        fault.id, fault.system, fault.kind, expected, fault.special, fault.hangs, fault.abstain, error=reason
    )


def table(report: dict[str, Any]) -> str:
    """Return the scores as text."""
    total = report["summary"]
    heads = ["", "faults", "AC@1", "exact", "path", "false alarms", "abstained", "errors", "p50 s", "p95 s"]
    keys = [
        "faults",
        "ac1",
        "exact",
        "path",
        "false_alarms",
        "abstained",
        "errors",
        "p50_seconds",
        "p95_seconds",
    ]
    parts = []
    for group in ("systems", "kinds"):
        named = {**total[group], **({"all": total["all"]} if group == "kinds" else {})}
        rows = [[name, *(each[key] for key in keys)] for name, each in named.items()]
        parts.append(tabulate(rows, [group[:-1], *heads[1:]]))
    controls, blind = total["controls"], total["missing_evidence"]
    alarms = len(controls["false_alarms"])
    count = max(1, total["all"]["faults"])
    spent = ", ".join(f"{name} {seconds / count:.1f}" for name, seconds in total["phases"].items())
    boots = ", ".join(
        f"{name} {'/'.join(f'{each:.1f}' for each in item)}" for name, item in report["boots"].items()
    )
    lines = [
        f"control looks: {controls['runs']} at least {controls['recovered_seconds']:.0f} s after recovery, "
        f"with a false alarm: {alarms}; echoes of an undone fault: {controls['echoes']}",
        f"missing evidence: {blind['faults']} faults, abstained: {blind['abstained']}, "
        f"wrong names: {len(blind['wrong_names'])}",
        f"where the time goes, seconds a fault: {spent}; boots: {boots}",
        f"{report['seconds']:.0f} s in all, workers: {report['workers']}"
        + ("; machine shared, pressure on all of it not judged" if report["shared_machine"] else ""),
    ]
    if report["measured_again"]:
        lines.append(f"measured again, the host took the processors away: {report['measured_again']} times")
    hanging = total["all"]["p95_hanging_seconds"]
    if hanging is not None:
        lines.append(f"where something hangs: p95 {hanging} s (not in the p95 above; the deadline is 10 s)")
    lines += [f"slow boot: {item}" for item in report["slow_boots"]]
    lines += [f"problem: {item}" for item in report["problems"]]
    lines += [f"NOT GOOD ENOUGH: {item}" for item in report["broken_gates"]]
    if report["left_out"]:
        lines.append(f"left out, they need the machine alone: {', '.join(report['left_out'])}")
    return "\n\n".join([*parts, "\n".join(lines)])


def side_by_side(run: Run, names: Sequence[str], workers: int, arguments: Sequence[str]) -> None:
    """Run each system in a process of its own, so many at once, and take over what they measured."""
    waiting = list(names)
    folder = Path(tempfile.mkdtemp(prefix="opsctl-lab-reports-"))
    with_parent = ["setpriv", "--pdeathsig", "TERM"] if shutil.which("setpriv") else []
    running: dict[str, subprocess.Popen[bytes]] = {}
    try:
        while waiting or running:
            while waiting and len(running) < workers:
                name = waiting.pop(0)
                argv = [*with_parent, sys.executable, "-m", "tests.lab", *arguments, "--stack", name]
                with shielded():
                    running[name] = subprocess.Popen(
                        [*argv, "--report", str(folder / f"{name}.json")],
                        stdin=subprocess.DEVNULL,
                        stdout=subprocess.DEVNULL,
                        start_new_session=True,  # Ctrl-C reaches it through us, once
                    )
            time.sleep(0.2)
            for name in [name for name, process in running.items() if process.poll() is not None]:
                _take(run, name, running.pop(name), folder)
    finally:
        with shielded():
            for process in running.values():
                process.terminate()
            for name, process in running.items():
                process.wait()
                _take(run, name, process, folder)
            shutil.rmtree(folder, ignore_errors=True)


def _take(run: Run, name: str, process: subprocess.Popen[bytes], folder: Path) -> None:
    path = folder / f"{name}.json"
    if path.exists():
        run.take(json.loads(path.read_text()))
    else:
        run.problems.append(f"{name}: the worker ended with {process.returncode} and no report")


def run(
    only: Sequence[str],
    stacks: Sequence[str],
    shared_machine: bool = False,
    repeat: int = 1,
    path: Path = REPORT,
    workers: int = 1,
    controls: int | None = None,
    verbose: bool = False,
) -> int:
    """Run and report; 0 where every fault was named rightly, 1 where not, 130 on Ctrl-C."""
    install()
    faults = chosen(only, stacks)
    if not faults:
        say("no fault goes by that name; --list shows them")
        return 3
    for line in sweep():
        say(f"removed what a killed run had left: {line}")
    names = list(dict.fromkeys(fault.system for fault in faults))
    workers = min(workers, len(names))
    if controls is None:
        controls = 0 if only else CONTROL_LOOKS
    runner = Run(shared_machine or workers > 1, repeat, controls, verbose=verbose)
    try:
        if workers > 1:
            arguments = ["--shared-machine", "--repeat", str(repeat), "--controls", str(controls)]
            arguments += [f"--only={text}" for text in only] + ["--verbose"] * verbose
            side_by_side(runner, names, workers, arguments)
        else:
            runner.all(faults)
    except KeyboardInterrupt:
        pass
    with contextlib.suppress(KeyboardInterrupt):  # asked for now, it only changes the exit code
        report = runner.report(workers)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(report, indent=2) + "\n")
        print(table(report), flush=True)
    if was_asked():
        return 130
    well = not (report["broken_gates"] or report["problems"])
    return 0 if well and all(item.right for item in runner.results) else 1
