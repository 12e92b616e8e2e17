"""Running the command line as a shell would, and comparing what it says with transcripts."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

OPSCTL = [sys.executable, "-m", "opsctl"]

_CHANGING = (
    (re.compile(r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d(\.\d+)?Z?"), "<moment>"),
    (re.compile(r"\b\d\d:\d\d:\d\d UTC"), "<time> UTC"),
    (re.compile(r"\b\d+(\.\d+)? ?(ms|s)\b"), "<seconds>"),
    (re.compile(r'"duration_seconds": [\d.]+'), '"duration_seconds": <seconds>'),
    (re.compile(r"time=[\d.]+s"), "time=<seconds>"),
)


@dataclass(frozen=True)
class Ended:
    """How a command line ended."""

    code: int
    stdout: str
    stderr: str


def environment(**more: str) -> dict[str, str]:
    """Return an environment without what would change the output."""
    kept = {
        key: value for key, value in os.environ.items() if not key.startswith(("OPSCTL", "_OPSCTL", "XDG_"))
    }
    return {**kept, "COLUMNS": "80", "NO_COLOR": "", "TERM": "xterm", "PYTHONWARNINGS": "error", **more}


def opsctl(*arguments: str, cwd: Path | None = None, **more: str) -> Ended:
    """Run `opsctl` with arguments in a folder."""
    done = subprocess.run(
        [*OPSCTL, *arguments],
        cwd=cwd,
        env=environment(**more),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=60,
        check=False,
    )
    return Ended(done.returncode, done.stdout.decode(), done.stderr.decode())


def steady(text: str) -> str:
    """Return the text with times and durations as placeholders."""
    for pattern, placeholder in _CHANGING:
        text = pattern.sub(placeholder, text)
    return text
