"""`opsctl --help` and shell completion against a bare interpreter."""

from __future__ import annotations

import sys
from pathlib import Path

from benchmarks.timing import alternating, median_ratio, milliseconds, seconds

OPSCTL = str(Path(sys.executable).with_name("opsctl"))
LIMIT = 5.0


def run(runs: int = 20) -> list[tuple[str, str, str, bool]]:
    """Return rows (what, figures, ratio, within the limit)."""
    bare = [sys.executable, "-c", "pass"]
    complete = {"_OPSCTL_COMPLETE": "bash_complete", "COMP_WORDS": "opsctl di", "COMP_CWORD": "1"}
    base, usage, completion = alternating(
        runs,
        lambda: seconds(bare),
        lambda: seconds([OPSCTL, "--help"]),
        lambda: seconds([OPSCTL], complete),
    )
    rows = []
    for name, values in (("opsctl --help", usage), ("shell completion", completion)):
        ratio = median_ratio(values, base)
        rows.append(
            (
                f"{name} / bare interpreter",
                f"{milliseconds(values)} / {milliseconds(base)}",
                f"{ratio:.1f} × (≤ {LIMIT:g})",
                ratio <= LIMIT,
            )
        )
    return rows
