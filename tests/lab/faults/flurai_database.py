"""flurai's PostgreSQL: a primary, three replicas that follow it, and five pools that lean on it."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

from tests.lab.faults.base import HANGS, fault
from tests.lab.stacks import parts
from tests.lab.stacks.flurai import ENV, PASSWORD, REPLICAS, VERSIONS, Flurai, migration

USERS = ("http/*", "nginx/*", "logs/*")


def replica(lab: Flurai, sql: str, name: str = REPLICAS[0]) -> str:
    """Run SQL on a replica."""
    return lab.inside(name, f"psql -U postgres -v ON_ERROR_STOP=1 -Atqc {shlex.quote(sql)} flurai")


def write_ahead(lab: Flurai, segments: int) -> None:
    """Let the write-ahead log grow by so many segments of 16 MiB, as a night's import does in hours.

    Here it takes seconds: whom that hurry kept waiting is no part of the fault.
    """
    words = "pg_logical_emit_message(false, 'lab', n::text)"
    lab.primary(f"select {words}, pg_switch_wal() from generate_series(1, {segments}) n")
    lab.forget()


# -- replicas -----------------------------------------------------------------------------------------


@fault("flurai", expect=[("postgres/replica-missing", "db")], innocent=["http/*", "container/*", "logs/*"])
def one_replica_stopped(lab: Flurai) -> Iterator[None]:
    lab.sh(f"docker stop -t 2 {lab.id(REPLICAS[1])}")
    lab.see_load()
    yield
    lab.sh(f"docker start {lab.id(REPLICAS[1])}")


@fault("flurai", expect=[("postgres/replica-missing", "db")], innocent=["http/*", "container/*"])
def replicas_cannot_log_in(lab: Flurai) -> Iterator[None]:
    """The password of the replication role was changed on the primary alone; reads go on, on old data."""
    lab.primary("alter role replicator password 'rotated'")
    lab.primary("select pg_terminate_backend(pid) from pg_stat_replication")
    lab.wait(f'[ "$(psql -Atc "select count(*) from pg_stat_replication" {lab.database_url})" = 0 ]')
    lab.see_load()
    yield
    lab.primary(f"alter role replicator password '{PASSWORD}'")


@fault("flurai", expect=[("postgres/replication-lag", "db")], innocent=["http/*", "container/*"])
def replay_paused_on_a_replica(lab: Flurai) -> Iterator[None]:
    """Somebody paused replay for a dump and forgot it; the shop goes on writing."""
    replica(lab, "select pg_wal_replay_pause()")
    write_ahead(lab, 20)
    yield
    replica(lab, "select pg_wal_replay_resume()")


@fault("flurai", expect=[("postgres/replication-lag", "db")], innocent=["http/*", "container/*"], hangs=True)
def replica_behind_a_black_hole(lab: Flurai) -> Iterator[None]:
    """A firewall swallows what the primary sends; the connection has not timed out yet."""
    pid = lab.pid(REPLICAS[2])
    rule = "INPUT -p tcp --sport 5432 -j DROP"
    lab.sh(f"nsenter --target {pid} --net iptables -A {rule}")
    write_ahead(lab, 20)
    yield
    lab.sh(f"nsenter --target {pid} --net iptables -D {rule}")


@fault(
    "flurai",
    expect=[("postgres/replica-missing", "db")],
    shows=[("postgres/slot-retaining-wal", "db")],
    innocent=["http/*", "container/*"],
)
def stopped_replica_makes_the_log_grow(lab: Flurai) -> Iterator[None]:
    """Its slot keeps what it will ask for. Dropping the slot is no cure: start the replica."""
    lab.sh(f"docker stop -t 2 {lab.id(REPLICAS[0])}")
    write_ahead(lab, 68)
    yield
    lab.sh(f"docker start {lab.id(REPLICAS[0])}")
    behind = "pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn) > 64e6"
    count = f"select count(*) from pg_replication_slots where {behind}"
    lab.wait(f'[ "$(psql -Atc "{count}" {lab.database_url})" = 0 ]', "the replica catches up", 60)
    lab.primary("checkpoint")


@fault("flurai", expect=[("postgres/slot-retaining-wal", "db")], innocent=["http/*", "container/*"])
def slot_of_a_replica_that_is_gone(lab: Flurai) -> Iterator[None]:
    """A fourth replica was taken away; all that should stream do."""
    lab.primary("select pg_create_physical_replication_slot('db_replica_4', true)")
    write_ahead(lab, 68)
    late = "pg_wal_lsn_diff(pg_current_wal_lsn(), replay_lsn) > 16e6 or replay_lag > interval '1 second'"
    count = f"select count(*) from pg_stat_replication where {late}"
    lab.wait(f'[ "$(psql -Atc "{count}" {lab.database_url})" = 0 ]', "the replicas catch up", 60)
    yield
    lab.primary("select pg_drop_replication_slot('db_replica_4')")
    lab.primary("checkpoint")


# -- connections --------------------------------------------------------------------------------------


@fault("flurai", expect=[("postgres/pool-budget", "db")], innocent=USERS)
def pools_may_ask_for_more_than_there_is(lab: Flurai) -> Iterator[None]:
    """Nobody suffers yet: five instances may ask for 750, the server has 300."""
    with lab.edited(lab.file, "max_connections=800", "max_connections=300"):
        lab.recreate("db")
        lab.wait_healthy()
        lab.forget()
        yield
    lab.recreate("db")


@fault(
    "flurai",
    expect=[("postgres/connections", "db")],
    shows=[("container/unhealthy", "backend")],
    innocent=["postgres/pool-budget"],
)
def pools_take_every_slot(lab: Flurai) -> Iterator[None]:
    """What the budget warned of: three instances hold all slots, the others get none."""
    with (
        lab.edited(lab.file, "max_connections=800", "max_connections=60"),
        lab.edited(ENV, "LOG_LEVEL=INFO", "LOG_LEVEL=INFO\nPOOL_KEPT=22"),
    ):
        lab.recreate("db", "backend", "bot")
        every = lab.ids("backend")
        lab.sh(f"docker stop -t 1 {' '.join(every)}; docker start {' '.join(every[:3])}")
        one_more = f"docker exec {lab.id('db')} psql -U postgres -c 'select 1' flurai 2>&1"
        lab.wait(f"{one_more} | grep -q 'too many clients'", "every slot is taken", 60)
        lab.sh(f"docker start {' '.join(every[3:])}")
        lab.reload_proxy()
        lab.wait("docker ps --format '{{.Status}}' | grep -q '(unhealthy)'", "an instance without a slot", 60)
        lab.see_load()
        yield
    lab.recreate("db", "backend", "bot")


@fault("flurai", expect=[("postgres/auth-failed", "db")], shows=[(HANGS, "api")])
def password_rotated_in_the_database_only(lab: Flurai) -> Iterator[None]:
    lab.primary("alter role postgres password 'rotated'")
    own = "application_name in ('backend', 'opsctl')"
    lab.primary(f"select pg_terminate_backend(pid) from pg_stat_activity where {own}")
    lab.see_load()
    yield
    lab.primary(f"alter role postgres password '{PASSWORD}'")


@fault("flurai", expect=[("postgres/database-missing", "db")], shows=[(HANGS, "api")])
def database_is_renamed(lab: Flurai) -> Iterator[None]:
    def rename(old: str, new: str) -> None:
        lab.inside(
            "db",
            f"psql -U postgres -qc 'alter database {old} allow_connections false'"
            f" -c \"select pg_terminate_backend(pid) from pg_stat_activity where datname = '{old}'\""
            f" -c 'alter database {old} rename to {new}' -c 'alter database {new} allow_connections true'",
        )

    rename("flurai", "flurai_old")
    lab.see_load()
    yield
    rename("flurai_old", "flurai")


@fault("flurai", expect=[("postgres/hung", "db")], shows=[(HANGS, "api")], hangs=True)
def primary_frozen(lab: Flurai) -> Iterator[None]:
    """Every process of the server is stopped, and Docker knows nothing of it."""
    every = lab.sh(f"docker top {lab.id('db')} -eo pid | tail -n +2").split()
    lab.sh(f"kill -STOP {' '.join(every)}")
    lab.see_load()
    yield
    lab.sh(f"kill -CONT {' '.join(reversed(every))}")
    lab.wait_healthy(90)  # a child that ended meanwhile makes the server start its recovery


# -- sessions -----------------------------------------------------------------------------------------


@fault("flurai", expect=[("postgres/blocked-queries", "db")], shows=[("nginx/upstream-timeout", "proxy")])
def orders_locked_by_a_migration(lab: Flurai) -> Iterator[None]:
    sql = "begin; lock table orders in access exclusive mode; select pg_sleep(90);"
    parts.session(lab, "migration", sql, 90, "", lab.database_url)
    lab.sh("sleep 1.5")
    for _ in range(2):
        lab.see_load()
    lab.sh("sleep 6")
    lab.see_load()
    yield
    parts.end_session(lab, "migration")
    lab.primary("select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'migration'")


@fault("flurai", expect=[("postgres/read-only", "db")])
def primary_set_read_only(lab: Flurai) -> Iterator[None]:
    lab.primary("alter database flurai set default_transaction_read_only = on")
    yield
    lab.primary("begin read write; alter database flurai reset default_transaction_read_only; commit")


# -- schema -------------------------------------------------------------------------------------------


@fault("flurai", expect=[("postgres/migrations-pending", "db")], innocent=USERS)
def migration_not_applied(lab: Flurai) -> Iterator[None]:
    """The code is deployed, `alembic upgrade head` was forgotten."""
    lab.server.write(f"{VERSIONS}/c3d2_prices.py", migration("c3d2", "b2f1", "prices"))
    yield
    lab.sh(f"rm {VERSIONS}/c3d2_prices.py")
