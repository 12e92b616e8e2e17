"""The exporter as a process beside a real Redis and a real PostgreSQL, broken one way at a time.

Every scrape answers with 200 inside the scraper's time, with the right `*_up`; the other paths do not
notice; it recovers by itself. Nothing is asserted about how fast.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from tests.live.exporter_bed import held_descriptors
from tests.servers.base import Server, wait_until
from tests.servers.postgres import PostgresServer
from tests.servers.redis import RedisServer

pytestmark = pytest.mark.live

SECRET = "Canary-9f41c6-parrot"
WAITS = 60.0
DEPLOY = Path(__file__).parent.parent.parent / "exporters" / "deploy"


class Exporter:
    """`opsctl exporter` on a free port."""

    def __init__(self, folder: Path, services: dict[str, Any], *options: str) -> None:
        self.stack = folder / "exporter-stack.yml"
        self.stack.write_text(yaml.safe_dump({"name": "live", "services": services}))
        argv = [sys.executable, "-m", "opsctl", "exporter", "--stack", str(self.stack)]
        environment = {**os.environ, "LIVE_REDIS_PASSWORD": SECRET}
        self.process = subprocess.Popen(
            [*argv, "--listen", "127.0.0.1:0", *options],
            stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=environment,
        )  # fmt: skip
        assert self.process.stderr is not None
        said = self.process.stderr.readline()
        assert "://127.0.0.1:" in said, said
        self.port = int(said.rstrip("/\n").rpartition(":")[2])

    def get(self, path: str, waits: float = 10) -> tuple[int, str]:
        """Scrape as Prometheus does, telling how long it waits."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=WAITS)
        try:
            connection.request("GET", path, headers={"X-Prometheus-Scrape-Timeout-Seconds": str(waits)})
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        finally:
            connection.close()

    def samples(self, path: str, waits: float = 10) -> dict[str, float]:
        """Return a page's samples by name; labels are left out."""
        status, text = self.get(path, waits)
        assert status == 200, text
        families = text_string_to_metric_families(text)
        return {sample.name: sample.value for family in families for sample in family.samples}

    def up(self, kind: str, waits: float = 10) -> float:
        name = {"postgres": "pg_up", "redis": "redis_up"}[kind]
        return self.samples(f"/metrics/{kind}", waits)[name]

    def wait_up(self, kind: str, expected: float) -> None:
        wait_until(lambda: self.up(kind) == expected, f"{kind} {expected}", WAITS)

    def end(self) -> tuple[int, str]:
        """Stop it; return the exit code and what else it said."""
        self.process.send_signal(signal.SIGTERM)
        assert self.process.stderr is not None
        with self.process.stderr as stderr:
            return self.process.wait(WAITS), stderr.read()


@contextlib.contextmanager
def exporting(folder: Path, services: dict[str, Any], *options: str) -> Iterator[Exporter]:
    exporter = Exporter(folder, services, *options)
    try:
        yield exporter
        code, said = exporter.end()
        assert (code, said) == (0, "")
    finally:
        exporter.process.kill()
        exporter.process.wait(WAITS)
        if exporter.process.stderr is not None:
            exporter.process.stderr.close()


@contextlib.contextmanager
def both(folder: Path, start: bool = True) -> Iterator[tuple[Exporter, RedisServer, PostgresServer]]:
    """Give an exporter, a Redis and a PostgreSQL, both with the canary as password."""
    redis, postgres = RedisServer(password=SECRET), PostgresServer(password=SECRET)
    try:
        if start:
            redis.start()
        postgres.start()
        services = {
            "cache": {"redis": {"url": redis.url, "password_env": "LIVE_REDIS_PASSWORD"}},
            "db": postgres.stack_spec(),
        }
        if not start:
            postgres.stop()
        with exporting(folder, services) as exporter:
            yield exporter, redis, postgres
    finally:
        redis.remove()
        postgres.remove()


def other(kind: str) -> str:
    return {"postgres": "redis", "redis": "postgres"}[kind]


@pytest.mark.parametrize("kind", ["redis", "postgres"])
@pytest.mark.parametrize("fault", ["stopped", "frozen"])
def test_a_fault_shows_as_down_the_other_path_does_not_notice_and_it_recovers(
    tmp_path: Path, kind: str, fault: str
) -> None:
    with both(tmp_path) as (exporter, redis, postgres):
        server: Server = redis if kind == "redis" else postgres
        exporter.wait_up("redis", 1)
        exporter.wait_up("postgres", 1)
        if fault == "stopped":
            server.stop()
        else:
            server.freeze()
        try:
            for _ in range(3):
                assert exporter.up(kind, waits=3) == 0
            exporter.wait_up(other(kind), 1)
            assert exporter.get("/-/healthy")[0] == 200
            assert "opsctl_checks" in exporter.samples("/metrics/findings")
        finally:
            if fault == "stopped":
                server.start()
            else:
                server.thaw()
        exporter.wait_up(kind, 1)


def test_it_starts_before_its_targets(tmp_path: Path) -> None:
    with both(tmp_path, start=False) as (exporter, redis, postgres):
        assert exporter.up("redis") == 0
        assert exporter.up("postgres") == 0
        redis.start()
        exporter.wait_up("redis", 1)
        assert exporter.up("postgres") == 0
        postgres.start()
        exporter.wait_up("postgres", 1)


def test_a_wrong_password_is_down_and_no_secret_is_shown_anywhere(tmp_path: Path) -> None:
    with both(tmp_path) as (exporter, redis, postgres):
        exporter.wait_up("redis", 1)
        with redis.client() as client:
            client.config_set("requirepass", "another-one-7c2")
        exporter.wait_up("redis", 0)
        redis.password = "another-one-7c2"
        postgres.sql(f"alter role {postgres.role} password 'another-one-7c2'")
        exporter.wait_up("postgres", 0)
        pages = [exporter.get(path)[1] for path in ("/metrics/redis", "/metrics/postgres", "/metrics", "/")]
        pages.append(exporter.get("/metrics/findings")[1])
        command_line = Path(f"/proc/{exporter.process.pid}/cmdline").read_text()
        assert all(SECRET not in text for text in (*pages, command_line))
        with redis.client() as client:
            client.config_set("requirepass", SECRET)
        redis.password = SECRET
        postgres.sql(f"alter role {postgres.role} password '{SECRET}'")
        exporter.wait_up("redis", 1)
        exporter.wait_up("postgres", 1)


def test_many_scrapes_of_what_is_frozen_leave_nothing_behind(tmp_path: Path) -> None:
    with both(tmp_path) as (exporter, redis, _):
        for kind in ("redis", "postgres"):
            exporter.wait_up(kind, 1)
        exporter.samples("/metrics")
        before, held = exporter.samples("/metrics"), held_descriptors(exporter.process.pid)
        redis.freeze()
        try:
            for _ in range(40):
                assert exporter.up("redis", waits=0.7) == 0
        finally:
            redis.thaw()
        exporter.wait_up("redis", 1)

        def as_before() -> bool:
            now = exporter.samples("/metrics")
            return (
                held_descriptors(exporter.process.pid) <= held + 2
                and now["opsctl_exporter_threads"] <= before["opsctl_exporter_threads"] + 8
                and now["opsctl_exporter_hung_collections"] == 0
            )

        wait_until(as_before, "descriptors and threads as before", WAITS)


def test_two_servers_of_a_kind_are_told_apart_and_only_listed_targets_are_probed(tmp_path: Path) -> None:
    with RedisServer() as first, RedisServer() as second:
        assert isinstance(first, RedisServer)
        assert isinstance(second, RedisServer)
        services = {"one": {"redis": {"url": first.url}}, "two": {"redis": {"url": second.url}}}
        with exporting(tmp_path, services) as exporter:

            def ups() -> set[str]:
                text = exporter.get("/metrics/redis")[1]
                return {line for line in text.splitlines() if line.startswith("redis_up{")}

            expected = {
                f'redis_up{{server="127.0.0.1:{server.port}",service="{name}"}} 1'
                for name, server in (("one", first), ("two", second))
            }
            wait_until(lambda: ups() == expected, f"both up: {ups()}", WAITS)
            listed = f"/probe?module=tcp&target=127.0.0.1:{first.port}"
            wait_until(lambda: exporter.samples(listed)["probe_success"] == 1, "probed", WAITS)
            assert exporter.get(f"/probe?module=tcp&target=127.0.0.1:{exporter.port}")[0] == 400


def test_an_address_that_is_taken_is_one_line(tmp_path: Path) -> None:
    with exporting(tmp_path, {"cache": {"redis": "redis://127.0.0.1:1/0"}}) as exporter:
        argv = [sys.executable, "-m", "opsctl", "exporter", "--stack", str(exporter.stack)]
        done = subprocess.run(
            [*argv, "--listen", f"127.0.0.1:{exporter.port}"],
            capture_output=True, text=True, timeout=WAITS, check=False,
        )  # fmt: skip
        assert done.returncode == 3
        assert done.stderr.startswith(f"opsctl: cannot listen on 127.0.0.1:{exporter.port}: ")
        assert done.stderr.count("\n") == 1


def test_the_role_script_makes_a_role_that_sees_enough_and_may_nothing(tmp_path: Path) -> None:
    postgres = PostgresServer(password=SECRET)
    try:
        postgres.start()
        argv = ["psql", "-X", "-q", "-h", str(postgres.folder), "-p", str(postgres.port), "-U", "postgres"]
        for _ in range(2):  # it may be run again
            done = subprocess.run(
                [*argv, "postgres"], input=(DEPLOY / "postgres-role.sql").read_text(), user=postgres.user,
                capture_output=True, text=True, timeout=WAITS, check=False, cwd="/",
            )  # fmt: skip
            assert done.returncode == 0, done.stderr
            assert "ERROR" not in done.stderr
        groups = postgres.sql(
            "select g.rolname from pg_auth_members m join pg_roles g on g.oid = m.roleid "
            "join pg_roles r on r.oid = m.member where r.rolname = 'opsctl'"
        )
        assert groups == [("pg_monitor",)]
        rights = "rolsuper, rolcreatedb, rolcreaterole, rolreplication, rolbypassrls, rolcanlogin"
        assert postgres.sql(f"select {rights} from pg_roles where rolname = 'opsctl'") == [
            (False, False, False, False, False, True)
        ]
        postgres.sql(f"alter role opsctl password '{SECRET}'")
        spec = postgres.stack_spec()
        spec["postgres"]["dsn"] = f"postgresql://opsctl@127.0.0.1:{postgres.port}/{postgres.database}"
        with exporting(tmp_path, {"db": spec}) as exporter:
            exporter.wait_up("postgres", 1)
            assert "pg_database_size_bytes" in exporter.get("/metrics/postgres")[1]
    finally:
        postgres.remove()
