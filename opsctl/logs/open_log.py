"""An open log and how far it was read, known by what stands there and not by its name."""

from __future__ import annotations

import hashlib
import os
import stat
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from pathlib import Path

LINE_LIMIT = 64 * 1024
"""Bytes of a line that are handed on; the rest of a longer one is passed over."""
HEAD, BEFORE = 1024, 64
"""Bytes at the beginning, and before the place, that a file is known by."""


class Place(msgspec.Struct, kw_only=True):
    """How far a file was read; what is kept on disk of it is no text of the log."""

    device: int
    inode: int
    position: int
    head_length: int
    head: str
    before: str
    skipping: bool = False


class Places(msgspec.Struct, kw_only=True):
    """How far a log was read: the file of its name, and those before it that were still read."""

    current: Place | None = None
    old: list[Place] = []


def _digest(data: bytes) -> str:
    return hashlib.blake2s(data, digest_size=16).hexdigest()


class OpenLog:
    """An open file and the place in it; bytes up to the place are done with.

    Args:
        path: the file; it is opened at its beginning.

    Raises:
        OSError: it cannot be opened, or is no regular file.
    """

    def __init__(self, path: Path) -> None:
        self.descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
        status = os.fstat(self.descriptor)
        if not stat.S_ISREG(status.st_mode):
            self.close()
            raise OSError(0, "not a regular file", str(path))
        self.identity = (status.st_dev, status.st_ino)
        self.position, self.skipping = 0, False
        self.head = self.before = b""
        self.seen: tuple[int, int] | None = None
        self.grew_at = 0.0
        self.unread = 0

    def close(self) -> None:
        """Let go of the file."""
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1

    def go(self, position: int, skipping: bool = False) -> None:
        """Go to a place without reading what is before it."""
        self.position, self.skipping = position, skipping
        self.head = os.pread(self.descriptor, min(HEAD, position), 0)
        start = max(position - BEFORE, 0)
        self.before = os.pread(self.descriptor, position - start, start)

    def go_to_end(self) -> None:
        """Go behind the last whole line, or into a line without end."""
        size = os.fstat(self.descriptor).st_size
        start = max(size - LINE_LIMIT, 0)
        cut = os.pread(self.descriptor, size - start, start).rfind(b"\n")
        if cut >= 0 or start == 0:
            self.go(start + cut + 1)
        else:
            self.go(size, skipping=True)

    def pass_over_hole(self, data: bytes) -> bool:
        """Go behind the zeros that a writer leaves who goes on at its old place in an emptied file."""
        zeros = len(data) - len(data.lstrip(b"\0"))
        try:
            data_at = os.lseek(self.descriptor, self.position, os.SEEK_DATA)
        except OSError:  # nothing but a hole up to the end
            return False
        self.go(max(self.position + zeros, data_at), self.skipping)
        return True

    def was_cut(self) -> bool:
        """Return whether only the end is missing of what was read."""
        size = os.fstat(self.descriptor).st_size
        return HEAD <= size < self.position and os.pread(self.descriptor, len(self.head), 0) == self.head

    def same(self) -> bool:
        """Return whether what was read before the place still stands there."""
        start = self.position - len(self.before)
        return (
            os.pread(self.descriptor, len(self.before), start) == self.before
            and os.pread(self.descriptor, len(self.head), 0) == self.head
        )

    def advance(self, data: bytes) -> None:
        """Count bytes as done with."""
        self.position += len(data)
        if len(self.head) < HEAD:
            self.head += data[: HEAD - len(self.head)]
        self.before = (self.before + data)[-BEFORE:] if len(data) < BEFORE else data[-BEFORE:]

    def place(self) -> Place:
        """Return the place, as it is kept on disk."""
        return Place(
            device=self.identity[0],
            inode=self.identity[1],
            position=self.position,
            head_length=len(self.head),
            head=_digest(self.head),
            before=_digest(self.before),
            skipping=self.skipping,
        )

    def fits(self, place: Place) -> bool:
        """Go to a place and return whether it is one of this file; else stay at the beginning."""
        if os.fstat(self.descriptor).st_size >= place.position:
            self.go(place.position, place.skipping)
            if (len(self.head), _digest(self.head), _digest(self.before)) == (
                place.head_length,
                place.head,
                place.before,
            ):
                return True
            self.go(0)
        return False


def whole_lines(data: bytes, skipping: bool) -> tuple[bytes, bytes]:
    """Return the bytes that are done with, and the lines in them, none longer than the limit. Pure."""
    begin = 0
    if skipping:
        begin = data.find(b"\n") + 1
        if not begin:
            return data, b""
    end = data.rfind(b"\n") + 1
    if end <= begin:
        if len(data) - begin < LINE_LIMIT:
            return data[:begin], b""
        return data, data[begin : begin + LINE_LIMIT] + b"\n"
    lines = data[begin:end]
    if len(lines) > LINE_LIMIT and max(map(len, lines.split(b"\n"))) > LINE_LIMIT:
        lines = b"\n".join([line[:LINE_LIMIT] for line in lines.split(b"\n")])
    return data[:end], lines
