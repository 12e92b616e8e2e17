"""Puts true output into README.md: `python scripts/readme.py demo FILE` and `… bench FILE`.

FILE holds what `make demo` or `make bench` printed. The demo's second step goes between the demo
markers, the benchmark's table between the bench markers, with today's date.
"""

from __future__ import annotations

import datetime
import re
import sys
from pathlib import Path

README = Path(__file__).parent.parent / "README.md"
STEP = re.compile(r"^=== breaking it: PostgreSQL.*?\n(.*?)\n=== mending it", re.M | re.S)


def between(text: str, marker: str, content: str) -> str:
    """Return the text with what stands between `<!-- marker -->` and `<!-- /marker -->` replaced."""
    pattern = re.compile(rf"(<!-- {marker} -->\n).*?(<!-- /{marker} -->)", re.S)
    if not pattern.search(text):
        raise SystemExit(f"README.md has no <!-- {marker} --> … <!-- /{marker} -->")
    return pattern.sub(lambda match: match.group(1) + content + match.group(2), text)


def main() -> None:
    """Rewrite one part of the README."""
    part, printed = sys.argv[1], Path(sys.argv[2]).read_text()
    text = README.read_text()
    if part == "demo":
        step = STEP.search(printed)
        if step is None:
            raise SystemExit("no step 'breaking it: PostgreSQL' in that file")
        text = between(text, "demo", f"```text\n{step.group(1).strip()}\n```\n")
    else:
        rows = [line for line in printed.splitlines() if line.startswith("|")]
        today = datetime.datetime.now(datetime.UTC).date()
        table = "\n".join(rows)
        text = between(text, "bench", f"Measured on {today}, 2 cores, Debian 12, Python 3.11:\n\n{table}\n")
    README.write_text(text)


if __name__ == "__main__":
    main()
