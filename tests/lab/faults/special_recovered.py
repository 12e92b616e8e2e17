"""Incidents that are over: nothing may be reported as current."""

from __future__ import annotations

from collections.abc import Iterator

from tests.lab.faults.base import fault
from tests.lab.faults.nginx import changed_certificate
from tests.lab.faults.postgres import role, table
from tests.lab.faults.redis import cache_full
from tests.lab.faults.waiting import calm
from tests.lab.stacks import parts
from tests.lab.stacks.base import ComposeSystem, System


@fault("rostferrum", "iiko-base", special="recovered")
def application_was_down(lab: System) -> Iterator[None]:
    lab.sh(f"systemctl stop {lab.units['backend']}")
    lab.see_load()
    lab.sh(f"systemctl start {lab.units['backend']}")
    calm(lab)
    yield


@fault("rostferrum", "iiko-base", special="recovered")
def database_was_restarted(lab: System) -> Iterator[None]:
    lab.sh(f"systemctl restart {lab.units['db']}")
    lab.see_load()
    calm(lab)
    yield


@fault("rostferrum", special="recovered")
def cache_was_frozen(lab: System) -> Iterator[None]:
    lab.sh("pkill -STOP -x redis-server")
    lab.see_load()
    lab.sh("pkill -CONT -x redis-server")
    calm(lab)
    yield


@fault("rostferrum", "iiko-base", special="recovered")
def application_crashed_once(lab: System) -> Iterator[None]:
    """systemd has started it again, as `Restart=always` asks; what was before its start by hand is over."""
    lab.sh(f"systemctl restart {lab.units['backend']}")
    lab.wait_healthy()
    lab.sh(f"systemctl kill -s SEGV {lab.units['backend']}")
    lab.wait_healthy()
    calm(lab)
    yield


@fault("rostferrum", "iiko-base", special="recovered")
def table_was_locked(lab: System) -> Iterator[None]:
    """A migration held the table for a few seconds and is done."""
    sql = f"begin; lock table {table(lab)} in access exclusive mode; select pg_sleep(4); commit;"
    parts.session(lab, "migration", sql, 1, role(lab), lab.database_url)
    lab.sh("sleep 1")
    lab.see_load()
    lab.wait_healthy()
    calm(lab)
    yield
    parts.end_session(lab, "migration")


@fault("wishlins", "iiko-base", special="recovered")
def certificate_was_expired(lab: System) -> Iterator[None]:
    with changed_certificate(lab, days=-2):
        lab.see_load()
    calm(lab)
    yield


@fault("wishlins", "freemarket", "flurai", special="recovered")
def database_container_was_stopped(lab: ComposeSystem) -> Iterator[None]:
    lab.sh(f"docker stop -t 3 {lab.id('db')}")
    lab.see_load()
    lab.sh(f"docker start {lab.id('db')}")
    lab.wait_healthy()
    calm(lab)
    yield


@fault("wishlins", "freemarket", special="recovered")
def backend_container_was_paused(lab: ComposeSystem) -> Iterator[None]:
    lab.sh(f"docker pause {lab.id('backend')}")
    lab.see_load()
    lab.sh(f"docker unpause {lab.id('backend')}")
    lab.wait_healthy()
    calm(lab, 17.0)  # three pauses of the bot, which waited 3 s for each answer and 2 s before the next
    yield


@fault("freemarket", "flurai", "rostferrum", special="recovered")
def cache_was_full(lab: System) -> Iterator[None]:
    steps = cache_full(lab)
    next(steps)
    next(steps, None)
    calm(lab)
    yield


@fault("wishlins", "freemarket", special="recovered")
def container_crashed_once(lab: ComposeSystem) -> Iterator[None]:
    """Its main process was killed; the restart policy has started it again."""
    before = lab.inspect("backend", ".RestartCount")
    lab.sh(f"kill -KILL {lab.pid('backend')}")
    lab.wait(f"[ $(docker inspect -f '{{{{.RestartCount}}}}' {lab.id('backend')}) -gt {before} ]")
    lab.wait_healthy()
    calm(lab)
    yield
    lab.renew("backend")
