"""Units of a real systemd: each fault is the first root cause, and gone when undone."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from opsctl.diagnose import diagnose
from opsctl.engine import collect
from opsctl.model import Status
from opsctl.stack.reader import parse
from tests.servers.base import wait_until
from tests.servers.pressure import memory_groups
from tests.servers.systemd import Machine, unavailable

pytestmark = [pytest.mark.live, pytest.mark.systemd]

SLEEPER = "[Service]\nExecStart=/bin/sleep infinity\n{more}\n[Install]\nWantedBy=multi-user.target\n"


@pytest.fixture(scope="module")
def machine() -> Iterator[Machine]:
    reason = unavailable()
    if reason:
        pytest.skip(reason)
    with Machine() as machine:
        yield machine


@pytest.fixture
def name() -> str:
    """A unit name that no other test uses."""
    return f"app-{secrets.token_hex(3)}"


OFF = {"warning": None, "critical": None}
OF_NEIGHBOURS = ("cpu-saturated", "io-pressure", "memory-pressure", "memory-exhausted", "swap-thrashing")
"""What the neighbouring tests do to the machine is not judged here."""


def stack(services: dict[str, Any]) -> str:
    thresholds = {f"host/{name}": OFF for name in OF_NEIGHBOURS}
    return json.dumps({"name": "t", "services": services, "thresholds": thresholds})


def stack_of(*units: str) -> str:
    return stack({unit.partition("@")[0]: {"unit": unit} for unit in units})


def failing(result: dict[str, Any]) -> list[str]:
    return [
        f"{item['id']}: {item['summary']}"
        for item in result["findings"]
        if item["status"] in ("warning", "critical")
    ]


def first(result: dict[str, Any]) -> tuple[str, str]:
    cause = result["root_causes"][0]
    return cause["id"], cause["target"]


def running(machine: Machine, name: str, more: str = "") -> None:
    """Install a unit that does nothing for ever, enabled and started."""
    machine.unit(f"{name}.service", SLEEPER.format(more=more))
    machine.run("systemctl", "enable", "--now", name)


def restarts(machine: Machine, name: str) -> int:
    return int(machine.show(name, "NRestarts") or 0)


def test_a_healthy_unit_has_no_finding(machine: Machine, name: str) -> None:
    running(machine, name)
    result = machine.diagnose(stack_of(name))
    assert failing(result) == []
    assert result["root_causes"] == []


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("ExecStart=/nowhere/program", "203"),
        ("ExecStart=/bin/sleep 9\nWorkingDirectory=/nowhere", "200"),
        ("ExecStart=/bin/sleep 9\nUser=nobody-at-all", "217"),
        ("ExecStart=/bin/sleep 9\nEnvironmentFile=/nowhere/app.env", "/nowhere/app.env"),
        ("ExecStart=/bin/false", "exit code 1"),
        ("ExecStart=/bin/sh -c 'kill -SEGV $$$$'", "SIGSEGV"),
    ],
)
def test_a_unit_that_failed_says_why(machine: Machine, name: str, setting: str, words: str) -> None:
    machine.unit(f"{name}.service", f"[Service]\n{setting}\n[Install]\nWantedBy=multi-user.target\n")
    machine.run("systemctl", "enable", name)
    machine.run("systemctl", "start", name, check=False)
    wait_until(lambda: machine.show(name, "ActiveState") == "failed", name)
    result = machine.diagnose(stack_of(name))
    assert first(result) == ("systemd/failed", name)
    assert words in result["root_causes"][0]["summary"]
    assert len(result["root_causes"]) == 1
    machine.unit(f"{name}.service", SLEEPER.format(more=""))
    machine.run("systemctl", "start", name)
    assert failing(machine.diagnose(stack_of(name))) == []


def test_a_stopped_unit(machine: Machine, name: str) -> None:
    running(machine, name)
    machine.run("systemctl", "stop", name)
    result = machine.diagnose(stack_of(name))
    assert first(result) == ("systemd/inactive", name)
    machine.run("systemctl", "start", name)
    assert failing(machine.diagnose(stack_of(name))) == []


def test_a_unit_that_was_never_started(machine: Machine, name: str) -> None:
    machine.unit(f"{name}.service", SLEEPER.format(more=""))
    machine.run("systemctl", "enable", name)
    result = machine.diagnose(stack_of(name))
    assert first(result) == ("systemd/inactive", name)
    assert "not started since the machine booted" in result["root_causes"][0]["summary"]


def test_a_crash_loop_while_it_lasts(machine: Machine, name: str) -> None:
    more = "Restart=always\nRestartSec=200ms"
    endless = "[Unit]\nStartLimitIntervalSec=0\n"
    text = f"{endless}[Service]\nExecStart=/bin/sh -c 'echo the reason; exit 3'\n{more}\n"
    machine.unit(f"{name}.service", text + "[Install]\nWantedBy=multi-user.target\n")
    machine.run("systemctl", "enable", name)
    machine.run("systemctl", "start", name, check=False)
    wait_until(lambda: restarts(machine, name) >= 4, name)
    result = machine.diagnose(stack_of(name))
    assert first(result) == ("systemd/crash-looping", name)
    assert "exit code 3" in result["root_causes"][0]["summary"]
    assert any("the reason" in row["text"] for row in result["root_causes"][0]["evidence"])
    machine.unit(f"{name}.service", SLEEPER.format(more=more))
    machine.run("systemctl", "restart", name)
    # the journal, which tells a start by hand from a restart, is a moment behind systemd
    wait_until(lambda: not failing(machine.diagnose(stack_of(name))), name)


def test_a_crash_loop_that_systemd_gave_up(machine: Machine, name: str) -> None:
    text = "[Service]\nExecStart=/bin/false\nRestart=always\nRestartSec=50ms\n"
    machine.unit(f"{name}.service", text + "[Install]\nWantedBy=multi-user.target\n")
    machine.run("systemctl", "enable", name)
    machine.run("systemctl", "start", name, check=False)
    wait_until(lambda: machine.show(name, "ActiveState") == "failed", name)
    result = machine.diagnose(stack_of(name))
    assert first(result) == ("systemd/crash-looping", name)
    assert [item["id"] for item in result["root_causes"]] == ["systemd/crash-looping"]
    assert {item["id"] for item in result["root_causes"][0]["chain"]} == {"systemd/failed"}


def test_a_masked_unit(machine: Machine, name: str) -> None:
    machine.unit(f"{name}.service", SLEEPER.format(more=""))
    machine.run("mv", f"/etc/systemd/system/{name}.service", "/usr/lib/systemd/system/")
    machine.run("systemctl", "daemon-reload")
    machine.run("systemctl", "enable", "--now", name)
    machine.run("systemctl", "mask", "--now", name)
    result = machine.diagnose(stack_of(name))
    assert first(result) == ("systemd/masked", name)
    assert len(result["root_causes"]) == 1
    machine.run("systemctl", "unmask", name)
    machine.run("systemctl", "start", name)
    assert failing(machine.diagnose(stack_of(name))) == []


def test_a_unit_that_will_not_start_at_boot(machine: Machine, name: str) -> None:
    running(machine, name)
    machine.run("systemctl", "disable", name)
    result = machine.diagnose(stack_of(name))
    assert first(result) == ("systemd/not-enabled", name)
    assert result["status"] == "warning"
    machine.run("systemctl", "enable", name)
    assert failing(machine.diagnose(stack_of(name))) == []


def test_a_file_that_systemd_has_not_read(machine: Machine, name: str) -> None:
    running(machine, name)
    machine.write(f"/etc/systemd/system/{name}.service.d/limit.conf", "[Service]\nMemoryMax=1G\n")
    result = machine.diagnose(stack_of(name))
    assert first(result) == ("systemd/reload-needed", name)
    machine.run("systemctl", "daemon-reload")
    assert failing(machine.diagnose(stack_of(name))) == []
    machine.write(f"/etc/systemd/system/{name}.service", SLEEPER.format(more="Nice=1"))
    assert first(machine.diagnose(stack_of(name))) == ("systemd/reload-needed", name)
    machine.run("systemctl", "daemon-reload")
    assert failing(machine.diagnose(stack_of(name))) == []


def test_a_unit_that_does_not_exist(machine: Machine, name: str) -> None:
    result = machine.diagnose(stack_of(name))
    assert first(result) == ("systemd/unit-missing", name)
    assert len(result["root_causes"]) == 1
    running(machine, name)
    assert failing(machine.diagnose(stack_of(name))) == []


def test_a_file_with_an_error(machine: Machine, name: str) -> None:
    machine.unit(f"{name}.service", "[Service]\nExecStart=relative/path\n")
    result = machine.diagnose(stack_of(name))
    assert first(result) == ("systemd/unit-missing", name)
    assert "cannot use" in result["root_causes"][0]["summary"]


@pytest.mark.skipif(memory_groups() is None, reason="limiting memory needs a memory control group")
def test_a_unit_killed_for_want_of_memory(machine: Machine, name: str) -> None:
    grow = "import os, time\\nwhile not os.path.exists('/run/grow'): time.sleep(0.02)\\nx = bytearray(10**9)"
    text = (
        f"[Service]\nExecStart=/usr/bin/python3 -c \"exec('''{grow}''')\"\nMemoryMax=40M\nMemorySwapMax=0\n"
    )
    machine.unit(f"{name}.service", text + "[Install]\nWantedBy=multi-user.target\n")
    machine.run("rm", "-f", "/run/grow")
    machine.run("systemctl", "enable", "--now", name)
    with machine.memory_limit(f"{name}.service", 40 * 1024 * 1024):
        machine.run("touch", "/run/grow")
        wait_until(lambda: machine.show(name, "ActiveState") == "failed", name)
        result = machine.diagnose(stack_of(name))
        assert first(result) == ("systemd/oom-killed", name)
        assert len(result["root_causes"]) == 1
        assert "systemd/failed" in {item["id"] for item in result["root_causes"][0]["chain"]}
    machine.run("rm", "-f", "/run/grow")
    machine.run("sleep", "1.2")
    machine.run("systemctl", "start", name)
    assert failing(machine.diagnose(stack_of(name))) == []


def test_units_that_rest_by_design_are_well(machine: Machine, name: str) -> None:
    machine.unit(f"{name}-job.service", "[Service]\nType=oneshot\nExecStart=/bin/true\n")
    machine.unit(f"{name}-job.timer", "[Timer]\nOnCalendar=yearly\n[Install]\nWantedBy=timers.target\n")
    machine.unit(f"{name}-once.service", "[Service]\nType=oneshot\nExecStart=/bin/true\n")
    machine.run("systemctl", "enable", "--now", f"{name}-job.timer")
    machine.run("systemctl", "start", f"{name}-once")
    assert failing(machine.diagnose(stack_of(f"{name}-job", f"{name}-once"))) == []


def test_aliases_and_names_without_a_type(machine: Machine, name: str) -> None:
    running(machine, name, f"\n[Install]\nAlias={name}-alias.service")
    assert failing(machine.diagnose(stack_of(f"{name}-alias"))) == []
    assert failing(machine.diagnose(stack_of(f"{name}.service"))) == []


def test_postgresql_is_judged_by_its_clusters(machine: Machine) -> None:
    """`postgresql.service` is active although its cluster is not."""
    machine.run("sh", "-c", "pg_lsclusters -h | grep -q . || pg_createcluster 15 main")
    machine.run("systemctl", "daemon-reload")
    machine.run("systemctl", "enable", "postgresql")
    machine.run("systemctl", "restart", "postgresql")
    cluster = "postgresql@15-main.service"
    wait_until(lambda: machine.show(cluster, "ActiveState") == "active", cluster, 60)
    database = stack({"db": {"unit": "postgresql"}})
    assert failing(machine.diagnose(database)) == []
    machine.run("systemctl", "stop", cluster)
    assert machine.show("postgresql", "ActiveState") == "active"
    result = machine.diagnose(database)
    assert first(result) == ("systemd/inactive", "db")
    assert cluster in result["root_causes"][0]["summary"]
    machine.run("systemctl", "start", cluster)
    assert failing(machine.diagnose(database)) == []


def test_the_unit_that_others_lean_on_is_the_cause(machine: Machine, name: str) -> None:
    """The application dies because its database's unit was stopped: one cause, the database's."""
    running(machine, f"{name}-db")
    check = f"/bin/sh -c 'systemctl is-active --quiet {name}-db && exec sleep infinity; exit 1'"
    text = f"[Service]\nExecStart={check}\n[Install]\nWantedBy=multi-user.target\n"
    machine.unit(f"{name}-app.service", text)
    machine.run("systemctl", "enable", f"{name}-app")
    machine.run("systemctl", "stop", f"{name}-db")
    machine.run("systemctl", "start", f"{name}-app", check=False)
    wait_until(lambda: machine.show(f"{name}-app", "ActiveState") == "failed", name)
    services = {"db": {"unit": f"{name}-db"}, "app": {"unit": f"{name}-app", "depends_on": ["db"]}}
    result = machine.diagnose(stack(services))
    assert [(item["id"], item["target"]) for item in result["root_causes"]] == [("systemd/inactive", "db")]
    assert {(item["id"], item["target"]) for item in result["root_causes"][0]["chain"]} == {
        ("systemd/failed", "app")
    }


def test_two_independent_units_are_two_causes(machine: Machine, name: str) -> None:
    running(machine, f"{name}-one")
    running(machine, f"{name}-two")
    machine.run("systemctl", "stop", f"{name}-one", f"{name}-two")
    result = machine.diagnose(stack_of(f"{name}-one", f"{name}-two"))
    assert {item["target"] for item in result["root_causes"]} == {f"{name}-one", f"{name}-two"}


def test_secrets_in_the_journal_stay_there(machine: Machine, name: str) -> None:
    text = "[Service]\nExecStart=/bin/sh -c 'echo cannot log in with password=open-sesame-1; exit 1'\n"
    machine.unit(f"{name}.service", text)
    machine.run("systemctl", "start", name, check=False)
    wait_until(lambda: machine.show(name, "ActiveState") == "failed", name)
    result = machine.diagnose(stack_of(name))
    assert any("cannot log in" in row["text"] for row in result["root_causes"][0]["evidence"])
    assert "open-sesame-1" not in json.dumps(result)


def test_a_name_that_cannot_be_a_unit_spoils_nothing(machine: Machine, name: str) -> None:
    running(machine, name)
    services = {"a": {"unit": "template@.service"}, "z": {"unit": name}}
    result = machine.diagnose(stack(services))
    assert failing(result) == []
    unknown = {item["target"] for item in result["findings"] if item["status"] == "unknown"}
    assert "a" in unknown
    assert "z" not in unknown


@pytest.mark.skipif(Path("/run/systemd/system").exists(), reason="this machine was started with systemd")
def test_a_machine_without_systemd_is_unknown_not_well() -> None:
    here = parse(stack_of("nginx").encode(), "test.yml", Path("/tmp"))
    result = diagnose(collect(here, wanted=lambda target: target.kind == "systemd"))
    statuses = {item.status for item in result.findings if item.kind == "systemd"}
    assert statuses == {Status.UNKNOWN}
    assert result.root_causes == ()
