"""What a hostile or an unlucky user types: one clear line, exit code 3, no traceback, nothing quoted."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from opsctl.snapshot import to_json
from tests.cli.running import OPSCTL, Ended, environment, opsctl
from tests.cli.test_transcripts import broken, well

ONE = "name: s\nservices: {cache: {redis: 'redis://127.0.0.1:1/0'}}\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder full of what is no stack file and no snapshot."""
    (tmp_path / "s.yml").write_text(ONE)
    (tmp_path / "well.json").write_bytes(to_json(well()))
    os.mkfifo(tmp_path / "fifo.yml")
    (tmp_path / "dir.yml").mkdir()
    (tmp_path / "loop.yml").symlink_to("loop.yml")
    (tmp_path / "huge.yml").write_text("name: a\n" + "x: 1\n" * 400_000)
    (tmp_path / "shadow").write_text("root:$6$canary$hash:19000:0:99999:7:::\ndaemon:*:19000::::::\n")
    (tmp_path / "zero.yml").write_text('name: s\nservices: {a: {env: "a\\0b"}}\n')
    (tmp_path / "broken-name.yml").write_text('name: s\nservices: {"a\\n\\e[2Jb": {redis: redis://h}}\n')
    (tmp_path / "secret.yml").write_text(
        "name: s\nservices: {a: {redis: {url: redis://h, password_env: 'canary pw'}}}\n"
    )
    return tmp_path


def assert_refused(ended: Ended) -> None:
    assert ended.code == 3
    assert ended.stdout == ""
    assert ended.stderr.count("\n") == 1, ended.stderr
    assert len(ended.stderr) < 600
    for word in ("Traceback", "fault in opsctl", "canary"):
        assert word not in ended.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ("stack", "validate", "fifo.yml"),
        ("stack", "validate", "dir.yml"),
        ("stack", "validate", "loop.yml"),
        ("stack", "validate", "huge.yml"),
        ("stack", "validate", "./shadow"),
        ("stack", "validate", "zero.yml"),
        ("stack", "validate", "secret.yml"),
        ("stack", "validate", "no\nsuch.yml"),
        ("stack", "validate", "broken-name.yml"),
        ("stack", "validate", "s.yml", "--stack", "s.yml"),
        ("stack", "show", "s.yml", "--stack", "s.yml"),
        ("stack", "validate", "~nosuchuser/x.yml"),
        ("diagnose", "--stack", ""),
        ("diagnose", "--stack", "a" * 5000),
        ("diagnose", "--from", "a" * 5000),
        ("diagnose", "--from", "fifo.yml"),
        ("diagnose", "--from", "loop.yml"),
        ("diagnose", "--from", "s.yml"),
        ("diagnose", "--from", "well.json", "--stack", "s.yml"),
        ("snapshot", "--stack", "s.yml", "-o", ""),
        ("verify", "", "--stack", "s.yml"),
        ("verify", "redis/dwon", "--stack", "s.yml"),
        ("runbook", "../../etc/passwd"),
        ("checks", "redis/dwon"),
        ("health", "cahce", "--stack", "s.yml"),
    ],
)
def test_it_is_refused_in_one_line(folder: Path, arguments: tuple[str, ...]) -> None:
    assert_refused(opsctl(*arguments, cwd=folder))


@pytest.mark.parametrize("name", ["nosuch", "./nosuch.yml"])
def test_the_variable_says_the_same_as_the_option(folder: Path, name: str) -> None:
    for command in (("stack", "list"), ("stack", "show"), ("diagnose",)):
        ended = opsctl(*command, cwd=folder, OPSCTL_STACK=name)
        assert_refused(ended)
        assert "nosuch" in ended.stderr


def edited(**changes: Any) -> bytes:
    return json.dumps({**json.loads(to_json(broken())), **changes}).encode()


@pytest.mark.parametrize(
    "data",
    [b"", b"\xff\xfe", b"[" * 100_000, to_json(broken())[:300], edited(schema=99), edited(schema=True),
     edited(taken_at="never"), edited(readings=[1]), edited(readings={}), edited(stack=[])],
)  # fmt: skip
def test_a_snapshot_that_is_none_is_refused(folder: Path, data: bytes) -> None:
    (folder / "x.json").write_bytes(data)
    assert_refused(opsctl("diagnose", "--from", "x.json", cwd=folder))


@pytest.mark.parametrize(
    "variables",
    [
        {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
        {"LC_ALL": "nosuch"},
        {"PYTHONIOENCODING": "ascii"},
        {"COLUMNS": "20"},
        {"COLUMNS": "abc"},
        {"HOME": "/nonexistent", "XDG_CONFIG_HOME": "~nosuchuser/x"},
        {"TERM": ""},
    ],
)
def test_odd_surroundings_change_nothing(folder: Path, variables: dict[str, str]) -> None:
    ended = opsctl("diagnose", "--from", "well.json", cwd=folder, **variables)
    assert (ended.code, ended.stderr) == (0, "")
    assert ended.stdout.splitlines()[-1].startswith("OK  nothing is wrong")


def test_a_folder_that_was_removed_and_a_closed_stdin(tmp_path: Path) -> None:
    (tmp_path / "s.yml").write_text(ONE)
    program = " ".join(OPSCTL)
    for command in (f"stack validate {tmp_path}/s.yml", f"verify redis/down --stack {tmp_path}/s.yml"):
        gone = tmp_path / "gone"
        gone.mkdir()
        done = subprocess.run(
            ["sh", "-c", f'rmdir "{gone}"; exec {program} {command} <&-'],
            cwd=gone, env=environment(PYTHONPATH=str(Path(__file__).parent.parent.parent)),
            capture_output=True, timeout=120, check=False,
        )  # fmt: skip
        assert done.returncode == (0 if "validate" in command else 2), done.stderr
        assert b"Traceback" not in done.stderr


def test_the_host_is_no_service() -> None:
    from opsctl.health import health
    from tests.unit.snapshots import redis, snapshot

    taken = snapshot({"host/redis": redis(), "a/redis": redis(), "b/redis": redis("refused", "x")})
    assert "on 1 of 2 services;" in health(taken).words
    taken = snapshot({"host/redis": redis("refused", "x"), "a/redis": redis()})
    assert "on the host;" in health(taken).words
