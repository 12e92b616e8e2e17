"""A real Docker engine, stopped, frozen and locked up."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from opsctl.model import Status
from tests.live.containers import SLEEP, as_nobody, first, look, settles, stack_of
from tests.servers.docker import DockerEngine, Project

pytestmark = [pytest.mark.live, pytest.mark.docker, pytest.mark.xdist_group("docker")]


@pytest.fixture
def project(docker_engine: DockerEngine) -> Iterator[Project]:
    services = {"db": SLEEP | {"restart": "always"}, "web": SLEEP | {"restart": "always"}}
    with Project(docker_engine, services) as made:
        made.up()
        yield made


def test_a_healthy_project_yields_nothing(project: Project) -> None:
    diagnosis = look(stack_of(project))
    assert [item.summary for item in diagnosis.findings if item.status is not Status.OK] == []
    assert diagnosis.root_causes == ()
    assert diagnosis.coverage.ran == diagnosis.coverage.checks


def test_daemon_down(project: Project) -> None:
    stack = stack_of(project)
    project.engine.stop()
    try:
        diagnosis = look(stack)
        assert [item.finding.id for item in diagnosis.root_causes] == ["docker/daemon-down"]
        others = {item.status for item in diagnosis.findings if item.kind == "container"}
        assert others == {Status.BLOCKED}
        assert diagnosis.path[0].answer == "could not look"
        assert diagnosis.path[0].action == "check Docker service"
    finally:
        project.engine.start(60)
    settles(stack)


def test_daemon_hung(project: Project) -> None:
    stack = stack_of(project)
    project.engine.freeze()
    try:
        diagnosis = look(stack)
    finally:
        project.engine.thaw()
    assert [item.finding.id for item in diagnosis.root_causes] == ["docker/daemon-hung"]
    assert {item.status for item in diagnosis.findings if item.kind == "container"} == {Status.BLOCKED}
    assert diagnosis.duration_seconds < 10
    settles(stack)


def test_no_permission(project: Project) -> None:
    stack = stack_of(project)
    look(stack)
    project.engine.socket.chmod(0o660)
    with as_nobody():
        finding = first(stack)
        diagnosis = look(stack)
    assert finding.id == "docker/no-permission"
    assert {item.status for item in diagnosis.findings if item.kind == "container"} == {Status.UNKNOWN}
    assert any("group" in hint for hint in diagnosis.coverage.hints)
    settles(stack)
