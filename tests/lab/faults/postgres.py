"""PostgreSQL that can be asked: sessions, locks, slots, logins, files."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from tests.lab.faults.base import HANGS, fault
from tests.lab.stacks import parts
from tests.lab.stacks.base import ComposeSystem, System

ON_SYSTEMD = ("rostferrum", "iiko-base")


def database(lab: System) -> str:
    """Name of the application's database."""
    return lab.database_url.rpartition("/")[2]


def role(lab: System) -> str:
    """Name of the application's role."""
    return lab.database_url.partition("//")[2].partition(":")[0]


def table(lab: System) -> str:
    """A table that every page needs."""
    return {"rostferrum": "products", "iiko-base": "menu_items"}[lab.name]


@fault(*ON_SYSTEMD, expect=[("postgres/connections", "db")], shows=[("http/status", "api")])
def all_connections_taken(lab: System) -> Iterator[None]:
    """A forgotten script holds every slot that is not reserved."""
    lab.sh(f"systemctl stop {lab.units['backend']}; sleep 1")
    with all_connections_held(lab):
        lab.sh(f"systemctl start {lab.units['backend']}; sleep 2")
        lab.see_load()
        yield


@fault("freemarket", expect=[("postgres/connections", "db")], shows=[("http/status", "api")])
def all_connections_of_the_container_taken(lab: ComposeSystem) -> Iterator[None]:
    """A forgotten script on the machine holds every slot that is not reserved."""
    backends = " ".join(lab.ids("backend"))
    lab.sh(f"docker stop -t 1 {backends}")
    with all_connections_held(lab):
        lab.sh(f"docker start {backends}")
        address = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}"
        lives = "curl -sf -m 2 -o /dev/null http://$address:8000/live"
        lab.wait(
            f"for address in $(docker inspect -f '{address}' {backends}); do {lives} || exit 1; done",
            "backends",
        )
        lab.forget()  # that they were stopped is of the injection
        for _ in range(2):
            lab.see_load()
        yield


@contextlib.contextmanager
def all_connections_held(lab: System) -> Iterator[None]:
    """Take connections until there is none, and keep them."""
    code = """
    held = []
    for n in range(200):
        try: held.append(psycopg.connect(URL, application_name='report', connect_timeout=2))
        except psycopg.Error: break
    open('/run/lab-held', 'w').write(str(len(held)))
    time.sleep(120)
    """
    lab.sh("rm -f /run/lab-held")
    with parts.script(lab, "hold", code):
        lab.wait("[ $(cat /run/lab-held) -gt 50 ]", "connections held")
        yield


@fault(*ON_SYSTEMD, expect=[("postgres/blocked-queries", "db")], shows=[(HANGS, "api")], hangs=True)
def table_locked(lab: System) -> Iterator[None]:
    """A session at work holds an exclusive lock on the table that every page reads."""
    sql = f"begin; lock table {table(lab)} in access exclusive mode; select pg_sleep(90);"
    parts.session(lab, "migration", sql, 90, role(lab), lab.database_url)
    lab.sh("sleep 1.5")
    for _ in range(2):
        lab.see_load()
    lab.sh("sleep 8")
    yield
    parts.end_session(lab, "migration")
    parts.psql(
        lab,
        "-c \"select pg_terminate_backend(pid) from pg_stat_activity where application_name='migration'\"",
    )


@fault(
    *ON_SYSTEMD,
    expect=[("postgres/blocked-queries", "db")],
    shows=[(HANGS, "api")],
    hangs=True,
)
def transaction_left_open_with_a_lock(lab: System) -> Iterator[None]:
    """A person went to lunch with an open transaction that holds the lock.

    The lock chain is the fault, and its first line says that the session at its head is idle in a
    transaction; `postgres/idle-in-transaction` says the same later, and hangs below.
    """
    sql = f"begin; lock table {table(lab)} in access exclusive mode;"
    parts.session(lab, "console", sql, 90, role(lab), lab.database_url)
    lab.sh("sleep 1.5")
    for _ in range(2):
        lab.see_load()
    lab.sh("sleep 8")
    yield
    parts.end_session(lab, "console")
    parts.psql(
        lab, "-c \"select pg_terminate_backend(pid) from pg_stat_activity where application_name='console'\""
    )


@fault(*ON_SYSTEMD, expect=[("postgres/auth-failed", "db")], shows=[("http/status", "api")])
def password_changed_in_the_database(lab: System) -> Iterator[None]:
    password = lab.database_url.partition(f"{role(lab)}:")[2].partition("@")[0]
    parts.psql(lab, f"-c \"alter role {role(lab)} password 'rotated'\"")
    lab.sh(f"systemctl restart {lab.units['backend']}; sleep 2")
    lab.see_load()
    yield
    parts.psql(lab, f"-c \"alter role {role(lab)} password '{password}'\"")


@fault(*ON_SYSTEMD, expect=[("postgres/database-missing", "db")], shows=[("http/status", "api")])
def database_renamed(lab: System) -> Iterator[None]:
    name = database(lab)
    lab.sh(f"systemctl stop {lab.units['backend']}")
    parts.psql(lab, f"-c \"select pg_terminate_backend(pid) from pg_stat_activity where datname='{name}'\"")
    parts.psql(lab, f"-c 'alter database {name} rename to {name}_old'")
    lab.sh(f"systemctl start {lab.units['backend']}; sleep 2")
    lab.see_load()
    yield
    parts.psql(lab, f"-c 'alter database {name}_old rename to {name}'")


@fault(*ON_SYSTEMD, expect=[("postgres/hung", "db")], shows=[(HANGS, "api")], hangs=True)
def database_frozen(lab: System) -> Iterator[None]:
    """Every process of the server is stopped: connections are accepted and never answered."""
    lab.sh("pkill -STOP -x postgres")
    lab.see_load()
    yield
    lab.sh("pkill -CONT -x postgres")


@fault(*ON_SYSTEMD, expect=[("postgres/read-only", "db")])
def database_set_read_only(lab: System) -> Iterator[None]:
    parts.psql(lab, f"-c 'alter database {database(lab)} set default_transaction_read_only = on'")
    yield
    parts.psql(lab, f"-c 'alter database {database(lab)} reset default_transaction_read_only'")


@fault("rostferrum", expect=[("postgres/slot-retaining-wal", "db")])
def abandoned_replication_slot(lab: System) -> Iterator[None]:
    """A replica was taken away, its slot was not, and the server keeps all that it would need."""
    parts.psql(lab, "-c \"select pg_create_physical_replication_slot('old_replica', true)\"")
    filler = "create table filler as select repeat(md5(n::text), 30) as x from generate_series(1, 300000) n"
    for _ in range(4):
        parts.psql(lab, f"-c '{filler}' -c 'drop table filler' -c 'select pg_switch_wal()'")
    yield
    parts.psql(lab, "-c \"select pg_drop_replication_slot('old_replica')\" -c checkpoint")


@fault("rostferrum", expect=[("postgres/wal-archiving-failing", "db")])
def archiving_fails(lab: System) -> Iterator[None]:
    parts.psql(
        lab,
        '-c "alter system set archive_mode=on" -c "alter system set archive_command=\'cp %p /mnt/gone/%f\'"',
    )
    lab.sh("systemctl restart postgresql@15-main")
    lab.wait_healthy()
    lab.forget()  # whom the restart has cut off is no part of it
    parts.psql(lab, "-c 'create table filler (n int)' -c 'drop table filler' -c 'select pg_switch_wal()'")
    lab.sh("sleep 6")
    yield
    parts.psql(lab, "-c 'alter system reset archive_mode' -c 'alter system reset archive_command'")
    lab.sh("systemctl restart postgresql@15-main")


@fault("rostferrum", expect=[("postgres/invalid-index", "db")])
def index_left_invalid(lab: System) -> Iterator[None]:
    """A concurrent build failed half-way."""
    parts.psql(
        lab, "-c 'create unique index concurrently broken on products ((price > 0))' rostferrum", check=False
    )
    yield
    parts.psql(lab, "-c 'drop index if exists broken' rostferrum")


@fault("rostferrum", expect=[("postgres/sequence-exhaustion", "db")])
def sequence_nearly_used_up(lab: System) -> Iterator[None]:
    parts.psql(lab, "-c \"select setval('leads_id_seq', 2147483000)\" rostferrum")
    yield
    parts.psql(lab, "-c \"select setval('leads_id_seq', 1)\" rostferrum")


@fault("rostferrum", expect=[("postgres/exposed", "db")], shows=[("network/port-exposed", "db")])
def database_listens_everywhere(lab: System) -> Iterator[None]:
    parts.psql(lab, "-c \"alter system set listen_addresses='*'\"")
    lab.sh("systemctl restart postgresql@15-main")
    lab.wait_healthy()
    lab.forget()  # whom the restart has cut off is no part of it
    yield
    parts.psql(lab, "-c 'alter system reset listen_addresses'")
    lab.sh("systemctl restart postgresql@15-main")
