"""Logs of real servers: each fault is the first root cause, and nothing is left when it is over."""

from __future__ import annotations

import contextlib
import json
import os
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest

from opsctl.diagnose import diagnose
from opsctl.engine import collect
from opsctl.model import Diagnosis, Finding, Status
from opsctl.stack.reader import parse
from opsctl.stack.stack import Stack
from tests.live.containers import as_nobody
from tests.servers import postgres
from tests.servers.api import ApiServer
from tests.servers.base import free_port, wait_until
from tests.servers.docker import DockerEngine, Project
from tests.servers.nginx import NginxServer
from tests.servers.systemd import Machine, unavailable

pytestmark = pytest.mark.live

SILENT_WITHIN = 40
"""Seconds in which an incident that is over must be forgotten."""


def stack_of(path: Path | str, **spec: Any) -> Stack:
    services = {"app": {"logs": [{"path": str(path), **spec}]}}
    return parse(json.dumps({"name": "t", "services": services}).encode(), "test", Path("/"))


def look(stack: Stack) -> Diagnosis:
    return diagnose(collect(stack, wanted=lambda target: target.kind == "logs"))


def causes(stack: Stack) -> list[str]:
    return [cause.finding.id for cause in look(stack).root_causes]


def failing(stack: Stack) -> list[str]:
    return [f"{item.id}: {item.summary}" for item in look(stack).findings if item.status.failing]


def settles(stack: Stack) -> None:
    wait_until(lambda: not failing(stack), f"quiet: {failing(stack)}", SILENT_WITHIN)


def becomes(stack: Stack, slug: str) -> Finding:
    wait_until(lambda: causes(stack)[:1] == [slug], f"{slug}: {failing(stack)}", 20)
    return look(stack).root_causes[0].finding


@contextlib.contextmanager
def repeated(work: Callable[[], object], every: float = 0.4) -> Iterator[None]:
    """Do something again and again, as users do."""
    stop = threading.Event()

    def run() -> None:
        while not stop.wait(every):
            with contextlib.suppress(Exception):
                work()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(10)


def ask(url: str) -> int:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


class Writer:
    """A service's log that grows."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def write(self, *texts: str, ago: float = 0) -> None:
        at = datetime.fromtimestamp(time.time() - ago, UTC).isoformat(timespec="milliseconds")
        with self.path.open("a") as file:
            file.writelines(f"{at} {text}\n" for text in texts)


@pytest.fixture
def log(tmp_path: Path) -> Writer:
    writer = Writer(tmp_path / "app.log")
    for ago in range(1800, 20, -60):
        writer.write(f"INFO request {ago} answered", ago=ago)
    return writer


def test_nginx_whose_upstream_is_gone() -> None:
    upstream = free_port()
    with NginxServer(upstreams={"/api/": f"http://127.0.0.1:{upstream}"}) as nginx:
        stack = stack_of(nginx.error_log, format="nginx-error")
        access = stack_of(nginx.access_log, format="nginx")
        assert failing(stack) == []
        with repeated(lambda: ask(nginx.url("/api/users"))):
            finding = becomes(stack, "logs/connection-errors")
            assert "connect() failed (111" in finding.summary
            assert becomes(access, "logs/connection-errors").target == "app"
        settles(stack)
        settles(access)


@pytest.mark.skipif(not postgres.available(), reason="PostgreSQL is not installed")
def test_postgres_that_refuses() -> None:
    server = postgres.PostgresServer()
    with server:
        stack = stack_of(server.log, format="postgres")
        settles(stack)

        def query() -> None:
            with server.connect() as connection:
                connection.execute("select * from orders where secret = 'Zq7CANARYx9K2v'")

        with repeated(query):
            finding = becomes(stack, "logs/database-errors")
        assert 'relation "orders" does not exist' in finding.summary
        assert "CANARY" not in repr(look(stack))
        settles(stack)


def test_an_application_that_throws() -> None:
    with ApiServer() as api:
        stack = stack_of(api.log, format="uvicorn")
        ask(api.url("/_nothing"))
        assert failing(stack) == []
        assert isinstance(api, ApiServer)  # for the type checker
        api.fault(**{"raise": "no price for item 17"})
        with repeated(lambda: ask(api.url("/orders")), 0.2):
            becomes(stack, "logs/application-errors")
            assert "RuntimeError: no price for item" in look(stack).root_causes[0].finding.summary
        api.fault()
        ask(api.url("/_nothing"))
        settles(stack)


def test_an_application_that_answers_again_is_well_at_the_first_look() -> None:
    with ApiServer() as api:
        assert isinstance(api, ApiServer)  # for the type checker
        stack = stack_of(api.log, format="uvicorn")
        api.fault(**{"raise": "no price for item 17"})
        with repeated(lambda: ask(api.url("/")), 0.2):
            becomes(stack, "logs/application-errors")
        api.fault()
        assert [ask(api.url("/")) for _ in range(3)] == [200] * 3
        found = {item.id: item for item in look(stack).findings}["logs/application-errors"]
        assert found.status is Status.OK, found.summary


@pytest.mark.skipif(not postgres.available(), reason="PostgreSQL is not installed")
def test_an_application_whose_database_is_gone(log: Writer) -> None:
    server = postgres.PostgresServer()
    with server:
        dsn = server.dsn

        def work() -> None:
            try:
                psycopg.connect(dsn, connect_timeout=2).close()
            except psycopg.OperationalError as error:
                log.write(f"ERROR orders: psycopg.OperationalError: {error}")

        with repeated(work):
            stack = stack_of(log.path)
            assert failing(stack) == []
            server.stop()
            finding = becomes(stack, "logs/connection-errors")
            assert "(postgres)" in finding.evidence[1].text
            diagnosis = look(stack)
            assert "logs/new-error" in {item.id for item in diagnosis.root_causes[0].chain}
            server.start()
            settles(stack)


def test_two_pollers(log: Writer) -> None:
    stack = stack_of(log.path)
    words = (
        "Failed to fetch updates - TelegramConflictError: Conflict: terminated by other getUpdates request"
    )
    with repeated(lambda: log.write(f"ERROR aiogram.dispatcher: {words}")):
        becomes(stack, "logs/telegram-conflict")
    settles(stack)


def test_old_errors_and_a_lone_one_are_nobodys_cause(log: Writer) -> None:
    for ago in range(1200, 100, -5):
        log.write("ERROR KeyError: 'price'", ago=ago)
    log.write("INFO fine")
    log.write("ERROR redis: Connection refused")
    assert failing(stack_of(log.path)) == []


def test_a_log_that_falls_silent(log: Writer) -> None:
    stack = stack_of(log.path, silent_after=2)
    becomes(stack, "logs/silent")
    with repeated(lambda: log.write("INFO request answered")):
        settles(stack)


def test_a_log_that_is_not_there(tmp_path: Path) -> None:
    stack = stack_of(tmp_path / "app.log")
    assert causes(stack) == ["logs/unreadable"]
    Writer(tmp_path / "app.log").write("INFO started")
    assert failing(stack) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to give rights away")
def test_a_log_that_may_not_be_read_is_unknown(log: Writer) -> None:
    stack = stack_of(log.path)
    look(stack)
    for folder in log.path.parents:
        if str(folder).startswith("/tmp/pytest"):
            folder.chmod(0o755)
    log.path.chmod(0o600)
    with as_nobody():
        diagnosis = look(stack)
    assert {item.status for item in diagnosis.findings} == {Status.UNKNOWN}
    assert any("adm" in hint for hint in diagnosis.coverage.hints)


def test_a_log_that_is_rotated_while_errors_come(log: Writer) -> None:
    stack = stack_of(log.path)
    with repeated(lambda: log.write("ERROR KeyError: 'price'"), 0.1):
        becomes(stack, "logs/application-errors")
        log.path.rename(log.path.with_name("app.log.1"))
        becomes(stack, "logs/application-errors")
    settles(stack)


ERRORS = (
    'while :; do echo "ERROR redis: Error 111 connecting to redis:6379. Connection refused."; sleep 0.3; done'
)


@pytest.mark.docker
@pytest.mark.xdist_group("docker")
@pytest.mark.parametrize("driver", ["json-file", "local"])
def test_the_logs_of_containers(docker_engine: DockerEngine, driver: str) -> None:
    fine = {"command": ["sh", "-c", "echo INFO started; sleep infinity"], "logging": {"driver": driver}}
    bad = {"command": ["sh", "-c", ERRORS], "logging": {"driver": driver}}
    with Project(docker_engine, {"web": bad, "bot": fine}) as project:
        compose = {"project": project.name, "file": str(project.file), "docker_host": project.engine.host}
        services = {name: {"container": name, "logs": [{}]} for name in ("web", "bot")}
        spec = {"name": project.name, "compose": compose, "services": services}
        stack = parse(json.dumps(spec).encode(), "test", project.folder)
        project.up()
        finding = becomes(stack, "logs/connection-errors")
        assert (finding.target, finding.target_id) == ("web", "web/logs")
        bot = [item for item in look(stack).findings if item.target == "bot"]
        assert {item.status for item in bot} == {Status.OK}
        project.write({"web": fine, "bot": fine})
        project.up()
        settles(stack)


@pytest.mark.systemd
def test_the_journal_of_a_unit() -> None:
    reason = unavailable()
    if reason:
        pytest.skip(reason)
    stack = json.dumps({"name": "t", "services": {"api": {"unit": "api.service", "logs": [{}]}}})
    with Machine() as machine:
        machine.unit(
            "api.service",
            f"[Service]\nExecStart=/bin/sh -c '{ERRORS}'\n[Install]\nWantedBy=multi-user.target\n",
        )
        machine.run("systemctl", "enable", "--now", "api")

        def first() -> list[str]:
            """Return the causes but for the machine's own: the tests' neighbours keep it busy."""
            found = [cause["id"] for cause in machine.diagnose(stack)["root_causes"]]
            return [slug for slug in found if not slug.startswith("host/")]

        wait_until(lambda: first()[:1] == ["logs/connection-errors"], "connection errors in the journal", 20)
        machine.unit(
            "api.service",
            "[Service]\nExecStart=/bin/sh -c 'echo INFO started; sleep infinity'\n"
            "[Install]\nWantedBy=multi-user.target\n",
        )
        machine.run("systemctl", "daemon-reload")
        machine.run("systemctl", "restart", "api")
        wait_until(lambda: not first(), "nothing left", SILENT_WITHIN)
