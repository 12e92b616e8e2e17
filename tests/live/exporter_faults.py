"""Faults for the soak of the exporter: how each is made, and which `*_up` it changes.

A fault is a context manager over a `Bed`. What it does not name must stay as it was.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.live.exporter_bed import CANARIES, RESERVED, Bed
from tests.servers.base import listens, wait_until

POSTGRES, REDIS, NGINX, SITE = "pg_up", "redis_up", "nginx_up", "site"
DOCKER = ("opsctl_docker_up", "opsctl_container_service_up")
SYSTEMD = "opsctl_systemd_unit_up"
OTHER_PASSWORD = "another-one-7c2"


@dataclass(frozen=True)
class Fault:
    """One fault.

    Args:
        name: what is done.
        paths: the pages that show it: one look at each is under the fault.
        ups: metric -> the value that it must have; None where either is right.
        make: the fault itself.
        shows: a pattern that the page of the fault must hold, where no `*_up` tells.
        always: it belongs to the short form too; the others are much like their neighbours.
    """

    name: str
    paths: tuple[str, ...]
    ups: dict[str, float | None]
    make: Callable[[Bed], AbstractContextManager[None]]
    shows: str = ""
    always: bool = True


# -- stopping, freezing ---------------------------------------------------------------------------


@contextlib.contextmanager
def stopped(server: Any) -> Iterator[None]:
    server.stop()
    try:
        yield
    finally:
        server.start()


@contextlib.contextmanager
def frozen(server: Any) -> Iterator[None]:
    server.freeze()
    try:
        yield
    finally:
        server.thaw()


@contextlib.contextmanager
def frozen_process(pid: int) -> Iterator[None]:
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


@contextlib.contextmanager
def mute(server: Any) -> Iterator[None]:
    """Have the server's port take connections and never say a word."""
    server.stop()
    with socket.create_server(("127.0.0.1", server.port), backlog=128):
        yield
    server.start()


@contextlib.contextmanager
def dropping(server: Any) -> Iterator[None]:
    """Have the server's port drop what asks for a connection: its queue is full and nobody empties it."""
    server.stop()
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", server.port))
        listener.listen(0)
        for _ in range(4):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(("127.0.0.1", server.port))
        wait_until(lambda: not listens(server.port), "a full queue", 20)
        yield
    server.start()


@contextlib.contextmanager
def restarting(server: Any) -> Iterator[None]:
    """Restart the server again and again, while it is looked at."""
    stop = threading.Event()

    def run() -> None:
        while not stop.is_set():
            server.stop()
            server.start()
            stop.wait(0.3)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(120)
        assert not thread.is_alive()


# -- what only one kind of server knows -----------------------------------------------------------


def cut(bed: Bed) -> None:
    """End the exporter's sessions, so that it has to log in again."""
    bed.postgres.sql("select pg_terminate_backend(pid) from pg_stat_activity where usename = 'app'")


@contextlib.contextmanager
def other_postgres_password(bed: Bed) -> Iterator[None]:
    bed.postgres.sql(f"alter role app password '{OTHER_PASSWORD}'")
    cut(bed)
    try:
        yield
    finally:
        bed.postgres.sql(f"alter role app password '{CANARIES['DB_PASSWORD']}'")


@contextlib.contextmanager
def other_redis_password(bed: Bed) -> Iterator[None]:
    def change(password: str) -> None:
        with bed.redis.client() as client:
            client.config_set("requirepass", password)
            bed.redis.password = password
            client.client_kill_filter(_type="normal", skipme=True)

    change(OTHER_PASSWORD)
    try:
        yield
    finally:
        change(CANARIES["REDIS_PASSWORD"])


@contextlib.contextmanager
def locked_table(bed: Bed) -> Iterator[None]:
    """Hold ACCESS EXCLUSIVE on the table of the named query, and have a reader wait for it."""
    with contextlib.closing(bed.postgres.administrator("app")) as connection:
        connection.execute("begin")
        connection.execute("lock table orders in access exclusive mode")
        yield
        connection.execute("rollback")


@contextlib.contextmanager
def no_slot(bed: Bed) -> Iterator[None]:
    """Take every slot that is not kept for superusers, the exporter's own too."""
    import psycopg

    taken: list[Any] = []
    bed.postgres.sql("alter role app nologin")  # until all are taken
    cut(bed)
    try:
        with contextlib.suppress(psycopg.OperationalError):
            while True:
                taken.append(bed.postgres.connect(user="filler"))
        others = "select count(*) from pg_stat_activity where usename = 'app'"
        wait_until(lambda: bed.postgres.sql(others) == [(0,)], "the end of the exporter's sessions", 40)
        with contextlib.suppress(psycopg.OperationalError):
            while True:
                taken.append(bed.postgres.connect(user="filler"))
        bed.postgres.sql("alter role app login")
        yield
    finally:
        for connection in taken:
            connection.close()


@contextlib.contextmanager
def no_slot_at_all(bed: Bed) -> Iterator[None]:
    """Take the slots that are kept for superusers as well."""
    import psycopg

    with no_slot(bed), contextlib.ExitStack() as stack:
        taken: list[Any] = []

        def full() -> bool:
            with contextlib.suppress(psycopg.OperationalError):
                while True:  # a look may hold one of them for a moment
                    taken.append(stack.enter_context(contextlib.closing(bed.postgres.administrator())))
            return len(taken) >= RESERVED

        wait_until(full, "all of the superusers' slots", 40)
        yield


def bus_of(bed: Bed) -> int:
    """Return the process id, on this side, of the machine's D-Bus broker."""
    inside = bed.machine.show("dbus.service", "MainPID")
    return bed.machine._outer_pid(inside)


@contextlib.contextmanager
def stale_mount(bed: Bed) -> Iterator[None]:
    """Freeze the server of a file system that is mounted where the exporter lives."""
    assert Path(f"/proc/{bed.stale_pid}").exists()
    with frozen_process(bed.stale_pid):
        yield


def faults(bed: Bed) -> list[Fault]:
    """Return every fault, in the order in which they are made."""
    postgres, redis, nginx, site = bed.postgres, bed.redis, bed.nginx, bed.site
    sql = ("/metrics/postgres", "/metrics/data")
    cache, proxy, units = ("/metrics/redis",), ("/metrics/nginx",), ("/metrics/systemd",)
    page = tuple(path for path in bed.paths if path.startswith("/probe"))
    container, node = ("/metrics/container",), ("/metrics/node",)
    no_sql: dict[str, float | None] = {POSTGRES: 0}
    no_redis: dict[str, float | None] = {REDIS: 0}
    no_page: dict[str, float | None] = {SITE: 0}
    hung = rf'^node_filesystem_device_error{{[^}}]*mountpoint="{bed.stale_folder}"}} 1$'
    return [
        Fault("PostgreSQL stopped", sql, no_sql, lambda _: stopped(postgres), always=False),
        Fault("PostgreSQL frozen", sql, no_sql, lambda _: frozen(postgres)),
        Fault("PostgreSQL takes connections, says nothing", sql, no_sql, lambda _: mute(postgres)),
        Fault("PostgreSQL's packets are dropped", sql, no_sql, lambda _: dropping(postgres), always=False),
        Fault("PostgreSQL: wrong password", sql, no_sql, other_postgres_password),
        Fault("PostgreSQL: all slots but the reserved taken", sql, {POSTGRES: 1}, no_slot),
        Fault("PostgreSQL: all slots taken", sql, no_sql, no_slot_at_all),
        Fault("PostgreSQL: a table under ACCESS EXCLUSIVE lock", sql, {POSTGRES: 1}, locked_table),
        Fault("PostgreSQL restarting", sql, {POSTGRES: None}, lambda _: restarting(postgres), always=False),
        Fault("Redis stopped", cache, no_redis, lambda _: stopped(redis)),
        Fault("Redis frozen", cache, no_redis, lambda _: frozen(redis), always=False),
        Fault("Redis takes connections, says nothing", cache, no_redis, lambda _: mute(redis), always=False),
        Fault("Redis's packets are dropped", cache, no_redis, lambda _: dropping(redis)),
        Fault("Redis: wrong password", cache, no_redis, other_redis_password, always=False),
        Fault("Redis restarting", cache, {REDIS: None}, lambda _: restarting(redis)),
        Fault("nginx stopped", proxy, {NGINX: 0}, lambda _: stopped(nginx), always=False),
        Fault("nginx frozen", proxy, {NGINX: 0}, lambda _: frozen(nginx)),
        Fault("the page's server stopped", page, no_page, lambda _: stopped(site), always=False),
        Fault("the page's server frozen", page[:1], {SITE: 0}, lambda _: frozen(site), always=False),
        Fault("the page's packets are dropped", page, no_page, lambda _: dropping(site)),
        Fault("dockerd frozen", container, dict.fromkeys(DOCKER, 0), lambda _: frozen(bed.project.engine)),
        Fault("systemd frozen", units, {SYSTEMD: 0}, lambda _: frozen_process(bed.machine.leader)),
        Fault("D-Bus frozen", units, {SYSTEMD: 0}, lambda _: frozen_process(bus_of(bed))),
        Fault("a stale mount", node, {}, stale_mount, shows=hung),
    ]
