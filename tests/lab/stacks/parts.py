"""Servers of Debian's own packages, as several of the systems run them under systemd."""

from __future__ import annotations

import contextlib
import textwrap
from collections.abc import Iterator

from tests.lab.stacks.base import System

CLUSTER = "/var/lib/postgresql/15/main"
POSTGRES_LOG = "/var/log/postgresql/postgresql-15-main.log"


def postgres(system: System, database: str, role: str, password: str, schema: str) -> None:
    """Start Debian's cluster with a database, its owner and its tables."""
    system.sh(
        f"""set -e
        [ -d /etc/postgresql/15/main ] || pg_createcluster -e UTF8 --locale C.UTF-8 15 main -- --no-sync >/dev/null
        systemctl enable -q postgresql
        echo "log_line_prefix = '%m [%p] %q%u@%d '" >> /etc/postgresql/15/main/postgresql.conf
        echo "shared_buffers = 32MB" >> /etc/postgresql/15/main/postgresql.conf
        systemctl start postgresql
        cd /
        setpriv --reuid=postgres --regid=postgres --init-groups psql -q \
            -c "create role {role} login password '{password}'" -c "create database {database} owner {role}\""""  # noqa: E501
    )
    system.server.write("/var/lib/postgresql/schema.sql", schema)
    psql(system, f"-q -c 'set role {role}' -f /var/lib/postgresql/schema.sql {database}")


def psql(system: System, arguments: str, check: bool = True) -> str:
    """Run psql as the administrator."""
    as_postgres = "setpriv --reuid=postgres --regid=postgres --init-groups"
    return system.sh(f"cd / && {as_postgres} psql -v ON_ERROR_STOP=1 -At {arguments}", check=check)


def session(system: System, name: str, sql: str, seconds: int, role: str, url: str) -> None:
    """Keep a database session of the application busy in the background, as a unit of its own."""
    script = f"(echo \"{sql}\"; sleep {seconds}) | exec psql -q '{url}?application_name={name}'"
    system.server.write(f"/etc/lab/{name}.sh", f"#!/bin/sh\n{script}\n")
    system.sh(
        f"systemctl reset-failed lab-{name} 2>/dev/null; systemd-run -q --unit=lab-{name} sh /etc/lab/{name}.sh"  # noqa: E501
    )


def end_session(system: System, name: str) -> None:
    """End such a session; the server does not notice by itself that the client of a sleeping one is gone."""
    system.sh(f"systemctl stop lab-{name} 2>/dev/null", check=False)
    gone = f"select pg_terminate_backend(pid) from pg_stat_activity where application_name = '{name}'"
    system.sh(f"psql -Atc \"{gone}\" '{system.database_url}'", check=False)


@contextlib.contextmanager
def idle_sessions(system: System, count: int) -> Iterator[None]:
    """Keep so many connections of the application's role open that do nothing."""
    code = f"""
    held = [psycopg.connect(URL) for _ in range({count})]
    open('/run/lab-idle', 'w').close()
    time.sleep(120)
    """
    system.sh("rm -f /run/lab-idle")
    with script(system, "idle", code):
        system.wait("[ -e /run/lab-idle ]", "idle sessions")
        yield


@contextlib.contextmanager
def script(system: System, name: str, code: str) -> Iterator[None]:
    """Run Python beside the application for a while; it knows the database as URL, by its published port."""
    url = system.database_url.replace("@db:", "@127.0.0.1:")
    head = f"import threading, time\nimport psycopg\nURL = {url!r}\n"
    system.server.write(f"/etc/lab/{name}.py", head + textwrap.dedent(code))
    system.sh(
        f"systemctl reset-failed lab-{name} 2>/dev/null; systemd-run -q --unit=lab-{name}"
        f" -p Environment=PYTHONPATH=/opt/lab/packages python3 /etc/lab/{name}.py"
    )
    yield
    system.sh(f"systemctl stop lab-{name}", check=False)


def redis(system: System) -> None:
    """Start Debian's Redis."""
    system.sh("systemctl enable -q redis-server; systemctl start redis-server")
