"""Containers that are looked at again and again: inspected when they changed, read from their groups else."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from opsctl.facts.container import ContainerFacts, Instance
from opsctl.look import look
from opsctl.probes import container_metrics
from opsctl.probes.base import Shared
from opsctl.probes.docker_api import DockerApi
from opsctl.redact import Redactor
from opsctl.secrets import Secrets
from opsctl.stack.targets import assignments
from tests.live.containers import SLEEP, stack_of
from tests.servers.base import wait_until
from tests.servers.docker import DockerEngine, Project

pytestmark = [pytest.mark.live, pytest.mark.docker, pytest.mark.xdist_group("docker")]

BUSY = {"command": ["sh", "-c", "while :; do :; done"]}


class Looker:
    """Looks at the services of a project as the exporter does, and notes what the engine is asked for."""

    def __init__(self, project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
        self.stack, self.kept, self.asked = stack_of(project), {}, list[str]()
        get = DockerApi.get

        def noted(engine: DockerApi, path: str, *arguments: Any, **more: Any) -> bytes:
            self.asked.append(path)
            return get(engine, path, *arguments, **more)

        monkeypatch.setattr(DockerApi, "get", noted)

    def facts(self) -> ContainerFacts:
        """Look once at the only service."""
        self.asked.clear()
        item = next(item for item in assignments(self.stack) if item.target.kind == "container")
        redactor = Redactor()
        options = {"detail": "metrics", "kept": self.kept}
        reading = look(self.stack, item, 10, Secrets(self.stack, redactor), redactor, Shared(), options)
        assert isinstance(reading.facts, ContainerFacts), reading.problem
        return reading.facts

    def one(self) -> Instance:
        (instance,) = self.facts().instances
        return instance

    def inspected(self) -> int:
        """Return how many containers the last look inspected."""
        return sum(path.startswith("/containers/") and path != "/containers/json" for path in self.asked)

    def quiet(self) -> Instance:
        """Look until the list alone was asked for; in a container's first minute its words count seconds."""
        found: list[Instance] = []

        def look() -> bool:
            found[:] = self.facts().instances
            return self.asked == ["/containers/json"]

        wait_until(look, "a look without inspecting", 90)
        (instance,) = found
        return instance


@pytest.fixture
def project(docker_engine: DockerEngine) -> Iterator[Project]:
    with Project(docker_engine, {"app": SLEEP}) as made:
        made.up()
        yield made


def test_a_container_is_inspected_when_it_has_changed(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    looker = Looker(project, monkeypatch)
    first = looker.one()
    assert looker.inspected() == 1
    assert first.usage is not None
    assert first.usage.memory_rss is not None
    quiet = looker.quiet()
    assert quiet.usage is not None
    assert quiet.usage.last_seen is not None
    assert quiet.usage.last_seen >= (first.usage.last_seen or 0)

    (identity,) = project.ids("app")
    project.engine.docker("restart", "-t", "0", identity)
    again = looker.one()
    assert looker.inspected() > 0
    assert again.started_at is not None
    assert again.started_at > (quiet.started_at or 0)

    project.engine.docker("kill", identity)
    project.wait_for("app", "ended", lambda state: not state["Running"])
    ended = looker.one()
    assert (ended.state, ended.usage) == ("exited", None)
    project.engine.docker("rm", identity)
    assert looker.facts().instances == []
    assert looker.kept["containers"] == {}


def test_a_look_does_not_wait_for_one_whose_files_hang(
    docker_engine: DockerEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Project(docker_engine, {"app": BUSY}) as project:
        project.up()
        looker = Looker(project, monkeypatch)
        with container_metrics._ONE_READS:  # as held by a look that hangs
            assert looker.one().usage is not None


def test_throttling_is_compared_with_the_look_before(
    docker_engine: DockerEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Project(docker_engine, {"app": BUSY}) as project:
        project.up()
        (identity,) = project.ids("app")
        project.engine.docker("update", "--cpus", "0.05", identity)
        looker = Looker(project, monkeypatch)
        wait_until(lambda: bool(looker.one().cpu_throttled_periods), "a throttled period", 30)
        wait_until(lambda: bool(looker.one().cpu_throttled_ratio), "a share of throttled periods", 30)
        ratio = looker.one().cpu_throttled_ratio
        assert ratio is None or 0 <= ratio <= 1
