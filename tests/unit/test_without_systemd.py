"""Where no systemd runs, neither the path nor a fix names systemctl."""

from __future__ import annotations

import msgspec

from opsctl.diagnose import diagnose
from opsctl.model import Snapshot
from opsctl.render.diagnosis import render
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
    assert "systemctl status redis-server" in render(diagnose(taken(systemd=True)), "text")
    assert "systemctl" in render(diagnose(taken(systemd=False, unit="redis.service")), "text")


def test_a_live_look_says_whether_systemd_runs() -> None:
    from pathlib import Path

    from opsctl.stack.specs import StackSpec
    from opsctl.stack.stack import Stack

    summary = Stack(StackSpec(name="s", services={}), "s.yml", Path("/")).summary()
    assert summary.systemd is Path("/run/systemd/system").is_dir()
