"""What the documents say exists: links, commands, slugs, make targets."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from opsctl.checks import all_checks
from opsctl.cli.main import COMMANDS
from opsctl.kinds import KINDS
from opsctl.runbooks import all_runbooks, flow_names, page

ROOT = Path(__file__).parent.parent.parent
DOCUMENTS = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")]
SLUGS = {check.slug for check in all_checks()}


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_every_link_leads_to_a_file(path: Path) -> None:
    targets = re.findall(r"\]\((?!https?:|#)([^)#]+)", path.read_text())
    assert [target for target in targets if not (path.parent / target).exists()] == []


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_every_command_named_exists(path: Path) -> None:
    named = re.findall(r"(?:^|[`$] ?)opsctl ([a-z]+)", path.read_text(), re.M)
    assert sorted({name for name in named if name not in COMMANDS}) == []


def test_every_slug_in_the_readme_exists() -> None:
    named = re.findall(rf"\b((?:{'|'.join(KINDS)})/[a-z][a-z-]+)\b", (ROOT / "README.md").read_text())
    assert named
    assert sorted(set(named) - SLUGS - {"host/host"}) == []


def test_every_make_target_named_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M))
    for path in DOCUMENTS:
        named = re.findall(r"(?:^|`)make ([a-z-]+)", path.read_text(), re.M)
        assert sorted(set(named) - targets) == [], path.name


def test_the_readme_names_every_kind() -> None:
    line = next(line for line in (ROOT / "README.md").read_text().splitlines() if line.startswith("Kinds:"))
    assert [kind.strip(" .") for kind in line.removeprefix("Kinds:").split(",")] == list(KINDS)


@pytest.mark.parametrize("name", [*sorted(all_runbooks()), *flow_names()])
def test_a_runbook_sends_nobody_to_a_command_that_is_not_there(name: str) -> None:
    named = re.findall(r"`(?:sudo )?opsctl ([a-z]+)(?: ([a-z]+/[a-z-]+))?", page(name))
    for command, slug in named:
        assert command in COMMANDS
        if slug and command in ("verify", "checks", "runbook"):
            assert slug in SLUGS
