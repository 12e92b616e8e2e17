"""Reading the end of a file backwards until a moment is passed: never more than `most` bytes."""

from __future__ import annotations

import dataclasses
import os
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

FIRST_BLOCK = 64 * 1024


@dataclass(frozen=True, slots=True)
class Tail:
    """The end of a file: whole lines, oldest first. `complete` where it reaches the file's beginning.

    `known` bytes of `data` were there at a first look, where there were two.
    """

    data: bytes
    size: int
    read: int
    complete: bool
    modified_at: float
    inode: int = 0
    known: int | None = None


class NotAFile(Exception):
    """A pipe, a device or a folder: reading it could hang or mean nothing."""


def read_tail(path: Path, most: int, enough: Callable[[bytes, int], bool]) -> Tail:
    """Read blocks from the end, each as large as all before, until one begins early enough.

    Args:
        path: a regular file; it is opened without following a pipe's end.
        most: bytes that are read at most.
        enough: says of a line, and of the bytes read so far, whether that is old enough; False also
            where the line has no time.

    Raises:
        OSError: it cannot be opened or read.
        NotAFile: it is no regular file.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise NotAFile(f"{path} is not a file")
        size = status.st_size
        blocks: list[bytes] = []
        start, read = size, 0
        while start > 0 and read < most:
            length = min(FIRST_BLOCK if not blocks else read, start, most - read)
            start -= length
            file.seek(start)
            block = file.read(length)
            blocks.insert(0, block)
            read += len(block)
            if _old_enough(block, read, enough):
                break
        data = b"".join(blocks)
        if start > 0:  # the first line is most likely cut
            cut = data.find(b"\n")
            data = data[cut + 1 :] if cut >= 0 else b""
        return Tail(data, size, read, start == 0, status.st_mtime, status.st_ino)


def read_further(path: Path, tail: Tail, most: int) -> Tail:
    """Return a tail with what has been written since behind it.

    A file that is shorter now, or another one, was emptied or rotated: then the tail stays as it is.

    Raises:
        OSError: it cannot be opened or read.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode) or status.st_ino != tail.inode or status.st_size < tail.size:
            return tail
        file.seek(tail.size)
        more = file.read(min(most, status.st_size - tail.size))
    return dataclasses.replace(
        tail,
        data=tail.data + more,
        size=tail.size + len(more),
        read=tail.read + len(more),
        modified_at=status.st_mtime,
        known=len(tail.data),
    )


def _old_enough(block: bytes, read: int, enough: Callable[[bytes, int], bool]) -> bool:
    """Return whether one of the block's first lines is old enough; continuation lines have no time."""
    position = block.find(b"\n") + 1
    for _ in range(200):
        end = block.find(b"\n", position)
        if end < 0:
            return False
        if enough(block[position : min(end, position + 8192)], read):
            return True
        position = end + 1
    return False
