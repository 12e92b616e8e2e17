"""A second process for part of the probes, so that two cores work where there are two.

Importing a database driver is a fifth of a second of work under the interpreter's one lock; done
in a forked process, it happens beside everything else. The process is killed when its time is over,
so not even a library that hangs outside Python's reach can outlive the deadline.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


def possible() -> bool:
    """Return whether forking is safe (one thread) and useful (more than one core)."""
    return threading.active_count() == 1 and len(os.sched_getaffinity(0)) > 1


class Companion:
    """Runs `work` in a forked process; `result` gives the bytes it returned.

    Raises:
        OSError: no process or pipe could be had; do the work here then.
    """

    def __init__(self, work: Callable[[], bytes]) -> None:
        self._reader, writer = os.pipe()
        try:
            self.pid = os.fork()
        except OSError:
            os.close(self._reader)
            os.close(writer)
            raise
        if self.pid == 0:
            _live(work, self._reader, writer)
        os.close(writer)
        self._ended = False

    def result(self, ends: float) -> bytes | None:
        """Return what the process returned, or None where it had not by `ends` (monotonic) or died."""
        parts: list[bytes] = []
        whole = False
        while (left := ends - time.monotonic()) > 0:
            ready, _, _ = select.select([self._reader], [], [], left)
            if not ready:
                break
            part = os.read(self._reader, 1 << 16)
            if not part:
                whole = True
                break
            parts.append(part)
        self.end()
        return b"".join(parts) if whole and parts else None

    def end(self) -> None:
        """Kill the process if it still lives, and close the pipe."""
        if self._ended:
            return
        self._ended = True
        os.close(self._reader)
        with contextlib.suppress(ProcessLookupError, ChildProcessError):
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)


def _live(work: Callable[[], bytes], reader: int, writer: int) -> None:
    """Be the second process: never returns, and never runs the first one's clean-up."""
    code = 1
    try:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.close(reader)
        data = work()
        with os.fdopen(writer, "wb") as file:
            file.write(data)
        code = 0
    except BaseException:  # noqa: BLE001, S110 - the first process sees the broken pipe and says so
        pass
    finally:
        os._exit(code)
