"""How the exporter is shipped: in the wheel, found through its entry point, run by unit and image."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import click
import pytest

from exporters.application import Application
from exporters.command import command
from exporters.pages import PAGES
from exporters.probing import MODULES
from opsctl.cli import main
from opsctl.cli.main import COMMANDS, ENTRY_POINTS, LazyGroup, plugged_in
from tests.unit.exporter import lookout, stack

ROOT = Path(__file__).parent.parent.parent
DEPLOY = ROOT / "exporters" / "deploy"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def test_the_wheel_holds_the_exporter_and_names_its_command() -> None:
    assert PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"] == ["opsctl", "exporters"]
    assert PROJECT["project"]["entry-points"][ENTRY_POINTS] == {
        "exporter": "exporters.command:command",
        "metrics": "exporters.metrics_command:command",
    }
    assert COMMANDS["exporter"][0] == COMMANDS["metrics"][0] == ""


def test_opsctl_never_imports_the_exporter() -> None:
    pattern = re.compile(r"^\s*(?:from|import)\s+exporters\b", re.M)
    assert [path.name for path in (ROOT / "opsctl").rglob("*.py") if pattern.search(path.read_text())] == []


def test_a_command_of_another_package_is_found_when_it_is_called(tmp_path: Path) -> None:
    (tmp_path / "brought.py").write_text(
        "import click\n\n\n@click.command('brought')\ndef command() -> None:\n    '''Bring it.'''\n"
        "    click.echo('it is here')\n"
    )
    (tmp_path / "brought-1.dist-info").mkdir()
    (tmp_path / "brought-1.dist-info" / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: brought\nVersion: 1\n"
    )
    (tmp_path / "brought-1.dist-info" / "entry_points.txt").write_text(
        f"[{ENTRY_POINTS}]\nbrought = brought:command\n"
    )
    program = f"import sys; sys.path.insert(0, {str(tmp_path)!r})\nfrom opsctl.cli.main import main\nmain()"

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", program, *arguments],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    assert run("brought").stdout == "it is here\n"
    assert run("brough").returncode == 3


def test_a_command_that_is_not_installed_is_said_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(main, "plugged_in", lambda _name: None)
    group = main.cli
    assert isinstance(group, LazyGroup)
    with pytest.raises(click.UsageError, match="not installed"):
        group.resolve_command(click.Context(group), ["exporter"])


def exporter_options(words: list[str]) -> dict[str, object]:
    """Return the options as the command reads them.

    Raises:
        click.UsageError: it has no such option.
    """
    command = plugged_in("exporter")
    assert command is not None
    return command.make_context("exporter", words).params


def test_the_unit_calls_the_command_as_it_is() -> None:
    unit = (DEPLOY / "opsctl-exporter.service").read_text()
    (line,) = re.findall(r"^ExecStart=(.*)$", unit, re.M)
    program, name, *words = shlex.split(line)
    assert (Path(program).name, name) == ("opsctl", "exporter")
    assert exporter_options(words)["listen"] == ("127.0.0.1", 9779)
    for directive in ("NoNewPrivileges=yes", "ProtectSystem=strict", "CapabilityBoundingSet=", "MemoryMax="):
        assert directive in unit
    assert "User=opsctl" in unit


def test_the_image_is_made_from_what_is_there() -> None:
    text = (DEPLOY / "Dockerfile").read_text()
    for sources in re.findall(r"^COPY (?!--from)(.*) \S+$", text, re.M):
        assert all((ROOT / source).exists() for source in sources.split())
    assert re.search(r"^USER opsctl$", text, re.M)
    (words,) = re.findall(r"^CMD \[(.*)\]$", text, re.M)
    assert exporter_options(re.findall(r'"([^"]*)"', words))["listen"] == ("127.0.0.1", 9779)


@pytest.mark.parametrize(
    ("text", "address"),
    [("127.0.0.1:80", ("127.0.0.1", 80)), ("[::1]:0", ("::1", 0)), (":9100", ("", 9100))],
)
def test_addresses(text: str, address: tuple[str, int]) -> None:
    assert exporter_options(["--listen", text])["listen"] == address


@pytest.mark.parametrize("text", ["", "80", "a:b", "::1:80", "a:70000", "a:"])
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(click.UsageError, match="HOST:PORT"):
        exporter_options(["--listen", text])


def test_every_path_of_the_documents_is_there() -> None:
    page = (ROOT / "docs" / "exporter.md").read_text()
    named = set(re.findall(r"^\| `/metrics/([a-z]+)`", page, re.M))
    assert named == {*PAGES, "findings"}
    rows = re.findall(r"^\| (`/.*?) \|", page, re.M)
    others = {path for row in rows for path in re.findall(r"`(/[^`?]*)", row)}
    assert others == {
        *Application(lookout(stack({"cache": {"redis": ["redis://127.0.0.1:6379"]}}), lambda _: None)).paths,
        "/",
        "/-/healthy",
    }
    (probe,) = (line for line in page.splitlines() if line.startswith("| `/probe?"))
    assert set(re.findall(r"`([a-z]+)`", probe.partition("module ")[2])) == {*MODULES}


def test_the_help_names_every_path() -> None:
    named = set(re.findall(r"/metrics/([a-z]+)", command.help or ""))
    assert named == {*PAGES, "findings"}
