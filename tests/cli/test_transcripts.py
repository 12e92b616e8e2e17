"""Transcripts: what a person types and sees, as files. OPSCTL_ACCEPT=1 writes them anew.

A transcript is `$ COMMAND` lines, each followed by its output, `stderr:` lines, and the exit code.
Files that the commands read are made here, from facts: nothing of this machine is looked at.
"""

from __future__ import annotations

import os
import shlex
from pathlib import Path

import msgspec
import pytest

from opsctl.facts.redis import RedisFacts
from opsctl.model import Problem, Snapshot
from opsctl.snapshot import save
from tests.cli.running import opsctl, steady
from tests.unit.snapshots import redis, snapshot

FOLDER = Path(__file__).parent / "transcripts"
FILES = sorted(FOLDER.glob("*.txt"))

SHOP = """name: shop
services:
  cache: {redis: "redis://127.0.0.1:6379/0"}
  api:
    depends_on: [cache]
    http: [http://127.0.0.1:8000/health]
"""
WRONG = """name: shop
services:
  cache: {redis: "redis://:secret@127.0.0.1/0"}
  api: {dependson: [cache], replicas: none}
"""


def full_redis() -> RedisFacts:
    """Return a Redis of which everything is known and that is well."""
    return redis(
        version="7.0.15",
        role="master",
        uptime_seconds=86_400,
        ping_seconds=0.001,
        loading=False,
        used_memory=1_000_000,
        used_memory_rss=1_400_000,
        maxmemory=0,
        maxmemory_policy="noeviction",
        fragmentation_ratio=1.4,
        evicted_keys=0,
        evicted_per_second=0.0,
        rdb_last_save_ok=True,
        rdb_changes_since_save=0,
        aof_enabled=False,
        aof_last_write_ok=True,
        connected_replicas=0,
        connected_clients=4,
        maxclients=10_000,
        rejected_connections=0,
        blocked_clients=0,
        listens_beyond_loopback=False,
        needs_password=False,
        protected_mode=True,
    )


def well() -> Snapshot:
    fine = full_redis()
    return snapshot({"cache/redis": fine, "queue/redis": fine}, {"queue": ["cache"]})


def broken() -> Snapshot:
    down = redis("refused", "Connection refused")
    late = Problem(code="timeout", message="timed out after 3.0 s", hint="give it longer with --timeout")
    taken = snapshot({"cache/redis": down, "queue/redis": late}, {"queue": ["cache"]})
    return msgspec.structs.replace(taken, duration_seconds=3.0)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with the files that the transcripts name."""
    save(well(), tmp_path / "well.json")
    save(broken(), tmp_path / "broken.json")
    (tmp_path / "cut.json").write_bytes((tmp_path / "well.json").read_bytes()[:200])
    (tmp_path / "shop.yml").write_text(SHOP)
    (tmp_path / "wrong.yml").write_text(WRONG)
    return tmp_path


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_transcript(path: Path, folder: Path) -> None:
    expected = path.read_text()
    commands = [line[2:] for line in expected.splitlines() if line.startswith("$ ")]
    said = "\n".join(transcript(command, folder) for command in commands)
    if os.environ.get("OPSCTL_ACCEPT"):
        path.write_text(said)
    assert said == expected


def transcript(command: str, folder: Path) -> str:
    program, *arguments = shlex.split(command)
    assert program == "opsctl"
    ended = opsctl(*arguments, cwd=folder)
    errors = "".join(f"stderr: {line}\n" for line in ended.stderr.splitlines())
    return steady(f"$ {command}\n{ended.stdout}{errors}(exit {ended.code})\n")


def test_there_are_transcripts_of_the_main_commands() -> None:
    text = "".join(path.read_text() for path in FILES)
    for command in (
        "diagnose",
        "diff",
        "stack validate",
        "stack show",
        "stack list",
        "verify",
        "runbook",
        "health",
    ):
        assert f"$ opsctl {command}" in text, command
