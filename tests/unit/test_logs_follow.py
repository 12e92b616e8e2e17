"""Following a file: whatever is done to it, each line comes once, and none is lost."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections import Counter
from pathlib import Path
from typing import IO

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from opsctl.logs.follow import GRACE_SECONDS, FileFollower
from opsctl.logs.open_log import LINE_LIMIT, Places, whole_lines


class Reader:
    """A follower whose lines are counted, and a clock that is moved by hand."""

    def __init__(self, path: Path) -> None:
        self.path, self.now = path, 100.0
        self.lines: Counter[bytes] = Counter()
        self.follower = FileFollower(lambda: path, Places())

    def poll(self, most: int = 1 << 30) -> None:
        self.now += 1
        for chunk in self.follower.chunks(most, self.now):
            assert chunk.endswith(b"\n")
            self.lines.update(chunk.split(b"\n")[:-1])

    def settle(self) -> None:
        self.poll()
        self.now += GRACE_SECONDS
        self.poll()

    def restart(self) -> None:
        kept = msgspec.json.encode(self.follower.places())
        self.follower.close()
        self.follower = FileFollower(lambda: self.path, msgspec.json.decode(kept, type=Places))


@pytest.fixture
def reader(tmp_path: Path) -> Reader:
    return Reader(tmp_path / "access.log")


def append(path: Path, *lines: str) -> None:
    with path.open("a") as file:
        file.writelines(f"{line}\n" for line in lines)


def opened() -> list[str]:
    """Return what this process holds open."""
    names: list[str] = []
    for entry in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            names.append(str(entry.readlink()))
    return names


def seen(reader: Reader) -> dict[str, int]:
    return {line.decode(): count for line, count in reader.lines.items()}


def test_without_a_state_it_begins_at_the_end_of_what_is_there(tmp_path: Path) -> None:
    reader = Reader(tmp_path / "a.log")
    reader.follower = FileFollower(lambda: reader.path)
    reader.path.write_text("old\nhalf")
    reader.poll()
    assert reader.lines == {}
    append(reader.path, " a line", "new")
    reader.poll()
    assert seen(reader) == {"half a line": 1, "new": 1}


def test_a_file_that_comes_later_is_read_from_its_beginning(reader: Reader) -> None:
    reader.follower = FileFollower(lambda: reader.path)
    reader.poll()
    assert not reader.follower.there
    append(reader.path, "first")
    reader.poll()
    assert reader.follower.there
    assert seen(reader) == {"first": 1}


def test_workers_that_write_on_into_the_renamed_file(reader: Reader) -> None:
    append(reader.path, "one")
    reader.poll()
    with reader.path.open("a") as worker:
        reader.path.rename(reader.path.with_name("access.log.1"))
        append(reader.path, "new file")
        reader.poll()
        worker.write("late\nno end")
        worker.flush()
        reader.poll()
    reader.settle()
    assert seen(reader) == {"one": 1, "new file": 1, "late": 1, "no end": 1}
    assert reader.follower.rotations == 1


def test_what_copytruncate_took_away_is_read_in_the_copy(reader: Reader) -> None:
    append(reader.path, "the first line that was read by then")
    reader.poll()
    append(reader.path, "not read before the truncation")
    shutil.copy(reader.path, reader.path.with_name("access.log.1"))
    os.truncate(reader.path, 0)
    append(reader.path, *(f"after {number}" for number in range(50)))  # longer than what was read
    reader.settle()
    assert sum(reader.lines.values()) == 52
    assert set(reader.lines.values()) == {1}
    assert reader.follower.truncations == 1


def test_a_writer_that_goes_on_behind_a_hole(reader: Reader) -> None:
    with reader.path.open("w") as file:
        file.write("before\n" * 100_000)
        file.flush()
        reader.poll()
        os.truncate(reader.path, 0)
        file.write("behind the hole\n")
    reader.settle()
    assert reader.lines[b"behind the hole"] == 1
    assert sum(reader.lines.values()) == 100_001


def test_a_file_that_was_cut_at_its_end_is_not_read_twice(reader: Reader) -> None:
    append(reader.path, *(f"line {number}" for number in range(1000)))
    reader.poll()
    os.truncate(reader.path, 5000)
    reader.poll()
    append(reader.path, "", "after")
    reader.settle()
    assert reader.lines[b"after"] == 1
    assert sum(reader.lines.values()) <= 1002


def test_lines_without_end_are_cut_and_counted_once(reader: Reader) -> None:
    with reader.path.open("ab", buffering=0) as file:
        for _ in range(20):
            file.write(b"x" * 100_000)
            reader.poll()
        file.write(b"\nshort\n")
        reader.settle()
    assert {len(line): count for line, count in reader.lines.items()} == {LINE_LIMIT: 1, 5: 1}


def test_a_deleted_file_is_let_go_of(reader: Reader) -> None:
    append(reader.path, "one")
    reader.poll()
    reader.path.unlink()
    reader.settle()
    reader.poll()
    assert not [name for name in opened() if str(reader.path) in name]
    append(reader.path, "two")
    reader.poll()
    assert seen(reader) == {"one": 1, "two": 1}


def test_the_state_holds_nothing_of_the_log(reader: Reader) -> None:
    append(reader.path, "password=Canary-17-parrot")
    reader.poll()
    assert b"Canary" not in msgspec.json.encode(reader.follower.places())


def test_a_folder_in_the_place_of_a_log_is_a_problem_and_no_crash(reader: Reader) -> None:
    reader.path.mkdir()
    reader.poll()
    assert reader.follower.problem


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=300), st.lists(st.integers(0, 300), max_size=8), st.integers(4, 40))
def test_any_split_gives_the_same_lines(data: bytes, cuts: list[int], limit: int) -> None:
    """The pure part, with a small limit so that long lines are many."""
    from opsctl.logs import open_log

    whole, before = data + b"\n", open_log.LINE_LIMIT
    open_log.LINE_LIMIT = limit
    try:
        expected = [line[:limit] for line in whole.split(b"\n")[:-1]]
        found: list[bytes] = []
        position, skipping = 0, False
        for end in [*sorted(cuts), len(whole), len(whole)]:
            while True:
                done, lines = whole_lines(whole[position:end], skipping)
                if not done:
                    break
                position, skipping = position + len(done), not done.endswith(b"\n")
                found += lines.split(b"\n")[:-1]
        assert found == expected
    finally:
        open_log.LINE_LIMIT = before


class Rotations(RuleBasedStateMachine):
    """Writing, rotating, truncating and restarting in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="opsctl-follow-"))
        self.reader = Reader(self.folder / "access.log")
        self.written = self.rotated = 0
        self.file: IO[bytes] = self.reader.path.open("ab", buffering=0)
        self.late: IO[bytes] | None = None
        self.late_until = 0.0

    def line(self) -> bytes:
        self.written += 1
        return b"2026-11-21 04:00:00.%06d some request \xff\x00\n" % self.written

    @rule(count=st.integers(1, 40))
    def write(self, count: int) -> None:
        self.file.write(b"".join(self.line() for _ in range(count)))

    @rule()
    def write_half(self) -> None:
        line = self.line()
        self.file.write(line[:20])
        self.reader.poll()
        self.file.write(line[20:])

    @rule()
    @precondition(lambda self: self.late is not None and self.reader.now < self.late_until)
    def write_late(self) -> None:
        """A worker that has not opened the new file yet; for so long an old file is watched."""
        assert self.late is not None
        self.late.write(self.line())

    @rule(most=st.sampled_from([1, 500, 1 << 30]))
    def poll(self, most: int) -> None:
        self.reader.poll(most)

    @rule()
    def restart(self) -> None:
        self.reader.restart()

    @rule(again=st.booleans())
    def rename_and_create(self, again: bool) -> None:
        self.reader.poll()
        self.rotated += 1
        self.reader.path.rename(self.folder / f"access.log.{self.rotated}")
        if self.late is not None:
            self.late.close()
        self.late, self.late_until = self.file, self.reader.now + GRACE_SECONDS - 2
        if again:
            self.late.write(self.line())
        self.file = self.reader.path.open("ab", buffering=0)

    @rule()
    def copytruncate(self) -> None:
        self.reader.poll(500)
        self.rotated += 1
        shutil.copyfile(self.reader.path, self.folder / f"access.log.{self.rotated}")
        os.truncate(self.reader.path, 0)
        self.file.write(self.line())
        self.reader.poll(500)

    @invariant()
    def nothing_twice(self) -> None:
        assert all(count == 1 for count in self.reader.lines.values())

    def teardown(self) -> None:
        try:
            for _ in range(20):
                self.reader.poll()
            self.reader.settle()
            assert sum(self.reader.lines.values()) == self.written
            self.nothing_twice()
        finally:
            self.reader.follower.close()
            self.file.close()
            if self.late is not None:
                self.late.close()
            shutil.rmtree(self.folder)


TestRotations = Rotations.TestCase
TestRotations.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
