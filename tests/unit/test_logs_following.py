"""What follows all logs: a state that survives, a source that hangs, a source that breaks."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import msgspec
import pytest

from opsctl.logs import following as module
from opsctl.logs.followed import FollowedLog, LogState
from opsctl.logs.following import STATE_FILE, Following
from opsctl.redact import Redactor
from tests.servers.base import wait_until

ERROR = "2026-11-21 04:00:00 ERROR redis: Connection refused\n"


def errors(log: FollowedLog) -> int:
    totals = log.totals()
    assert totals is not None
    return totals.errors["connection"]


def follow(following: Following, path: Path, target: str = "app/logs") -> FollowedLog:
    log = following.log(target, "plain")
    log.follow_file(str(path), lambda: path)
    return log


def test_positions_and_counts_survive_together(tmp_path: Path) -> None:
    path = tmp_path / "app.log"
    path.write_text(ERROR * 3)
    following = Following(Redactor(), tmp_path)
    log = follow(following, path)
    with path.open("a") as file:
        file.write(ERROR * 4)
    following.look()
    following.save()
    with path.open("a") as file:  # after the state was written: read again by the next process
        file.write(ERROR * 2)
    following.look()
    following = Following(Redactor(), tmp_path)
    log = follow(following, path)
    following.look()
    time.sleep(1.1)
    following.look()
    assert errors(log) == 6
    assert (tmp_path / STATE_FILE).stat().st_mode & 0o077 == 0


def test_half_an_emoji_of_a_json_log_is_one_error_and_stops_nothing(tmp_path: Path) -> None:
    """Loggers that cut a text in the middle of a character write such a line."""
    path = tmp_path / "app.log"
    path.write_text("")
    following = Following(Redactor(), tmp_path)
    log = following.log("app/logs", "json")
    log.follow_file(str(path), lambda: path)
    following.look()
    cut = (
        '{"time": "2026-11-21T04:00:00Z", "level": "error", "message": "redis: connection refused \\ud83d"}\n'
    )
    with path.open("a") as file:
        file.write(cut + cut.replace("ud83d", "uD83D") + cut.replace("redis", "db " + "x " * 150))
        file.write('{"time": "2026-11-21T04:00:01Z", "level": "info", "message": "\\ud83d\\ude00"}\n' * 3)
    for _ in range(3):
        following.look()
    time.sleep(1.1)
    following.look()
    following.save()
    totals = log.totals()
    assert totals is not None
    assert (totals.lines, sum(totals.errors.values()), log.problem, following.problem) == (6, 3, "", "")
    assert Following(Redactor(), tmp_path).log("app/logs", "json").totals() is not None


def test_what_cannot_be_counted_is_passed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """A fault of our own must not have the same part read for ever, and what comes after it never."""
    path = tmp_path / "app.log"
    path.write_text("")
    following = Following(Redactor(), tmp_path)
    log = follow(following, path)
    following.look()
    real = FollowedLog.take

    def take(self: FollowedLog, name: str, data: bytes) -> None:
        if b"poison" in data:
            raise ZeroDivisionError("poison")
        real(self, name, data)

    monkeypatch.setattr(FollowedLog, "take", take)
    path.write_text("poison\n")
    following.look()
    assert log.problem == "a fault in opsctl itself (ZeroDivisionError)"
    told = capfd.readouterr().err
    assert told.count("not counted") == 1
    assert "poison" not in told
    with path.open("a") as file:
        file.write(ERROR)
    following.look()
    time.sleep(1.1)
    following.look()
    assert (errors(log), log.problem) == (1, "")


def test_a_state_that_cannot_be_had_does_not_end_the_following(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("app", "other"):
        (tmp_path / f"{name}.log").write_text(ERROR)
    following = Following(Redactor(), tmp_path)
    log = follow(following, tmp_path / "app.log")
    follow(following, tmp_path / "other.log", "other/logs")
    real = FollowedLog.state

    def state(self: FollowedLog) -> LogState:
        if self is log:
            raise ZeroDivisionError("a fault")
        return real(self)

    monkeypatch.setattr(FollowedLog, "state", state)
    following.look()
    following.save()
    assert log.problem == "a fault in opsctl itself (ZeroDivisionError)"
    assert set(msgspec.json.decode((tmp_path / STATE_FILE).read_bytes())["logs"]) == {"other/logs"}
    with (tmp_path / "app.log").open("a") as file:
        file.write(ERROR)
    following.look()
    time.sleep(1.1)
    following.look()
    assert errors(log) == 1


@pytest.mark.parametrize(
    "text", ["", "{", '{"version": 99, "logs": {}}', '{"version": 1, "logs": 5}', "\x00\xff"]
)
def test_a_state_that_is_none_is_as_if_it_was_not_there(text: str, tmp_path: Path) -> None:
    (tmp_path / STATE_FILE).write_bytes(text.encode("latin-1"))
    following = Following(Redactor(), tmp_path)
    log = follow(following, tmp_path / "app.log")
    following.look()
    assert errors(log) == 0
    following.stop()
    assert following.problem == ""


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_state_that_cannot_be_written_is_a_problem_and_no_end(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    following = Following(Redactor(), tmp_path)
    follow(following, tmp_path / "app.log")
    following.stop()
    assert "cannot write the state of the logs" in following.problem


def test_a_state_directory_that_is_gone_is_a_problem_and_no_end(tmp_path: Path) -> None:
    following = Following(Redactor(), tmp_path / "gone")
    follow(following, tmp_path / "app.log")
    following.look()
    following.stop()
    assert "cannot write the state of the logs" in following.problem


class Hanging(FollowedLog):
    """A log on a mount that does not answer."""

    def __init__(self) -> None:
        super().__init__("plain", str, None)
        self.there = threading.Event()
        self.polls = 0

    def poll(self, most: int) -> None:
        self.polls += 1
        self.there.wait(60)


class Broken(FollowedLog):
    def poll(self, most: int) -> None:
        raise ValueError("nobody thought of this")


def test_a_source_that_hangs_or_breaks_is_alone_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "STUCK_SECONDS", 0.3)
    monkeypatch.setattr(module, "LOOK_SECONDS", 0.05)
    path = tmp_path / "app.log"
    following = Following(Redactor(), tmp_path)
    hanging = Hanging()
    following._followed = {"a": hanging, "b": Broken("plain", str, None)}
    log = follow(following, path)
    following.start()
    path.write_text(ERROR + "2026-11-21 04:00:00 INFO fine\n")

    def followed() -> bool:
        following.watch()
        return errors(log) == 1

    wait_until(followed, "the log beside it", 30)
    threads = threading.active_count()
    assert hanging.polls == 1
    for _ in range(20):
        following.watch()
    assert threading.active_count() == threads
    hanging.there.set()  # the mount is back: its thread ends, and it is looked at again
    wait_until(lambda: hanging.polls > 2, "looks at what hung", 30)
    assert threading.active_count() == threads - 1
    following.stop()
    assert following.problem == ""
