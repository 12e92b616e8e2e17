"""What the live tests of PostgreSQL share: looking, waiting for a verdict, working in the background."""

from __future__ import annotations

import contextlib
import shlex
import subprocess
import threading
from collections.abc import Callable, Iterator
from typing import Any

import psycopg

from opsctl.model import Diagnosis, Status
from tests.live.web import crashed, failing, first, look
from tests.servers.base import wait_until
from tests.servers.postgres import PostgresServer

QUICK = {
    f"postgres/{name}": {"warning": 0.3, "critical": 3600}
    for name in ("idle-in-transaction", "long-query", "blocked-queries")
}
"""Limits that a test reaches at once."""


def examine(server: PostgresServer, thresholds: dict[str, Any] | None = None, **spec: Any) -> Diagnosis:
    return look({"db": server.stack_spec(**spec)}, "postgres", thresholds)


def expect(slug: str, take: Callable[[], Diagnosis], seconds: float = 40) -> Diagnosis:
    """Look until the first root cause is `slug`; return that diagnosis."""
    seen: list[Diagnosis] = []

    def there() -> bool:
        seen.append(take())
        assert crashed(seen[-1]) == []
        return first(seen[-1]) == (slug if ":" in slug else f"{slug}:db")

    try:
        wait_until(there, slug, seconds)
    except RuntimeError as error:
        raise AssertionError(f"{slug} is not the first cause: {failing(seen[-1])}") from error
    drill(seen[-1])
    return seen[-1]


def drill(diagnosis: Diagnosis) -> None:
    """Run the psql commands that the first root cause shows; each must work as it stands."""
    cause = diagnosis.root_causes[0].finding
    down = any(item.status is Status.BLOCKED for item in diagnosis.findings if item.target == cause.target)
    for command in cause.remediation.commands if cause.remediation and not down else ():
        if command.startswith("psql ") and "pg_stat_statements" not in command:
            done = subprocess.run(shlex.split(command), capture_output=True, text=True, timeout=30)
            assert done.returncode == 0, f"{command}\n{done.stderr}"


def expect_healthy(take: Callable[[], Diagnosis], seconds: float = 40) -> None:
    """Look until nothing is reported any more."""
    seen: list[Diagnosis] = []

    def well() -> bool:
        seen.append(take())
        return not failing(seen[-1])

    try:
        wait_until(well, "healthy", seconds)
    except RuntimeError as error:
        raise AssertionError(f"still reported: {failing(seen[-1])}") from error
    assert crashed(seen[-1]) == []
    assert seen[-1].status is Status.OK


@contextlib.contextmanager
def working(
    server: PostgresServer, work: Callable[[psycopg.Connection[Any]], object], count: int = 1
) -> Iterator[None]:
    """Let `count` clients repeat something until the block ends; their errors are theirs."""
    stop = threading.Event()

    def run(number: int) -> None:
        while not stop.is_set():
            with (
                contextlib.suppress(psycopg.Error),
                contextlib.closing(
                    server.connect(application_name=f"worker-{number}", autocommit=True)
                ) as connection,
            ):
                while not stop.is_set():
                    work(connection)

    threads = [threading.Thread(target=run, args=(number,), daemon=True) for number in range(count)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join(30)


@contextlib.contextmanager
def asking(server: PostgresServer, query: str, **options: Any) -> Iterator[int]:
    """Let a client run one query that takes its time; yields its pid and ends it with the block."""
    connection = server.connect(autocommit=True, **options)
    pid = connection.info.backend_pid

    def run() -> None:
        with contextlib.suppress(psycopg.Error):
            connection.execute(query)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        server.wait_sql(
            f"select state = 'active' from pg_stat_activity where pid = {pid} and query not like 'select 1%'",
            "query",
        )
        yield pid
    finally:
        with contextlib.suppress(psycopg.Error, RuntimeError):
            server.sql(f"select pg_terminate_backend({pid})")
        thread.join(30)
        connection.close()
