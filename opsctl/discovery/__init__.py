"""This machine to a stack: what runs here, where no stack file says it. Bounded in time."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

from opsctl.discovery.found import Discovered, assemble
from opsctl.errors import UserError
from opsctl.stack.stack import DISCOVERED, Stack

if TYPE_CHECKING:
    from collections.abc import Callable

SECONDS = 0.5
"""How long it may take where something hangs; without, it takes a tenth of that."""


def discover(seconds: float = SECONDS) -> Stack:
    """Return the stack that this machine seems to be.

    Raises:
        UserError: nothing known runs here; says what to do.
    """
    from opsctl.discovery import compose, sockets, units

    results = _all_at_once(
        {"Docker": compose.projects, "systemd": units.enabled, "sockets": sockets.servers}, seconds
    )
    spec, notes = assemble(list(results.values()))
    if not spec.services:
        why = "".join(f"\n  - {note}" for note in notes)
        raise UserError(
            "no stack file, and nothing known runs on this machine: no Compose project, no known systemd "
            f"unit, no listening PostgreSQL, Redis, nginx, PHP-FPM or HTTP server{why}\n"
            "Name a stack with --stack FILE|NAME (`opsctl stack list`), or write ./opsctl.yml "
            "(`opsctl stack schema --markdown` is its reference)"
        )
    return Stack(spec, DISCOVERED, _here(), tuple(notes))


def _here() -> Path:
    """Return the working folder; the root where it was removed under us."""
    try:
        return Path.cwd()
    except OSError:
        return Path("/")


def _all_at_once(finders: dict[str, Callable[[float], Discovered]], seconds: float) -> dict[str, Discovered]:
    """Run the finders side by side; what has not answered in time, or failed, leaves a note."""
    results: dict[str, Discovered] = {}

    def run(name: str, finder: Callable[[float], Discovered]) -> None:
        try:
            results[name] = finder(seconds)
        except Exception as error:  # noqa: BLE001 - one broken finder must not hide the others
            words = f"{type(error).__name__}: {error}".splitlines()[0][:200]
            results[name] = Discovered(notes=[f"{name}: {words}"])

    ends = time.monotonic() + seconds
    threads = {
        name: threading.Thread(target=run, args=(name, finder), daemon=True)
        for name, finder in finders.items()
    }
    for thread in threads.values():
        thread.start()
    for thread in threads.values():
        thread.join(max(ends - time.monotonic(), 0.01))
    late = Discovered(notes=[])
    return {
        name: results.get(name) or Discovered(notes=[f"{name} did not answer within {seconds:g} s"])
        for name in threads
    } or {"": late}
