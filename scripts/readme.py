"""Puts true output into README.md: `python scripts/readme.py demo FILE`, `… bench FILE`, `… lab FILE`.

FILE holds what `make demo` or `make bench` printed; for the lab it is build/lab/report.json. The demo's
second step goes between the demo markers, the benchmark's table between the bench markers with today's
date, the lab's scores between the lab markers with the date of the run.
"""

from __future__ import annotations

import datetime
import json
import re
import sys
import textwrap
from pathlib import Path
from typing import Any

README = Path(__file__).parent.parent / "README.md"
STEP = re.compile(r"^=== breaking it: PostgreSQL.*?\n(.*?)\n=== mending it", re.M | re.S)


def between(text: str, marker: str, content: str) -> str:
    """Return the text with what stands between `<!-- marker -->` and `<!-- /marker -->` replaced."""
    pattern = re.compile(rf"(<!-- {marker} -->\n).*?(<!-- /{marker} -->)", re.S)
    if not pattern.search(text):
        raise SystemExit(f"README.md has no <!-- {marker} --> … <!-- /{marker} -->")
    return pattern.sub(lambda match: match.group(1) + content + match.group(2), text)


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(text, 118, break_long_words=False, break_on_hyphens=False)


def lab_table(report: dict[str, Any]) -> str:
    """Return the lab's scores as Markdown, with all that a reader needs to judge and to repeat them."""
    total = report["summary"]
    heads = ("", "faults", "AC@1", "exact set", "path right", "abstained", "p50", "p95")
    lines = [f"| {' | '.join(heads)} |", f"|---|{'---:|' * (len(heads) - 1)}"]
    for name, each in [*total["systems"].items(), *total["kinds"].items(), ("**all**", total["all"])]:
        if name == next(iter(total["kinds"])):
            lines.append(f"| *by kind of fault* |{' |' * (len(heads) - 1)}")
        shares = [f"{each[key]:.3f}" for key in ("ac1", "exact", "path")]
        times = ["–" if each[key] is None else f"{each[key]:.2f} s" for key in ("p50_seconds", "p95_seconds")]
        lines.append(
            f"| {' | '.join([name, str(each['faults']), *shares, str(each['abstained']), *times])} |"
        )
    controls, blind = total["controls"], total["missing_evidence"]
    alarms = len(controls["false_alarms"]) + total["all"]["false_alarms"]
    hanging = total["all"]["p95_hanging_seconds"]
    hangs = f" Where something hangs the p95 is {hanging:.2f} s (deadline 10 s)." if hanging else ""
    count = report["measured_again"]
    again = f" Measured again, as the host took the processors away meanwhile: {count}." if count else ""
    beside = f", {report['workers']} systems at once" if report["workers"] > 1 else ""
    beside += ", beside other work" if report["shared_machine"] and report["workers"] == 1 else ""
    command = "make lab ARGUMENTS='--workers 2'" if report["workers"] == 2 else "make lab"
    return "\n".join(
        [
            f"Measured on {report['taken_at'][:10]} on {report['cores']} cores{beside}, "
            f"{report['seconds'] / 60:.0f} minutes; repeat it with `{command}` (root, Debian 12):",
            "",
            *lines,
            "",
            *_wrapped(
                f"False alarms: {alarms} in {controls['runs']} looks at healthy systems, each at least "
                f"{controls['recovered_seconds']:.0f} s after the last fault was undone, and in all faults "
                f"that should find nothing. Wrong names under missing evidence: {len(blind['wrong_names'])} "
                f"in {blind['faults']} faults, {blind['abstained']} times it abstained.{hangs}{again}",
            ),
            "",
            *_wrapped(
                "AC@1: the first root cause named is the injected one; where nothing is broken (control, "
                "recovered), nothing is reported; under missing evidence no wrong name is given, silence is "
                "right. Exact set: no cause is missing and none is too many. Path right: every documented "
                "symptom hangs below its cause. p50 and p95 are those of `diagnose`, without the faults in "
                "which something hangs. Scores of other tools published on other data are not like for like.",
            ),
            "",
        ]
    )


def main() -> None:
    """Rewrite one part of the README."""
    part, printed = sys.argv[1], Path(sys.argv[2]).read_text()
    text = README.read_text()
    if part == "demo":
        step = STEP.search(printed)
        if step is None:
            raise SystemExit("no step 'breaking it: PostgreSQL' in that file")
        text = between(text, "demo", f"```text\n{step.group(1).strip()}\n```\n")
    elif part == "lab":
        text = between(text, "lab", lab_table(json.loads(printed)))
    else:
        rows = [line for line in printed.splitlines() if line.startswith("|")]
        today = datetime.datetime.now(datetime.UTC).date()
        table = "\n".join(rows)
        text = between(text, "bench", f"Measured on {today}, 2 cores, Debian 12, Python 3.11:\n\n{table}\n")
    README.write_text(text)


if __name__ == "__main__":
    main()
