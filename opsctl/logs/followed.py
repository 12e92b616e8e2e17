"""One log, or one nginx, that is followed: where its lines come from, and what is counted of them."""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from typing import TYPE_CHECKING

import msgspec

from opsctl.facts.logs import LogTotals
from opsctl.facts.nginx_traffic import NginxTraffic
from opsctl.logs.access_formats import Format, guessing
from opsctl.logs.counting import ErrorCounter, ErrorState
from opsctl.logs.follow import FileFollower
from opsctl.logs.follow_stores import JournalReader, JsonFileLines, StreamReader
from opsctl.logs.open_log import Places
from opsctl.logs.traffic import TrafficCounter, TrafficState

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from opsctl.logs.entries import Line

STORE_SECONDS = 10.0
"""How often a store that must be asked is asked, which starts a process; files are looked at each second."""
ENGINE_SECONDS = 15.0
"""The same of the Docker engine, which reads a container's log from its beginning each time."""
IDLE_SECONDS = 1.0
"""An entry is whole when nothing has come for so long."""
MOST_SOURCES = 64


class LogState(msgspec.Struct, kw_only=True):
    """What is kept on disk of one log or one nginx."""

    files: dict[str, Places] = {}
    cursors: dict[str, str] = {}
    errors: ErrorState | None = None
    traffic: TrafficState | None = None


class Followed:
    """The sources of one target. Polled by one thread; its counts are read by others under `lock`."""

    def __init__(self, state: LogState | None) -> None:
        self._known = state or LogState()
        self._begun = time.time()
        self._files: dict[str, FileFollower] = {}
        self._decoders: dict[str, JsonFileLines] = {}
        self._journals: dict[str, JournalReader] = {}
        self._streams: dict[str, StreamReader] = {}
        self._asked: dict[str, float] = {}
        self._changed_at = 0.0
        self._sources = threading.Lock()
        self.lock = threading.Lock()
        self.changes = 0
        self.unread = 0
        """Bytes of all files that were still to be read then."""
        self.read_at: float | None = None
        """When it was last looked whether there is more."""
        self.problem = ""
        self._told = ""

    def fault(self, error: Exception) -> None:
        """Note why it went wrong; a fault of our own is told once, without its words."""
        if isinstance(error, OSError):
            self.problem = error.strerror or "the log cannot be read"
            return
        self.problem = f"a fault in opsctl itself ({type(error).__name__})"
        if self.problem != self._told:
            self._told = self.problem
            with contextlib.suppress(OSError, ValueError):
                sys.stderr.write(f"opsctl: {self.problem}: some lines of a log are not counted\n")

    def follow_file(
        self, name: str, resolve: Callable[[], Path], new: bool = False, begin: bool = True
    ) -> None:
        """Follow a file.

        Args:
            name: of the source.
            resolve: gives the path where the file is now.
            new: whether all of it is to be read, and not only what comes.
            begin: whether it is opened here and now, and not by the thread that follows.
        """
        if name in self._files or len(self._files) >= MOST_SOURCES:
            return
        file = FileFollower(resolve, self._known.files.get(name) or (Places() if new else None))
        if begin:
            file.begin()
        with self._sources:
            if self._files.setdefault(name, file) is not file:
                file.close()

    def follow_journal(self, unit: str) -> None:
        """Follow the journal of a unit from now on."""
        with self._sources:
            if unit not in self._journals:
                self._journals[unit] = JournalReader(unit, self._known.cursors.get(unit, ""))

    def follow_container(
        self,
        identity: str,
        created_at: float,
        place: Path | None,
        ask: Callable[[str], bytes],
        terminal: bool,
    ) -> None:
        """Follow what a container writes: in the engine's file where that is named, else through the engine.

        Args:
            identity: the container.
            created_at: unix seconds; of one that is younger than the following all is read.
            place: the engine's json-file, where it may be read.
            ask: gets the stream of the container's log since a time.
            terminal: whether that stream has no frames.
        """
        new = created_at >= self._begun
        if place is not None:
            self._decoders.setdefault(identity, JsonFileLines())
            self.follow_file(identity, lambda: place, new)
            return
        with self._sources:
            if identity not in self._streams and len(self._streams) < MOST_SOURCES:
                since = self._known.cursors.get(identity, "") or ("0|0" if new else "")
                self._streams[identity] = StreamReader(ask, terminal, since)

    def followed(self, identity: str) -> bool:
        """Return whether a container is followed."""
        return identity in self._files or identity in self._streams

    def keep_containers(self, identities: set[str]) -> None:
        """Let go of the containers that are no more; what they wrote last has been deleted with them."""
        with self._sources:
            for identity in [name for name in self._decoders if name not in identities]:
                del self._decoders[identity]
                self._files.pop(identity).close()
            for identity in [name for name in self._streams if name not in identities]:
                del self._streams[identity]
            for known in (self._known.files, self._known.cursors):
                for name in [name for name in known if name[0] != "/" and name not in identities]:
                    del known[name]

    def poll(self, most: int) -> None:
        """Take in what is new, at most `most` bytes of each file; only the following thread calls it."""
        with self._sources:
            files, journals = list(self._files.items()), list(self._journals.items())
            streams = list(self._streams.items())
        changes, self.problem = self.changes, ""
        for name, file in files:
            decoder = self._decoders.get(name)
            for chunk in file.chunks(most):
                try:
                    with self.lock:
                        self.changes += 1
                        if decoder is None:
                            self.take(name, chunk)
                        else:
                            self.take_lines(name, decoder.lines(chunk))
                except Exception as error:  # noqa: BLE001 - else it were read again and again, and none after it
                    self.fault(error)
            self.problem = self.problem or file.problem
        for unit, journal in journals:
            if self._due(unit, STORE_SECONDS):
                self._take_store(unit, journal.lines())
                self.problem = self.problem or journal.problem
        for identity, stream in streams:
            if self._due(identity, ENGINE_SECONDS):
                self._take_store(identity, stream.lines())
        now = time.monotonic()
        if changes != self.changes:
            self._changed_at = now
        elif now - self._changed_at >= IDLE_SECONDS:
            with self.lock:
                self.rest()
        self.unread, self.read_at = sum(file.unread for _, file in files), time.time()

    def _take_store(self, name: str, lines: Iterable[Line]) -> None:
        from opsctl.probes.docker_api import ApiError

        found: list[Line] = []
        with contextlib.suppress(ApiError):
            found = list(lines)
        if found:
            with self.lock:
                self.changes += 1
                self.take_lines(name, found)

    def _due(self, name: str, seconds: float) -> bool:
        now = time.monotonic()
        if now - self._asked.get(name, -seconds) < seconds:
            return False
        self._asked[name] = now
        return True

    def places(self) -> LogState:
        """Return where the sources are, to go on from there in another process."""
        with self._sources:
            return LogState(
                files=self._known.files | {name: file.places() for name, file in self._files.items()},
                cursors=self._known.cursors
                | {name: item.cursor for name, item in self._journals.items()}
                | {name: item.place for name, item in self._streams.items()},
            )

    def sums(self) -> dict[str, int]:
        """Return what the files say together: unread, rotations, truncations."""
        with self._sources:
            files = list(self._files.values())
        return {
            "unread": self.unread,
            "rotations": sum(file.rotations for file in files),
            "truncations": sum(file.truncations for file in files),
        }

    def take(self, name: str, data: bytes) -> None:
        """Count whole lines of a file."""
        raise NotImplementedError

    def take_lines(self, name: str, lines: list[Line]) -> None:
        """Count lines of a store."""
        raise NotImplementedError

    def rest(self) -> None:
        """Nothing has come for a while."""

    def state(self) -> LogState:
        """Return all that is to be kept on disk."""
        raise NotImplementedError


class FollowedLog(Followed):
    """A log whose errors are counted."""

    def __init__(self, format: str, redact: Callable[[str], str], state: LogState | None) -> None:
        super().__init__(state)
        self._counter = ErrorCounter(format, redact, state.errors if state else None)
        self._shown: tuple[int, LogTotals] | None = None

    def take(self, name: str, data: bytes) -> None:
        """Count whole lines of a file."""
        self._counter.feed(data)

    def take_lines(self, name: str, lines: list[Line]) -> None:
        """Count lines of a store."""
        self._counter.feed_lines(lines)

    def rest(self) -> None:
        """Count the entry that is open."""
        self._counter.idle()
        self._shown = None

    def state(self) -> LogState:
        """Return all that is to be kept on disk; the open entry is counted."""
        with self.lock:
            return msgspec.structs.replace(self.places(), errors=self._counter.state())

    def totals(self, seconds: float = 0.5) -> LogTotals | None:
        """Return what was counted; the last known where that takes longer than `seconds`."""
        known = self._shown
        if self.lock.acquire(timeout=seconds):
            try:
                if self._shown is None or self._shown[0] != self.changes:
                    counter = self._counter
                    totals = LogTotals(
                        errors=counter.errors,
                        lines=counter.lines,
                        unparsed=counter.unparsed,
                        bytes=counter.bytes,
                        templates=counter.templates(),
                    )
                    self._shown = (self.changes, totals)
                known = self._shown  # the thread that follows forgets it at times
            finally:
                self.lock.release()
        if known is None:
            return None
        more = self.sums() if self._files else {}
        return msgspec.structs.replace(known[1], **more, read_at=self.read_at)


class FollowedNginx(Followed):
    """The access logs of one nginx, whose requests are counted."""

    def __init__(self, redact: Callable[[str], str], state: LogState | None) -> None:
        super().__init__(state)
        self._counter = TrafficCounter(state.traffic if state else None, redact)
        self.formats: dict[str, Format] = {}
        self._guessing = guessing()
        self._shown: tuple[int, NginxTraffic] | None = None

    def take(self, name: str, data: bytes) -> None:
        """Count whole lines of a file."""
        self._counter.feed(data, self.formats.get(name, self._guessing))

    def take_lines(self, name: str, lines: list[Line]) -> None:
        """Count lines of a container."""
        data = "".join(f"{line.text}\n" for line in lines).encode("utf-8", "replace")
        self._counter.feed(data, self.formats.get("", self._guessing))

    def state(self) -> LogState:
        """Return all that is to be kept on disk."""
        with self.lock:
            return msgspec.structs.replace(self.places(), traffic=self._counter.state())

    def traffic(self, seconds: float = 0.5) -> NginxTraffic | None:
        """Return what was counted; the last known where that takes longer than `seconds`."""
        known = self._shown
        if (known is None or known[0] != self.changes) and self.lock.acquire(timeout=seconds):
            try:
                if self._shown is None or self._shown[0] != self.changes:
                    counter = self._counter
                    shown = NginxTraffic(
                        lines=counter.lines,
                        unparsed=counter.unparsed,
                        requests=counter.requests(),
                        routes=counter.routes(),
                        upstreams=counter.upstreams(),
                    )
                    self._shown = (self.changes, shown)
            finally:
                self.lock.release()
        known = self._shown
        if known is None:
            return None
        return msgspec.structs.replace(known[1], unread=self.unread, read_at=self.read_at)
