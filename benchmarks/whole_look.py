"""`health` and `diagnose` on the small stack: against their slowest probe, and against doing it by hand."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.by_hand import ask_all, commands
from benchmarks.timing import alternating, median_ratio, milliseconds, seconds
from tests.servers.small_stack import SmallStack

OPSCTL = str(Path(sys.executable).with_name("opsctl"))
OVERHEAD_SECONDS = 0.35
TIMES_FASTER = 3.0


def _slowest_probe(small: SmallStack) -> tuple[float, float]:
    """Take a snapshot as a process; return its wall seconds and those of its slowest probe."""
    began = time.perf_counter()
    done = subprocess.run(
        [OPSCTL, "snapshot", "-o", "-", "--stack", str(small.file)], capture_output=True, check=True
    )
    wall = time.perf_counter() - began
    return wall, max(row["duration_seconds"] for row in json.loads(done.stdout)["readings"])


def run(runs: int = 10) -> list[tuple[str, str, str, bool]]:
    """Return rows (what, figures, ratio, within the limit)."""
    rows = []
    with SmallStack() as small:
        file = ["--stack", str(small.file)]
        slowest: list[float] = []

        def probe() -> float:
            slowest.append(_slowest_probe(small)[1])
            return slowest[-1]

        def by_hand() -> float:
            began = time.perf_counter()
            ask_all(small)
            return time.perf_counter() - began

        health, diagnose, probes, hand = alternating(
            runs,
            lambda: seconds([OPSCTL, "health", *file]),
            lambda: seconds([OPSCTL, "diagnose", *file]),
            probe,
            by_hand,
        )
        for name, values in (("health", health), ("diagnose", diagnose)):
            over = statistics.median(values) - statistics.median(probes)
            rows.append(
                (
                    f"opsctl {name} over its slowest probe",
                    f"{milliseconds(values)} over {milliseconds(probes)}",
                    f"+ {over:.2f} s (≤ {OVERHEAD_SECONDS})",
                    over <= OVERHEAD_SECONDS,
                )
            )
        faster = median_ratio(hand, diagnose)
        rows.append(
            (
                f"{len(commands(small))} commands by hand / opsctl diagnose",
                f"{milliseconds(hand)} / {milliseconds(diagnose)}",
                f"{faster:.1f} × (≥ {TIMES_FASTER:g})",
                faster >= TIMES_FASTER,
            )
        )
    return rows
