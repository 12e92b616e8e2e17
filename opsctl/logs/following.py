"""All logs that one exporter follows: a thread that looks each second, and a file that survives it.

What was counted and how far the logs were read is written together, so that after a restart each line
is counted once. The file holds positions, counts and redacted texts.
"""

from __future__ import annotations

import contextlib
import threading
import time
from typing import TYPE_CHECKING, TypeVar

import msgspec

from opsctl.errors import UserError
from opsctl.files import read_regular, write_whole
from opsctl.logs.followed import Followed, FollowedLog, FollowedNginx, LogState

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from opsctl.redact import Redactor

LOOK_SECONDS = 1.0
SAVE_SECONDS = 15.0
STUCK_SECONDS = 15.0
"""A source that takes longer hangs (a dead network mount): another thread follows the others."""
MOST_STUCK = 3
MOST_BYTES = 4 * 1024 * 1024
"""Read of one file in one look: what is more waits for the next one."""
STATE_FILE = "following.json"
MOST_STATE_BYTES = 64 * 1024 * 1024
VERSION = 1
F = TypeVar("F", bound=Followed)


class State(msgspec.Struct, kw_only=True):
    """The file in the state directory."""

    version: int
    logs: dict[str, LogState] = {}


class Following:
    """The logs that are followed.

    Args:
        redactor: makes texts safe to keep.
        directory: where the state is kept; without, following begins at the end of each log.
    """

    def __init__(self, redactor: Redactor, directory: Path | None = None) -> None:
        self._redactor = redactor
        self._file = directory / STATE_FILE if directory is not None else None
        self._state = self._read()
        self._followed: dict[str, Followed] = {}
        self._saved = (0, time.monotonic())
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._busy: tuple[float, Followed] | None = None
        self._stuck: set[Followed] = set()
        self.problem = ""

    def log(self, target: str, format: str) -> FollowedLog:
        """Return the log of a target, from now on a followed one."""
        return self._get(target, lambda known: FollowedLog(format, self._redactor.text, known), FollowedLog)

    def nginx(self, target: str) -> FollowedNginx:
        """Return the access logs of a target, from now on followed."""
        return self._get(target, lambda known: FollowedNginx(self._redactor.text, known), FollowedNginx)

    def _get(self, target: str, make: Callable[[LogState | None], F], kind: type[F]) -> F:
        with self._lock:
            found = self._followed.get(target)
            if not isinstance(found, kind):
                found = self._followed[target] = make(self._state.logs.get(target))
            return found

    def start(self) -> None:
        """Begin to look at what is followed, each second."""
        with self._lock:
            self._thread = threading.Thread(target=self._run, name="following", daemon=True)
            self._thread.start()

    def stop(self, seconds: float = 3.0) -> None:
        """Stop looking, and write the state."""
        self._stop.set()
        thread = self._thread
        if thread is not None:
            thread.join(seconds)
            if thread.is_alive() and self._busy is not None:
                self._stuck.add(self._busy[1])
        self.save()

    def watch(self) -> None:
        """Replace the thread where it hangs; cheap, called when somebody asks for what was counted."""
        if self._busy is None:
            return
        with self._lock:
            busy = self._busy
            if self._thread is None or busy is None or time.monotonic() - busy[0] < STUCK_SECONDS:
                return
            if len(self._stuck) >= MOST_STUCK:
                return
            self._stuck.add(busy[1])
            self._busy = None
            self._thread = threading.Thread(target=self._run, name="following", daemon=True)
            self._thread.start()

    def look(self, most: int = MOST_BYTES) -> None:
        """Look at everything once."""
        with self._lock:
            every = [item for item in self._followed.values() if item not in self._stuck]
        for item in every:
            self._busy = (time.monotonic(), item)
            try:
                item.poll(most)
            except Exception as error:  # noqa: BLE001 - one log must not end the following of the others
                item.fault(error)
            with self._lock:
                if item in self._stuck:  # this thread hung and was replaced meanwhile
                    self._stuck.discard(item)
                    raise _Replaced
            self._busy = None

    def _run(self) -> None:
        with contextlib.suppress(_Replaced):
            while True:
                self.look()
                if self._stop.wait(LOOK_SECONDS):
                    return
                if time.monotonic() - self._saved[1] >= SAVE_SECONDS:
                    self.save()

    def save(self) -> None:
        """Write the state where one is kept and anything has changed."""
        if self._file is None:
            return
        with self._lock:
            every = {name: item for name, item in self._followed.items() if item not in self._stuck}
        changes = sum(item.changes for item in every.values()) + len(every)
        if changes == self._saved[0]:
            self._saved = (changes, time.monotonic())
            return
        for name, item in every.items():
            try:
                self._state.logs[name] = item.state()
            except Exception as error:  # noqa: BLE001 - the others are written none the less
                item.fault(error)
        try:
            write_whole(self._file, msgspec.json.encode(self._state), "the state of the logs")
            self.problem = ""
        except UserError as error:
            self.problem = str(error)
        except Exception as error:  # noqa: BLE001 - to follow on without a state is better than not at all
            self.problem = f"the state of the logs cannot be written: {type(error).__name__}"
        self._saved = (changes, time.monotonic())

    def _read(self) -> State:
        """Return what another process has left; what is unreadable is as if it was not there."""
        if self._file is not None:
            with contextlib.suppress(OSError, ValueError):  # msgspec's errors are ValueErrors
                found = msgspec.json.decode(read_regular(self._file, MOST_STATE_BYTES), type=State)
                if found.version == VERSION:
                    return found
        return State(version=VERSION)


class _Replaced(Exception):
    """Another thread follows the logs now."""
