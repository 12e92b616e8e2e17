"""PostgreSQL under clients that hurt it: open transactions, deadlocks, sorts on disk, writes without end."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from tests.lab.faults.base import fault
from tests.lab.faults.postgres import role
from tests.lab.stacks import parts
from tests.lab.stacks.base import System

USERS = ["http/*", "nginx/*"]
LONG = 62
"""Seconds after which a query or an open transaction is too old: a minute."""


@fault("iiko-base", expect=[("postgres/idle-in-transaction", "db")], innocent=USERS)
def transaction_left_open(lab: System) -> Iterator[None]:
    """A script has read something within a transaction, and waits for its user."""
    with session(lab, "forgetful", "begin; select count(*) from menu_items;", LONG):
        yield


@fault("rostferrum", expect=[("postgres/long-query", "db")], innocent=USERS)
def report_runs_for_minutes(lab: System) -> Iterator[None]:
    with session(lab, "report", "select pg_sleep(150);", LONG):
        yield


@fault("iiko-base", expect=[("postgres/statements-slow", "db")], innocent=USERS)
def statement_takes_seconds(lab: System) -> Iterator[None]:
    with session(lab, "search", "select pg_sleep(40);", 3):
        yield


@fault("rostferrum", expect=[("postgres/deadlocks", "db")], innocent=USERS)
def two_jobs_lock_in_different_order(lab: System) -> Iterator[None]:
    parts.psql(lab, "-c \"alter system set deadlock_timeout = '50ms'\" -c 'select pg_reload_conf()'")
    asked(lab, "create table pairs (id int primary key, n int); insert into pairs values (1, 0), (2, 0)")
    code = """
    def collide(one, two):
        client = psycopg.connect(URL, application_name='stock')
        while True:
            try:
                with client.transaction():
                    client.execute('update pairs set n = n + 1 where id = %s', (one,))
                    time.sleep(0.03)
                    client.execute('update pairs set n = n + 1 where id = %s', (two,))
            except psycopg.errors.DeadlockDetected:
                pass
    for pair in ((1, 2), (2, 1), (1, 2), (2, 1)):
        threading.Thread(target=collide, args=pair).start()
    """
    with parts.script(lab, "deadlock", code):
        lab.sh("sleep 3")
        yield
    asked(lab, "drop table pairs")
    parts.psql(lab, "-c 'alter system reset deadlock_timeout' -c 'select pg_reload_conf()'")


@fault("iiko-base", expect=[("postgres/temp-files", "db")], innocent=["http/status", "nginx/*"])
def report_sorts_on_disk(lab: System) -> Iterator[None]:
    code = """
    client = psycopg.connect(URL, application_name='report', autocommit=True, options='-c work_mem=64kB')
    numbers = 'select * from generate_series(1, 400000) as n order by md5(n::text)'
    while True:
        client.execute(f'select count(*) from ({numbers}) as sorted')
    """
    with parts.script(lab, "sort", code):
        lab.sh("sleep 3")
        yield


@fault("rostferrum", expect=[("postgres/cache-miss", "db")], innocent=["http/status", "nginx/*"])
def report_reads_more_than_the_memory_holds(lab: System) -> Iterator[None]:
    asked(lab, "create table visits as select n, repeat('x', 500) from generate_series(1, 150000) as n")
    code = """
    client = psycopg.connect(URL, application_name='report', autocommit=True)
    while True:
        client.execute('select count(*) from visits')
    """
    with parts.script(lab, "reader", code):
        lab.sh("sleep 2")
        yield
    asked(lab, "drop table visits")


@fault("rostferrum", expect=[("postgres/checkpoints-forced", "db")], innocent=["http/status", "nginx/*"])
def import_writes_more_than_the_log_has_room_for(lab: System) -> Iterator[None]:
    sizes = ("max_wal_size = '32MB'", "min_wal_size = '32MB'")
    parts.psql(
        lab, " ".join(f'-c "alter system set {size}"' for size in sizes) + " -c 'select pg_reload_conf()'"
    )
    code = """
    client = psycopg.connect(URL, application_name='import', autocommit=True)
    while True:
        client.execute("select pg_logical_emit_message(false, 'import', repeat('x', 400000))")
        time.sleep(0.01)
    """
    with parts.script(lab, "import", code):
        lab.sh("sleep 8")
        yield
    resets = "-c 'alter system reset max_wal_size' -c 'alter system reset min_wal_size'"
    parts.psql(lab, f"{resets} -c 'select pg_reload_conf()' -c checkpoint")


@fault("rostferrum", "iiko-base", expect=[("postgres/autovacuum-behind", "db")], innocent=USERS)
def autovacuum_switched_off_for_a_busy_table(lab: System) -> Iterator[None]:
    asked(lab, "create table events (n int) with (autovacuum_enabled = false)")
    asked(lab, "insert into events select generate_series(1, 20000)")
    for _ in range(2):
        asked(lab, "update events set n = n + 1")
    lab.sh("sleep 1.5")  # until the sessions' statistics are there
    yield
    asked(lab, "drop table events")


def asked(lab: System, sql: str) -> None:
    """Run a statement as the application's role."""
    lab.sh(f"psql -q -v ON_ERROR_STOP=1 -c \"{sql}\" '{lab.database_url}'")


@contextlib.contextmanager
def session(lab: System, name: str, sql: str, seconds: int) -> Iterator[None]:
    """Keep a session of the application's role for a while that is `seconds` old when it is looked at."""
    parts.session(lab, name, sql, 150, role(lab), lab.database_url)
    lab.sh(f"sleep {seconds}", seconds=90)
    yield
    parts.end_session(lab, name)
