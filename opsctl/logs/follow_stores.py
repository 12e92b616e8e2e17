"""Reads on in what journald and the Docker engine keep: from a cursor, from a time."""

from __future__ import annotations

import struct
import time
from datetime import datetime
from typing import TYPE_CHECKING

import msgspec

from opsctl import system
from opsctl.logs.entries import Line
from opsctl.logs.heads import MAX_LINE
from opsctl.logs.stores import journal_entry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

JOURNAL_SECONDS = 5.0
"""How long one reading of a journal may take."""
MOST_BYTES = 4 * 1024 * 1024


class _Stored(msgspec.Struct):
    """A line of Docker's json-file."""

    log: str = ""
    stream: str = ""


class JsonFileLines:
    """The lines in Docker's json-file as its own lines come; long ones come in pieces."""

    def __init__(self) -> None:
        self._pieces: dict[str, str] = {}
        self._decode = msgspec.json.Decoder(_Stored).decode

    def lines(self, data: bytes) -> list[Line]:
        """Return the lines that have become whole."""
        result: list[Line] = []
        for raw in data.split(b"\n"):
            try:
                value = self._decode(raw)
            except (msgspec.DecodeError, UnicodeDecodeError):
                continue
            text = value.log
            if self._pieces:
                text = self._pieces.pop(value.stream, "") + text
            if text.endswith("\n"):
                result.append(Line(text.rstrip("\r\n")))
            else:  # the rest of a line that is too long is thrown away as it comes
                self._pieces[value.stream] = text[: MAX_LINE * 4]
        return result


class JournalReader:
    """The entries of one unit, each once.

    Args:
        unit: the unit.
        cursor: behind which entry another process has stopped; without, only new entries come.
    """

    def __init__(self, unit: str, cursor: str = "") -> None:
        self._unit, self.cursor = unit, cursor
        self._since = int(time.time())
        self._begun = bool(cursor)
        self.problem = ""

    def lines(self) -> Iterator[Line]:
        """Yield the lines of the entries since the last time; it is read on behind each that was taken."""
        argv = ["journalctl", "-u", self._unit, "-o", "json", "--no-pager", "-q"]
        argv.append("--output-fields=MESSAGE,PRIORITY,SYSLOG_IDENTIFIER")
        if self.cursor:
            argv.append(f"--after-cursor={self.cursor}")
        elif self._begun:
            argv.append(f"--since=@{self._since}")
        else:
            argv += ["-n", "1"]
        result = system.run(argv, JOURNAL_SECONDS)
        self.problem = "" if result.ok or result.stdout else result.stderr.strip()[:300] or "no answer"
        if not result.ok and not result.stdout and "cursor" in result.stderr.lower():
            self.cursor = ""
        begun, self._begun = self._begun, self._begun or result.ok
        for row in result.stdout.splitlines():
            cursor, lines = journal_entry(row)
            if not cursor:
                continue
            if begun:
                yield from lines
            self.cursor = cursor


class StreamReader:
    """The lines that the Docker engine hands out of one container, each once.

    Args:
        ask: gets the log's stream since a time (unix seconds as text).
        terminal: whether the stream has no frames.
        since: where another process has stopped, as `place` says it.
    """

    def __init__(self, ask: Callable[[str], bytes], terminal: bool, since: str = "") -> None:
        self._ask, self._terminal = ask, terminal
        if not since:
            since = f"{time.time():.9f}"
        self._since, _, same = since.partition("|")
        self._same = int(same) if same.isdecimal() else 0

    @property
    def place(self) -> str:
        """The time of the last line, and how many lines had that time."""
        return f"{self._since}|{self._same}"

    def lines(self) -> Iterator[Line]:
        """Yield the lines since the last time.

        Raises:
            ApiError: as `ask` does.
        """
        known = (self._since, self._same)
        for stamp, text in stamped_lines(self._ask(self._since), self._terminal):
            if stamp == known[0] and known[1]:
                known = (known[0], known[1] - 1)
                continue
            yield Line(text)
            self._same = self._same + 1 if stamp == self._since else 1
            self._since = stamp


def stamped_lines(data: bytes, terminal: bool) -> Iterator[tuple[str, str]]:
    """Yield (unix seconds with nine digits behind the point, text) of each whole line. Pure."""
    plain = data if terminal else b"".join(_whole_frames(data))
    for raw in plain.split(b"\n")[:-1]:
        stamp, _, text = raw[: MAX_LINE * 4].decode("utf-8", "replace").partition(" ")
        seconds = _unix(stamp)
        if seconds:
            yield seconds, text.rstrip("\r")


def _unix(stamp: str) -> str:
    """Return RFC 3339 with up to nine digits of a second as unix seconds; a float has too few digits."""
    whole, _, fraction = stamp.rstrip("Z").partition(".")
    try:
        seconds = int(datetime.fromisoformat(f"{whole}+00:00").timestamp())
    except ValueError:
        return ""
    return f"{seconds}.{fraction:0<9}" if fraction.isdecimal() or not fraction else ""


def _whole_frames(data: bytes) -> Iterator[bytes]:
    position = 0
    while position + 8 <= len(data):
        (length,) = struct.unpack_from(">I", data, position + 4)
        if position + 8 + length > len(data):
            return
        yield data[position + 8 : position + 8 + length]
        position += 8 + length
