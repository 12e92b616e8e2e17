"""The command line as a program: help, exit codes, pipes, signals, full disks."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time
from pathlib import Path
from xml.etree import ElementTree

import click
import pytest
import yaml

from opsctl.cli.completing import SHELLS
from opsctl.cli.main import COMMANDS, cli
from opsctl.cli.reference import commands_text
from opsctl.snapshot import save
from tests.cli.running import OPSCTL, environment, opsctl
from tests.cli.test_transcripts import broken, well

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    """Return a folder with two snapshots."""
    save(well(), tmp_path / "well.json")
    save(broken(), tmp_path / "broken.json")
    return tmp_path


def test_every_command_has_help_and_is_documented() -> None:
    assert (ROOT / "docs" / "commands.md").read_text() == commands_text(), "python -m opsctl.cli.reference"
    page = commands_text()
    for name in COMMANDS:
        assert f"\n## opsctl {name}\n" in page
    assert "Error" not in page


@pytest.mark.parametrize("name", COMMANDS)
def test_help_of_a_command(name: str) -> None:
    for flag in ("--help", "-h"):
        ended = opsctl(name, flag)
        assert ended.code == 0
        assert ended.stdout.startswith(f"Usage: opsctl {name}")
        assert not ended.stderr
        assert all(len(line) <= 80 for line in ended.stdout.splitlines())


def test_the_table_of_commands_and_the_commands_go_together() -> None:
    context = click.Context(cli)
    for name, (_, summary) in COMMANDS.items():
        command = cli.get_command(context, name)
        assert command is not None
        assert command.name == name
        assert (command.help or "").split()[0].rstrip(",") == summary.split()[0].rstrip(",")


@pytest.mark.parametrize("output", ["json", "yaml", "markdown", "junit", "nagios", "text"])
def test_every_format_ends_with_the_same_code(saved: Path, output: str) -> None:
    ended = opsctl("diagnose", "--from", "broken.json", "--output", output, cwd=saved)
    assert ended.code == 2
    assert ended.stderr == ""
    if output == "json":
        assert json.loads(ended.stdout)["root_causes"][0]["id"] == "redis/down"
    if output == "yaml":
        assert yaml.safe_load(ended.stdout)["status"] == "critical"
    if output == "junit":
        ElementTree.fromstring(ended.stdout)


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("diagnose", "--from", "well.json"), 0),
        (("diagnose", "--from", "broken.json"), 2),
        (("diagnose", "--from", "broken.json", "--exit-zero"), 0),
        (("diagnose", "--from", "well.json", "--fail-on", "unknown"), 0),
        (("diff", "well.json", "broken.json"), 2),
        (("diff", "well.json", "broken.json", "--exit-zero"), 0),
        (("diff", "broken.json", "well.json"), 0),
        (("diff", "well.json"), 3),
        (("nonsense",), 3),
        (("--nonsense",), 3),
    ],
)
def test_exit_codes(saved: Path, arguments: tuple[str, ...], code: int) -> None:
    assert opsctl(*arguments, cwd=saved).code == code


@pytest.mark.parametrize("output", ["text", "json"])
def test_a_full_disk_under_stdout_is_one_line_and_unknown(saved: Path, output: str) -> None:
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [*OPSCTL, "diagnose", "--from", "well.json", "--output", output],
            cwd=saved, env=environment(), stdout=full, stderr=subprocess.PIPE, timeout=60, check=False,
        )  # fmt: skip
    assert done.returncode == 3
    assert done.stderr.decode() == "opsctl: cannot write to stdout: No space left on device\n"


def test_a_closed_stdout_is_unknown_and_no_traceback(saved: Path) -> None:
    done = subprocess.run(
        ["sh", "-c", f'exec {" ".join(OPSCTL)} diagnose --from well.json >&-'],
        cwd=saved, env=environment(), capture_output=True, timeout=60, check=False,
    )  # fmt: skip
    assert b"Traceback" not in done.stderr


def test_a_reader_that_goes_away_is_no_error(saved: Path) -> None:
    done = subprocess.run(
        ["bash", "-c", f'set -o pipefail; {" ".join(OPSCTL)} checks --output json | head -c 10'],
        cwd=saved, env=environment(), capture_output=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.stdout
    assert done.stderr == b""


def test_ctrl_c_ends_at_once_with_130(tmp_path: Path) -> None:
    import socket

    with socket.socket() as silent:  # accepts, and never says a word
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        port = silent.getsockname()[1]
        (tmp_path / "s.yml").write_text(
            f"name: s\nservices: {{cache: {{redis: 'redis://127.0.0.1:{port}/0'}}}}\n"
        )
        # where the tests themselves run in the background SIGINT is ignored, and children inherit that
        before = signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            process = subprocess.Popen(
                [*OPSCTL, "diagnose", "--stack", "s.yml", "--timeout", "60"],
                cwd=tmp_path, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            )  # fmt: skip
        finally:
            signal.signal(signal.SIGINT, before)
        silent.settimeout(30)
        connection, _ = silent.accept()  # the probe is under way
        with connection:
            began = time.monotonic()
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=30)
            assert time.monotonic() - began < 20
    assert process.returncode == 130
    assert out == b""
    assert err.strip() == b"interrupted"


def test_nothing_is_written_where_nothing_may_be(saved: Path) -> None:
    (saved / "shop.yml").write_text("name: s\nservices: {cache: {redis: 'redis://127.0.0.1:1/0'}}\n")
    for destination in ("none/x.json", "/proc/x.json", "."):
        ended = opsctl("snapshot", "--stack", "shop.yml", "-o", destination, cwd=saved)
        assert ended.code == 3
        assert ended.stderr.startswith("opsctl: cannot write snapshot ")
        assert ended.stderr.count("\n") == 1
    assert sorted(entry.name for entry in saved.iterdir()) == ["broken.json", "shop.yml", "well.json"]


def test_a_snapshot_has_a_name_of_its_own_and_can_be_replayed(tmp_path: Path) -> None:
    (tmp_path / "s.yml").write_text("name: s\nservices: {cache: {redis: 'redis://127.0.0.1:1/0'}}\n")
    ended = opsctl("snapshot", "--stack", "s.yml", cwd=tmp_path)
    assert ended.code == 0
    (written,) = tmp_path.glob("opsctl-s-*.json")
    assert re.fullmatch(r"opsctl-s-\d{8}T\d{6}Z\.json", written.name)
    assert written.name in ended.stderr
    assert ended.stdout == ""
    assert opsctl("diagnose", "--from", written.name, cwd=tmp_path).code == 2
    piped = opsctl("snapshot", "--stack", "s.yml", "-o", "-", cwd=tmp_path)
    assert json.loads(piped.stdout)["schema"] == 1


@pytest.mark.parametrize("shell", SHELLS)
def test_completion_scripts(shell: str) -> None:
    ended = opsctl("completion", shell)
    assert ended.code == 0
    assert "_OPSCTL_COMPLETE" in ended.stdout
    if shell == "bash":
        subprocess.run(["bash", "-n"], input=ended.stdout.encode(), check=True, timeout=30)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("opsctl dia", "diagnose"),
        ("opsctl diagnose --stack flu", "flurai"),
        ("opsctl verify redis/do", "redis/down"),
        ("opsctl runbook syst", "systemd"),
        ("opsctl health --stack freemarket back", "backend"),
        ("opsctl verify redis/down --stack freemarket --target re", "redis/redis"),
        ("opsctl stack val", "validate"),
    ],
)
def test_completion_offers_names(words: str, expected: str) -> None:
    count = len(words.split()) - 1
    ended = opsctl(_OPSCTL_COMPLETE="bash_complete", COMP_WORDS=words, COMP_CWORD=str(count))
    assert expected in [line.partition(",")[2] for line in ended.stdout.splitlines()]


def test_completion_is_silent_where_the_stack_file_is_broken(tmp_path: Path) -> None:
    (tmp_path / "opsctl.yml").write_text("a: [")
    ended = opsctl(
        cwd=tmp_path, _OPSCTL_COMPLETE="bash_complete", COMP_WORDS="opsctl health b", COMP_CWORD="2"
    )
    assert ended.stdout.strip() == ""
    assert ended.stderr == ""


def test_colour_only_on_a_terminal(saved: Path) -> None:
    import pty

    def on_a_terminal(**more: str) -> str:
        main, end = pty.openpty()
        variables = environment(**more)
        if not variables["NO_COLOR"]:
            del variables["NO_COLOR"]
        process = subprocess.Popen(
            [*OPSCTL, "diagnose", "--from", "broken.json"], cwd=saved, env=variables, stdout=end, stderr=end
        )
        os.close(end)
        chunks = []
        try:
            while chunk := os.read(main, 4096):
                chunks.append(chunk)
        except OSError:  # the terminal's other end is closed
            pass
        process.wait(30)
        os.close(main)
        return b"".join(chunks).decode()

    assert "\033[31;1mCRITICAL" in on_a_terminal()
    assert "\033[" not in on_a_terminal(NO_COLOR="1")
    assert "\033[" not in on_a_terminal(TERM="dumb")
    assert "\033[" not in opsctl("diagnose", "--from", "broken.json", cwd=saved).stdout
