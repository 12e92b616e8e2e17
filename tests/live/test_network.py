"""Real sockets, names and firewalls: each fault is the first root cause, and gone when undone."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from opsctl.diagnose import diagnose
from opsctl.engine import collect
from opsctl.model import Diagnosis, Status
from opsctl.stack.reader import parse
from tests.live.containers import SLEEP
from tests.servers.base import free_port, wait_until
from tests.servers.docker import DockerEngine, Project
from tests.servers.systemd import Machine, unavailable

pytestmark = pytest.mark.live


def look(host: dict[str, Any], **more: Any) -> Diagnosis:
    services = {"page": {"http": ["http://127.0.0.1:9/"]}}  # a stack has at least one; it is not looked at
    spec = {"name": "t", "services": services, "host": host, **more}
    stack = parse(json.dumps(spec).encode(), "test", Path("/"))
    return diagnose(collect(stack, wanted=lambda target: target.kind == "network"))


def causes(diagnosis: Diagnosis) -> list[str]:
    return [cause.finding.id for cause in diagnosis.root_causes]


def failing(diagnosis: Diagnosis) -> list[str]:
    return [item.summary for item in diagnosis.findings if item.status is not Status.OK]


def test_a_port_open_to_the_world() -> None:
    port = free_port()
    host = {"closed_ports": [port]}
    with socket.create_server(("127.0.0.1", port)):
        assert failing(look(host)) == []
    with socket.create_server(("0.0.0.0", port)):
        diagnosis = look(host)
        assert causes(diagnosis) == ["network/port-exposed"]
        assert f"pid {os.getpid()}" in diagnosis.root_causes[0].finding.summary
    assert failing(look(host)) == []


def test_a_port_that_nobody_listens_on() -> None:
    port = free_port()
    assert causes(look({"open_ports": [port]})) == ["network/port-closed"]
    with socket.create_server(("127.0.0.1", port)):
        assert failing(look({"open_ports": [port]})) == []


def test_a_name_that_does_not_resolve() -> None:
    diagnosis = look({"names": ["no-such-host.invalid", "localhost"]})
    assert causes(diagnosis) == ["network/name-unresolved"]
    assert diagnosis.root_causes[0].finding.subject == "no-such-host.invalid"
    assert failing(look({"names": ["localhost"]})) == []


@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("iptables"), reason="needs root and iptables")
def test_no_firewall_in_a_network_of_its_own(tmp_path: Path) -> None:
    stack = tmp_path / "stack.yml"
    stack.write_text("name: t\nservices: {page: {http: ['http://127.0.0.1:9/']}}\nhost: {firewall: true}\n")

    def inside(*before: str) -> dict[str, Any]:
        opsctl = f"{sys.executable} -m opsctl verify network/firewall-inactive --stack {stack} --output json"
        script = " && ".join([*before, f"{{ {opsctl} || true; }}"])
        result = subprocess.run(
            ["unshare", "-n", "sh", "-c", script], capture_output=True, text=True, timeout=60
        )
        assert result.stdout, result.stderr
        value: dict[str, Any] = json.loads(result.stdout)
        return value

    assert "network/firewall-inactive" in json.dumps(inside())
    assert inside()["status"] == "warning"
    assert inside("iptables -A INPUT -p tcp --dport 5432 -j DROP")["status"] == "ok"


@pytest.mark.docker
@pytest.mark.xdist_group("docker")
def test_a_container_whose_port_is_taken(docker_engine: DockerEngine) -> None:
    port = free_port()
    services = {"web": SLEEP | {"ports": [f"127.0.0.1:{port}:80"]}}
    with Project(docker_engine, services) as project:
        with socket.create_server(("127.0.0.1", port)):
            project.compose("up", "-d", "--no-build", check=False)
            diagnosis = look_at(project, port)
            assert causes(diagnosis)[:1] == ["network/port-conflict"], failing(diagnosis)
            assert f"web cannot take port {port}" in diagnosis.root_causes[0].finding.summary
        project.up()
        assert failing(look_at(project, port)) == []


def look_at(project: Project, port: int) -> Diagnosis:
    compose = {"project": project.name, "file": str(project.file), "docker_host": project.engine.host}
    spec = {
        "name": project.name,
        "compose": compose,
        "services": {"web": {"container": "web"}},
        "host": {"open_ports": [port]},
    }
    stack = parse(json.dumps(spec).encode(), "test", project.folder)
    kinds = ("docker", "container", "network")
    return diagnose(collect(stack, wanted=lambda target: target.kind in kinds))


@pytest.fixture(scope="module")
def machine() -> Iterator[Machine]:
    reason = unavailable()
    if reason:
        pytest.skip(reason)
    with Machine() as machine:
        yield machine


@pytest.mark.systemd
def test_a_unit_whose_port_is_taken(machine: Machine) -> None:
    name = f"api-{secrets.token_hex(3)}"
    stack = {
        "name": "t",
        "services": {"api": {"unit": f"{name}.service", "http": ["http://127.0.0.1:8123/"]}},
        "host": {"open_ports": [8123]},
    }
    serve = "[Service]\nExecStart=/usr/bin/python3 -m http.server 8123 --bind 127.0.0.1\n"
    machine.unit(f"{name}.service", f"{serve}[Install]\nWantedBy=multi-user.target\n")
    taker = f"taker-{secrets.token_hex(3)}"
    machine.unit(f"{taker}.service", serve)
    machine.run("systemctl", "enable", name)
    machine.run("systemctl", "start", taker)
    port = ("python3", "-c", "import socket; socket.create_connection(('127.0.0.1', 8123), 1)")
    wait_until(lambda: machine.run(*port, check=False).returncode == 0, "port 8123")
    machine.run("systemctl", "start", name, check=False)
    wait_until(lambda: machine.show(name, "ActiveState") == "failed", f"{name} failed")
    result = machine.diagnose(json.dumps(stack))
    assert result["root_causes"][0]["id"] == "network/port-conflict", result["root_causes"]
    assert taker in result["root_causes"][0]["summary"]
    machine.run("systemctl", "stop", taker)
    machine.run("systemctl", "reset-failed", name)
    machine.run("systemctl", "start", name)
    wait_until(lambda: machine.run(*port, check=False).returncode == 0, "port 8123")
    left = [cause["id"] for cause in machine.diagnose(json.dumps(stack))["root_causes"]]
    assert [slug for slug in left if not slug.startswith("host/")] == []  # the tests' neighbours are busy
