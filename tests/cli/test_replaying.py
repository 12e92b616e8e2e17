"""Saved snapshots on the command line: from a pipe, with their stack, with what could not be seen."""

from __future__ import annotations

import subprocess
from pathlib import Path

import msgspec
import pytest

from opsctl.model import Problem, Snapshot
from opsctl.snapshot import save, to_json
from tests.cli.running import OPSCTL, environment, opsctl
from tests.unit.snapshots import redis, snapshot

DOWN = {"cache/redis": redis("refused", "Connection refused")}


def of(origin: str) -> Snapshot:
    taken = snapshot(dict(DOWN))
    return msgspec.structs.replace(taken, stack=msgspec.structs.replace(taken.stack, origin=origin))


def test_a_snapshot_may_come_through_a_pipe(tmp_path: Path) -> None:
    done = subprocess.run(
        [*OPSCTL, "diagnose", "--from", "-"],
        cwd=tmp_path,
        env=environment(),
        input=to_json(of("shop.yml")),
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert b"redis/down on cache" in done.stdout
    assert b"--target cache/redis --stack shop.yml\n" in done.stdout


def test_an_empty_pipe_is_named(tmp_path: Path) -> None:
    ended = opsctl("diagnose", "--from", "-", cwd=tmp_path)
    assert ended.code == 3
    assert "stdin: not a whole snapshot" in ended.stderr


@pytest.mark.parametrize(
    ("origin", "argument"),
    [
        ("/usr/lib/python3/opsctl/stacks/flurai.yml", " --stack flurai\n"),
        ("discovered on this machine", "cache/redis\n"),
        ("my stacks/a.yml", " --stack 'my stacks/a.yml'\n"),
    ],
)
def test_the_commands_shown_mean_the_snapshots_stack(tmp_path: Path, origin: str, argument: str) -> None:
    save(of(origin), tmp_path / "a.json")
    shown = opsctl("diagnose", "--from", "a.json", cwd=tmp_path).stdout
    line = next(line for line in shown.splitlines(keepends=True) if "opsctl verify" in line)
    assert line.endswith(argument)


def test_a_difference_counts_what_could_not_be_seen_where_that_is_asked(tmp_path: Path) -> None:
    unseen = snapshot({"cache/redis": Problem(code="permission", message="no right", hint="run as root")})
    save(unseen, tmp_path / "old.json")
    save(unseen, tmp_path / "new.json")
    assert opsctl("diff", "old.json", "new.json", cwd=tmp_path).code == 0
    assert opsctl("diff", "old.json", "new.json", "--fail-on", "unknown", cwd=tmp_path).code == 3
