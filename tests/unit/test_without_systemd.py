"""Where no systemd runs, neither the path nor a fix names systemctl."""

from __future__ import annotations

import msgspec

from opsctl.diagnose import diagnose
from opsctl.facts.base import Connection
from opsctl.facts.docker import DockerFacts
from opsctl.judge import judge
from opsctl.model import Snapshot
from opsctl.render.diagnosis import render
from opsctl.without_systemd import findings
from tests.unit.snapshots import redis, snapshot


def taken(systemd: bool, unit: str = "") -> Snapshot:
    made = snapshot({"cache/redis": redis("refused", "Connection refused")})
    services = {name: msgspec.structs.replace(item, unit=unit) for name, item in made.stack.services.items()}
    stack = msgspec.structs.replace(made.stack, systemd=systemd, services=services)
    return msgspec.structs.replace(made, stack=stack)


def test_no_command_and_no_question_names_it() -> None:
    for output in ("text", "json", "markdown"):
        text = render(diagnose(taken(systemd=False)), output)
        assert "systemctl" not in text
        assert "journalctl" not in text
    assert diagnose(taken(systemd=False)).root_causes[0].finding.remediation is not None


def test_where_it_runs_or_is_expected_it_is_named() -> None:
    text = render(diagnose(taken(systemd=True, unit="redis.service")), "text")
    assert "systemctl status --no-pager redis.service" in text
    assert "systemctl" in render(diagnose(taken(systemd=False, unit="redis.service")), "text")


def test_a_live_look_says_whether_systemd_runs() -> None:
    from pathlib import Path

    from opsctl.stack.specs import StackSpec
    from opsctl.stack.stack import Stack

    summary = Stack(StackSpec(name="s", services={}), "s.yml", Path("/")).summary()
    assert summary.systemd is Path("/run/systemd/system").is_dir()


def test_neither_an_action_of_the_path_nor_a_finding_to_verify_names_it() -> None:
    engine = DockerFacts(up=False, connection=Connection(state="missing"), endpoint="unix:///run/docker.sock")
    made = snapshot({"host/docker": engine}, {"api": []}, flow="containers")
    without = msgspec.structs.replace(made, stack=msgspec.structs.replace(made.stack, systemd=False))
    found = diagnose(without)
    assert [step.action for step in found.path if "systemctl" in step.action] == []
    remedy = found.root_causes[0].finding.remediation
    assert remedy is not None
    assert set(remedy.commands) >= {"pgrep -a dockerd", "ls -l /run/docker.sock", "docker context ls"}
    shown = findings(without.stack, judge(without, ["docker/daemon-down"]))
    assert [item.remediation for item in shown] == [remedy]
