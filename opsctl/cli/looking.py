"""What every looking command does: find the stack, take a snapshot, show progress, end rightly."""

from __future__ import annotations

import sys
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from opsctl.cli.failure import ExitCode, exit_code
from opsctl.cli.messages import tell

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from opsctl.model import Snapshot, Status, Target
    from opsctl.stack.stack import Stack

PROGRESS_AFTER_SECONDS = 0.3


def load_stack(name: str | None) -> Stack:
    """Return the stack of `--stack`, of the search path, or of discovery.

    Raises:
        UserError: the file is wrong, or nothing known runs on this machine.
    """
    from opsctl.stack import reader

    path = reader.find(name)
    if path is not None:
        return reader.load(path)
    from opsctl.discovery import discover

    stack = discover()
    names = len(stack.spec.services)
    tell(f"opsctl: no stack file; {names} services discovered on this machine")
    for note in stack.notes:
        tell(f"opsctl: {note}")
    return stack


def take_snapshot(
    stack: Stack, timeout: float, wanted: Callable[[Target], bool] | None = None, debug: bool = False
) -> Snapshot:
    """Look at the stack, with progress on stderr where that is a terminal."""
    from opsctl.engine import collect

    with progress() as tell:
        return collect(stack, timeout, wanted, tell, {"debug": debug, "companion": True, "wanted": wanted})


@contextmanager
def progress() -> Iterator[Callable[[int, int], None]]:
    """Give a callback that shows "answered of total" on a terminal's stderr after 300 ms."""
    if not sys.stderr.isatty():
        yield lambda done, total: None
        return
    state = {"done": 0, "total": 0}
    stop = threading.Event()

    def show() -> None:
        if stop.wait(PROGRESS_AFTER_SECONDS):
            return
        frames = "|/-\\"
        turn = 0
        while not stop.is_set():
            text = f"{frames[turn % 4]} looking: {state['done']} of {state['total']} answered"
            tell(f"\r{text}", newline=False)
            turn += 1
            stop.wait(0.1)
        tell("\r" + " " * 60 + "\r", newline=False)

    thread = threading.Thread(target=show, daemon=True)

    def tell(done: int, total: int) -> None:
        state["done"], state["total"] = done, total
        if not thread.ident:  # not before the engine has forked: only one thread may be alive then
            thread.start()

    try:
        yield tell
    finally:
        stop.set()
        if thread.ident:
            thread.join(timeout=0.5)


def use_color(no_color: bool) -> bool:
    """Return whether to colour: a terminal, and nothing that forbids it."""
    import os

    if no_color or os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return False
    return sys.stdout is not None and sys.stdout.isatty()


def stack_argument(name: str | None) -> str:
    """Return ` --stack NAME` as a shown command needs it to mean the same stack, or nothing."""
    import shlex

    return f" --stack {shlex.quote(name)}" if name else ""


def origin_argument(origin: str) -> str:
    """Return ` --stack` for what a snapshot says of its stack; nothing where that was discovered.

    A shipped stack goes by its name: that is the same wherever the snapshot was taken.
    """
    from pathlib import PurePath

    from opsctl.stack.stack import DISCOVERED

    path = PurePath(origin)
    shipped = path.parts[-3:-1] == ("opsctl", "stacks")
    return "" if origin == DISCOVERED else stack_argument(path.stem if shipped else origin)


def finish(status: Status, fail_on: str, exit_zero: bool, unseen: int = 0) -> None:
    """End the process with the exit code of the status, as the options want it.

    Args:
        status: the worst of what was found.
        fail_on: `critical`, `warning` or `unknown`.
        exit_zero: end with 0 whatever was found.
        unseen: how many checks could not look; they count with `--fail-on unknown`.
    """
    code = exit_code(status)
    if fail_on == "critical" and code is not ExitCode.CRITICAL:
        code = ExitCode.OK
    if fail_on == "unknown" and code is ExitCode.OK and unseen:
        code = ExitCode.UNKNOWN
    raise click.exceptions.Exit(0 if exit_zero else int(code))
