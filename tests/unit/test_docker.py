"""Judging the engine: down, hung, or not allowed to ask; and how its failures are told apart."""

from __future__ import annotations

import socket
import threading
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from opsctl.checks import checks_for
from opsctl.checks.base import CheckContext, Limits, NotObserved
from opsctl.facts.base import Connection
from opsctl.facts.docker import DockerFacts
from opsctl.model import HOST_SERVICE, Finding, Target
from opsctl.probes.docker import states
from opsctl.probes.docker_api import ApiError, DockerApi, cannot_look, endpoint_of
from opsctl.stack.specs import ComposeSpec

TARGET = Target(kind="docker", service=HOST_SERVICE, address="shop")


def judge(slug: str, state: str) -> Finding:
    up = state == "ok"
    facts = DockerFacts(up=up, connection=Connection(state=state, detail=state), endpoint="unix:///x")
    check = next(item for item in checks_for("docker") if item.slug == slug)
    return next(iter(check.function(facts, CheckContext(check, TARGET, Limits(), datetime.now(UTC)))))


@pytest.mark.parametrize(
    ("state", "down", "hung", "denied"),
    [
        ("ok", "ok", "ok", "ok"),
        ("refused", "critical", "ok", "ok"),
        ("missing", "critical", "ok", "ok"),
        ("closed", "critical", "ok", "ok"),
        ("timeout", "ok", "critical", "ok"),
        ("http", "ok", "critical", "ok"),
    ],
)
def test_each_failure_has_one_name(state: str, down: str, hung: str, denied: str) -> None:
    assert judge("docker/daemon-down", state).status == down
    assert judge("docker/daemon-hung", state).status == hung
    assert judge("docker/no-permission", state).status == denied


def test_without_permission_nothing_is_said_of_the_engine() -> None:
    assert judge("docker/no-permission", "no-permission").status == "warning"
    with pytest.raises(NotObserved):
        judge("docker/daemon-down", "no-permission")


def test_the_endpoint_of_the_stack_file_comes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///from-environment")
    assert endpoint_of(ComposeSpec(project="x", docker_host="unix:///own")) == "unix:///own"
    assert endpoint_of(ComposeSpec(project="x")) == "unix:///from-environment"
    monkeypatch.delenv("DOCKER_HOST")
    assert endpoint_of(None) == "unix:///var/run/docker.sock"


def api(path: Path, seconds: float = 5) -> DockerApi:
    return DockerApi(f"unix://{path}", time.monotonic() + seconds)


def failure(engine: DockerApi) -> ApiError:
    with pytest.raises(ApiError) as caught:
        engine.json("/info")
    return caught.value


def test_no_socket_and_nobody_behind_it(tmp_path: Path) -> None:
    assert failure(api(tmp_path / "none")).state == "missing"
    with socket.socket(socket.AF_UNIX) as left_over:
        left_over.bind(str(tmp_path / "old"))
    assert failure(api(tmp_path / "old")).state == "refused"


def test_a_listener_that_says_nothing_is_a_timeout(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(tmp_path / "silent"))
        silent.listen()
        assert failure(api(tmp_path / "silent", 0.2)).state == "timeout"


@pytest.mark.parametrize(
    ("answer", "state"),
    [
        (b"", "closed"),
        (b"garbage\r\n\r\n", "protocol"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n{cut", "protocol"),
        (b'HTTP/1.1 500 Oops\r\nContent-Length: 20\r\n\r\n{"message": "broken"}', "http"),
    ],
)
def test_answers_that_are_none(tmp_path: Path, answer: bytes, state: str) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "s"))
        server.listen()

        def serve() -> None:
            client, _ = server.accept()
            with client:
                client.recv(65536)
                client.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        assert failure(api(tmp_path / "s")).state == state
        thread.join()


def test_other_schemes_are_refused_in_words() -> None:
    error = failure(DockerApi("ssh://host", time.monotonic() + 1))
    assert error.state == "unsupported"
    assert "ssh://" in error.detail


@pytest.mark.parametrize(
    ("state", "code"),
    [("timeout", "timeout"), ("no-permission", "permission"), ("refused", "refused"), ("missing", "missing")],
)
def test_a_container_that_cannot_be_asked_for_names_the_engine(state: str, code: str) -> None:
    error = cannot_look(ApiError(state, "words"), "unix:///x")
    assert (error.code, error.parent) == (code, "docker")


def test_states_are_counted_as_docker_info_does() -> None:
    listed = [{"State": state} for state in ("running", "paused", "exited", "created", "restarting")] + [{}]
    assert states(listed) == {"running": 1, "paused": 1, "stopped": 4}
