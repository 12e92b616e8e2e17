"""Ctrl-C and SIGTERM: raised once, and never while something is being made or removed."""

from __future__ import annotations

import contextlib
import signal
import sys
import threading
from collections.abc import Iterator

_depth = 0
_raised = False
_pending = False


def install() -> None:
    """Have SIGINT and SIGTERM end the run as Ctrl-C does."""
    signal.signal(signal.SIGINT, _asked)
    signal.signal(signal.SIGTERM, _asked)


def was_asked() -> bool:
    """Return whether somebody asked to stop."""
    return _pending or _raised


@contextlib.contextmanager
def shielded() -> Iterator[None]:
    """Put an interruption off to the end of the block; what is inside must be bounded in time."""
    global _depth
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    _depth += 1
    try:
        yield
    finally:
        _depth -= 1
        if _pending and not _raised and not _depth:
            _interrupt()


def _asked(*_: object) -> None:
    global _pending
    if not was_asked():
        print("interrupted; removing what was started", file=sys.stderr, flush=True)
    _pending = True
    if not _depth and not _raised:
        _interrupt()


def _interrupt() -> None:
    global _raised
    _raised = True
    raise KeyboardInterrupt
