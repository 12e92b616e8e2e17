"""PostgreSQL's cluster: another port, a restore without end, damaged pages, numbers that run out."""

from __future__ import annotations

from collections.abc import Iterator

from tests.lab.faults.base import fault
from tests.lab.faults.postgres import ON_SYSTEMD
from tests.lab.stacks import parts
from tests.lab.stacks.base import ComposeSystem, System
from tests.lab.stacks.parts import CLUSTER

UNIT = "postgresql@15-main"
SETTINGS = "/etc/postgresql/15/main"
PROGRAMS = "/usr/lib/postgresql/15/bin"
AS_POSTGRES = "cd / && setpriv --reuid=postgres --regid=postgres --init-groups"


@fault(*ON_SYSTEMD, expect=[("postgres/down", "db")], shows=[("http/status", "api")])
def database_listens_on_another_port(lab: System) -> Iterator[None]:
    """Somebody changed the port, and the server was restarted: its unit runs, nobody finds it."""
    lab.sh(f"sed -i 's/^port = 5432/port = 5499/' {SETTINGS}/postgresql.conf; systemctl restart {UNIT}")
    lab.see_load()
    yield
    lab.sh(f"sed -i 's/^port = 5499/port = 5432/' {SETTINGS}/postgresql.conf; systemctl restart {UNIT}")


@fault("freemarket", expect=[("postgres/recovering", "db")], shows=[("http/status", "api")])
def restore_waits_for_the_archive(lab: ComposeSystem) -> Iterator[None]:
    """It was started to restore, and the archive does not answer."""
    data = f"/var/lib/docker/volumes/{lab.project}_postgres_data/_data/data"
    lab.sh(
        f"docker kill {lab.id('db')}; echo \"restore_command = 'sleep 600'\" >> {data}/postgresql.auto.conf;"
        f"touch {data}/recovery.signal; docker start {lab.id('db')}"
    )
    lab.wait(f"docker exec {lab.id('db')} pg_isready -q -h 127.0.0.1; [ $? = 1 ]", "a server that restores")
    lab.see_load()
    yield
    lab.sh(
        f"docker kill {lab.id('db')}; sed -i /restore_command/d {data}/postgresql.auto.conf;"
        f"rm {data}/recovery.signal; docker start {lab.id('db')}"
    )


@fault("rostferrum", expect=[("postgres/checksum-failures", "db")], innocent=["http/*", "nginx/*"])
def page_of_a_table_damaged(lab: System) -> Iterator[None]:
    """The disk has lost some bytes of a table that pages do not need."""
    checksums = f"{AS_POSTGRES} {PROGRAMS}/pg_checksums -D {CLUSTER} --no-sync"
    lab.sh(f"systemctl stop {UNIT} && {checksums} --enable && systemctl start {UNIT}")
    parts.psql(lab, "-c 'create table ledger as select generate_series(1, 1000) as n' rostferrum")
    path = parts.psql(lab, "-c \"select pg_relation_filepath('ledger')\" rostferrum").strip()
    lab.sh(
        f"systemctl stop {UNIT};"
        f"printf damage | dd of={CLUSTER}/{path} bs=1 seek=5000 conv=notrunc status=none;"
        f"systemctl start {UNIT}"
    )
    parts.psql(lab, "-c 'select count(*) from ledger' rostferrum", check=False)
    lab.wait_healthy()
    lab.forget()  # that it was restarted is of the injection
    yield
    parts.psql(lab, "-c 'drop table ledger' -c 'select pg_stat_reset()' rostferrum")
    lab.sh(f"systemctl stop {UNIT} && {checksums} --disable && systemctl start {UNIT}")


@fault("rostferrum", expect=[("postgres/wraparound", "db")], innocent=["http/*", "nginx/*"])
def numbers_of_transactions_run_out(lab: System) -> Iterator[None]:
    """Nothing was frozen for 1.2 thousand million transactions."""
    kept, transactions = f"{CLUSTER}.kept", 1200 * 2**20  # a file of pg_xact holds 2^20 of them
    page = f"{CLUSTER}/pg_xact/{transactions >> 20:04X}"
    lab.server.write(f"{SETTINGS}/conf.d/lab.conf", "autovacuum_freeze_max_age = 2000000000\n")
    lab.sh(
        f"set -e; systemctl stop {UNIT}; cp -a {CLUSTER} {kept};"
        f"{AS_POSTGRES} {PROGRAMS}/pg_resetwal -x {transactions} -D {CLUSTER} >/dev/null;"
        f"head -c 262144 /dev/zero > {page}; chown postgres: {page}; chmod 600 {page}; systemctl start {UNIT}"
    )
    lab.wait_healthy()
    lab.forget()  # that it was restarted is of the injection
    yield
    lab.sh(
        f"systemctl stop {UNIT}; rm -rf {CLUSTER} {SETTINGS}/conf.d/lab.conf;"
        f"mv {kept} {CLUSTER}; systemctl start {UNIT}"
    )
