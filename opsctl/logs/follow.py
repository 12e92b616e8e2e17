"""Reads on in a file that grows, is rotated, truncated, removed or not there yet: each line once.

A place in a file is known by device and inode, by the first bytes and by those before the place. So
a file that was emptied and filled again is told from one that only grew, and the copy that
`copytruncate` left is found and read to its end.
"""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

from opsctl.logs.open_log import HEAD, LINE_LIMIT, OpenLog, Place, Places, whole_lines

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

CHUNK = 256 * 1024
GRACE_SECONDS = 10.0
"""How long a file that was renamed is read on after it has last grown: nginx' workers open the new
one some time after the master has made it."""
MOST_OLD = 8
MOST_SIBLINGS = 200
MOST_DONE = 32
LEAST_KNOWN = 24
"""A file of another inode is taken for a copy only where so many bytes are the same."""


class Truncated(Exception):
    """What was read before is no longer there."""


class FileFollower:
    """Hands out what is written to a file, in whole lines.

    Args:
        resolve: gives the path where the file is now, which may change (laravel-*.log).
        places: how far it was read by another process; without, a file that is there is read from its end.
    """

    def __init__(self, resolve: Callable[[], Path], places: Places | None = None) -> None:
        self._resolve, self._places = resolve, places
        self._current: OpenLog | None = None
        self._old: list[OpenLog] = []
        self._done: dict[tuple[int, int], Place] = {}
        self._begun = False
        self.rotations = self.truncations = 0
        self.problem = ""

    @property
    def unread(self) -> int:
        """Bytes that were there at the last look and have not been read."""
        return sum(file.unread for file in self._files())

    @property
    def there(self) -> bool:
        """Whether the file was there at the last look."""
        return self._current is not None and not self.problem

    def places(self) -> Places:
        """Return how far it was read, to go on from there in another process."""
        if not self._begun and self._places is not None:
            return self._places
        return Places(
            current=self._current.place() if self._current else None,
            old=[file.place() for file in self._old],
        )

    def close(self) -> None:
        """Let go of all files."""
        for file in self._files():
            file.close()
        self._current, self._old = None, []

    def begin(self) -> None:
        """Open what is there: what is written from now on is new. Else the first look does it."""
        try:
            self._look(time.monotonic())
        except OSError as error:
            self.problem = error.strerror or str(error)

    def chunks(self, most: int = 4 * 1024 * 1024, now: float | None = None) -> Iterator[bytes]:
        """Yield whole lines, each with its end, until there is nothing new or `most` bytes were read.

        What was yielded counts as read as soon as the next chunk is asked for.

        Args:
            most: bytes that are read at most.
            now: monotonic seconds.
        """
        now = time.monotonic() if now is None else now
        try:
            self._look(now)
        except OSError as error:
            self.problem = error.strerror or str(error)
        left = most
        for file in self._files():
            while left > 0:
                try:
                    got = self._step(file, now)
                except Truncated:
                    self._truncated(file, now)
                    continue
                except OSError as error:
                    self.problem = error.strerror or str(error)
                    break
                if got is None:
                    break
                data, lines = got
                left -= len(data)
                if lines:
                    yield lines
                file.advance(data)
        yield from self._retire(now)

    def _files(self) -> list[OpenLog]:
        return [*self._old, *([self._current] if self._current else [])]

    def _look(self, now: float) -> None:
        """Find out which file has the name now."""
        path = self._resolve()
        try:
            status = path.stat()
        except (FileNotFoundError, NotADirectoryError):
            status = None
        self.problem = ""
        if not self._begun:
            self._begin(path, status is not None, now)
            return
        if status is None:
            if self._current is not None and os.fstat(self._current.descriptor).st_nlink == 0:
                self._put_aside(now)
            if self._current is None:
                self.problem = "No such file or directory"
            return
        identity = (status.st_dev, status.st_ino)
        if self._current is not None and self._current.identity == identity:
            return
        opened = next((file for file in self._old if file.identity == identity), None)
        if opened is not None:
            self._old.remove(opened)
        else:
            opened = OpenLog(path)
            if identity in self._done:  # it had been let go of, and has its name again
                opened.fits(self._done.pop(identity))
        if self._current is not None:
            self._put_aside(now)
            self.rotations += 1
        self._current = opened

    def _put_aside(self, now: float) -> None:
        assert self._current is not None
        self._current.grew_at, self._current.seen = now, None
        self._old.append(self._current)
        self._current = None

    def _begin(self, path: Path, there: bool, now: float) -> None:
        """Open what there is, at the places where another process has stopped, or at the end."""
        file = OpenLog(path) if there else None
        self._begun = True
        known, self._places = self._places, None
        if known is None:
            if file is not None:
                file.go_to_end()
                self._current = file
            else:
                self.problem = "No such file or directory"
            return
        self._current = file
        self.problem = "" if file is not None else "No such file or directory"
        waiting = list(known.old)
        if known.current is not None and not (
            file is not None
            and file.identity == (known.current.device, known.current.inode)
            and file.fits(known.current)
        ):
            waiting.append(known.current)
            self.rotations += 1
        for place in waiting:
            found = self._find(path, place)
            if found is not None:
                found.grew_at = now
                self._old.append(found)

    def _find(self, path: Path, place: Place) -> OpenLog | None:
        """Return the file beside the log that a place belongs to: renamed, or copied and emptied."""
        taken = {file.identity for file in self._files()}
        own = (place.device, place.inode)
        for identity, sibling in sorted(self._siblings(path), key=lambda item: item[0] != own):
            if identity in taken or (identity != own and place.head_length < LEAST_KNOWN):
                continue
            with contextlib.suppress(OSError):
                file = OpenLog(sibling)
                if file.fits(place):
                    return file
                file.close()
        return None

    def _siblings(self, path: Path) -> list[tuple[tuple[int, int], Path]]:
        """Return the files whose names begin as the log's does, the last written first."""
        stem = path.name.partition(".")[0].rstrip("0123456789-") or path.name
        found: list[tuple[float, tuple[int, int], Path]] = []
        with contextlib.suppress(OSError), os.scandir(path.parent) as entries:
            for entry in entries:
                if entry.name.startswith(stem) and not entry.name.endswith((".gz", ".xz", ".zst", ".bz2")):
                    with contextlib.suppress(OSError):
                        status = entry.stat()
                        identity = (status.st_dev, status.st_ino)
                        found.append((status.st_mtime, identity, Path(entry.path)))
        return [(identity, path) for _, identity, path in sorted(found, reverse=True)[:MOST_SIBLINGS]]

    def _step(self, file: OpenLog, now: float) -> tuple[bytes, bytes] | None:
        """Read once: return the bytes that are done with and the lines in them; None where nothing is new.

        Raises:
            Truncated: what was read before is not there any more.
            OSError: it cannot be read.
        """
        status = os.fstat(file.descriptor)
        seen = (status.st_size, status.st_mtime_ns)
        if file.seen == seen:
            return None
        data = os.pread(file.descriptor, CHUNK, file.position)
        if file.position and not file.same():
            raise Truncated
        while data[:1] == b"\0":
            if not file.pass_over_hole(data):
                return None
            data = os.pread(file.descriptor, CHUNK, file.position)
        done, lines = whole_lines(data, file.skipping)
        file.unread = max(status.st_size - file.position - len(done), 0)
        if not done:
            file.seen = seen
            return None
        file.grew_at = now
        file.skipping = not done.endswith(b"\n")
        return done, lines

    def _truncated(self, file: OpenLog, now: float) -> None:
        """Begin anew, and read what was not read yet from the copy, if there is one."""
        place = file.place()
        if len(file.head) == HEAD and file.was_cut():
            file.go_to_end()
        else:
            file.go(0)
        file.seen, file.unread = None, 0
        self.truncations += 1
        if not place.position or len(self._old) >= MOST_OLD:
            return
        copy = self._find(self._resolve(), place)
        if copy is not None:
            copy.grew_at = now
            self._old.append(copy)

    def _retire(self, now: float) -> Iterator[bytes]:
        """Let go of files that are read to their end and have not grown for a while."""
        for file in list(self._old):
            quiet = now - file.grew_at >= GRACE_SECONDS
            if file.seen is None or not (quiet or (len(self._old) > MOST_OLD and not file.unread)):
                continue
            rest = b""
            with contextlib.suppress(OSError):
                rest = os.pread(file.descriptor, LINE_LIMIT, file.position)
            if rest and not file.skipping:
                yield rest + b"\n"
            if len(self._done) >= MOST_DONE:
                self._done.pop(next(iter(self._done)))
            file.advance(rest)
            self._done[file.identity] = file.place()
            file.close()
            self._old.remove(file)
