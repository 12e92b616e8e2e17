"""Missing evidence: no permission, no log, no route. Naming nothing is right, a wrong name is not."""

from __future__ import annotations

from collections.abc import Iterator

from tests.lab.faults.base import fault
from tests.lab.faults.systemd import drop_in, undo_drop_in
from tests.lab.stacks import parts
from tests.lab.stacks.base import ComposeSystem, System
from tests.lab.stacks.wishlins import HOME

OPEN_HOME = f"chmod 755 {HOME} {HOME}/apps {HOME}/apps/*"
CLOSED_HOME = f"chmod 700 {HOME}"


@fault(
    "wishlins",
    expect=[("container/exited", "backend")],
    special="missing-evidence",
    abstain=True,
    user="nobody",
)
def backend_stopped_and_no_right_to_ask_docker(lab: ComposeSystem) -> Iterator[None]:
    lab.sh(f"{OPEN_HOME}; docker stop -t 1 {lab.id('backend')}")
    lab.see_load()
    yield
    lab.sh(f"{CLOSED_HOME}; docker start {lab.id('backend')}")


@fault(
    "wishlins",
    expect=[("container/paused", "db")],
    special="missing-evidence",
    abstain=True,
    user="nobody",
    hangs=True,
)
def database_paused_and_no_right_to_ask_docker(lab: ComposeSystem) -> Iterator[None]:
    lab.sh(f"{OPEN_HOME}; docker pause {lab.id('db')}")
    lab.see_load()
    yield
    lab.sh(f"{CLOSED_HOME}; docker unpause {lab.id('db')}")


@fault(
    "flurai",
    expect=[("docker/no-permission", "host")],
    special="missing-evidence",
    abstain=True,
    user="nobody",
)
def bot_stopped_and_no_right_to_ask_docker(lab: ComposeSystem) -> Iterator[None]:
    """Nothing that this user can see says that the bot is away: that it may not look is all there is."""
    lab.sh(f"docker stop -t 1 {lab.id('bot')}")
    yield
    lab.sh(f"docker start {lab.id('bot')}")


@fault("freemarket", special="missing-evidence", abstain=True, user="nobody")
def application_answers_500_and_no_right_to_ask_docker(lab: ComposeSystem) -> Iterator[None]:
    """A bug: what it is stands in the containers' logs alone, which this user may not read."""
    rename = "psql -U postgres -qc 'alter table matches rename column {} to {}' freemarket_db"
    lab.inside("db", rename.format("id", "number"))
    lab.see_load()
    yield
    lab.inside("db", rename.format("number", "id"))


@fault(
    "wishlins",
    expect=[("docker/daemon-hung", "host")],
    special="missing-evidence",
    abstain=True,
    hangs=True,
)
def database_stopped_and_the_docker_daemon_hangs(lab: ComposeSystem) -> Iterator[None]:
    """That the daemon hangs can be seen; what the container does cannot."""
    database = lab.id("db")
    lab.sh(f"docker stop -t 1 {database}; pkill -STOP -x dockerd")
    lab.see_load()
    yield
    lab.sh(f"pkill -CONT -x dockerd; docker start {database}")


@fault(
    "rostferrum",
    expect=[("postgres/hung", "db")],
    special="missing-evidence",
    abstain=True,
    user="nobody",
    hangs=True,
)
def database_frozen_and_no_password(lab: System) -> Iterator[None]:
    lab.sh("pkill -STOP -x postgres")
    lab.see_load()
    yield
    lab.sh("pkill -CONT -x postgres")


@fault(
    "rostferrum",
    expect=[("postgres/blocked-queries", "db")],
    special="missing-evidence",
    abstain=True,
    user="nobody",
    hangs=True,
)
def table_locked_and_no_password(lab: System) -> Iterator[None]:
    sql = "begin; lock table products in access exclusive mode; select pg_sleep(90);"
    parts.session(lab, "migration", sql, 90, "", lab.database_url)
    locked = "select count(*) from pg_locks where relation = 'products'::regclass and mode ~ '^AccessEx'"
    lab.wait(f'[ "$(psql -Atc "{locked}" {lab.database_url})" = 1 ]', "locked")
    for _ in range(2):
        lab.see_load()
    yield
    parts.end_session(lab, "migration")


@fault("rostferrum", special="missing-evidence", abstain=True, user="nobody")
def application_answers_500_and_its_log_is_unreadable(lab: System) -> Iterator[None]:
    """A bug: what it is stands in the journal alone, which this user may not read."""
    parts.psql(lab, "-c 'alter table products rename column price to cost' rostferrum")
    lab.see_load()
    yield
    parts.psql(lab, "-c 'alter table products rename column cost to price' rostferrum")


@fault("rostferrum", expect=[("http/status", "backend")], special="missing-evidence", abstain=True)
def application_answers_500_and_nothing_is_logged(lab: System) -> Iterator[None]:
    """The unit's output goes nowhere, PostgreSQL logs nothing: that it answers 500 is all there is."""
    drop_in(lab, "backend", "[Service]\nStandardOutput=null\nStandardError=null\n")
    quiet = "-c 'alter system set log_min_messages = panic' -c 'select pg_reload_conf()'"
    parts.psql(lab, quiet)
    lab.wait_healthy()
    lab.forget()  # that the unit was restarted for this is no part of it
    parts.psql(lab, "-c 'alter table products rename column price to cost' rostferrum")
    lab.see_load()
    yield
    parts.psql(lab, "-c 'alter table products rename column cost to price' rostferrum")
    parts.psql(lab, "-c 'alter system reset log_min_messages' -c 'select pg_reload_conf()'")
    undo_drop_in(lab, "backend")


@fault("rostferrum", special="missing-evidence", abstain=True)
def no_route_from_here_to_the_cache(lab: System) -> Iterator[None]:
    """A rule keeps root, and so opsctl, from the cache; the application goes on using it."""
    rule = "OUTPUT -p tcp --dport 6379 -m owner --uid-owner 0 -j REJECT --reject-with icmp-host-unreachable"
    lab.sh(f"iptables -I {rule}")
    lab.see_load()
    yield
    lab.sh(f"iptables -D {rule}")


@fault(
    "iiko-base",
    expect=[("php/storage-unwritable", "php")],
    special="missing-evidence",
    abstain=True,
    user="nobody",
)
def laravel_fails_and_its_folders_are_closed(lab: System) -> Iterator[None]:
    """Neither the folders nor the log below them can be seen by this user."""
    root = "/var/www/iiko-base/frontend"
    lab.sh(
        f"chown -R root: {root}/storage; chmod -R go-w {root}/storage;"
        f"chmod 711 {root}; chmod 700 {root}/storage"
    )
    lab.see_load()
    yield
    lab.sh(f"chown -R www-data: {root}/storage; chmod 755 {root} {root}/storage")


@fault(
    "iiko-base",
    expect=[("postgres/table-missing", "db")],
    special="missing-evidence",
    abstain=True,
    user="nobody",
)
def table_dropped_and_no_password(lab: System) -> Iterator[None]:
    parts.psql(lab, "-c 'alter table menu_items rename to menu_items_old' iiko_db")
    lab.see_load()
    lab.see_load()  # one error of a log is no finding yet, two are
    yield
    parts.psql(lab, "-c 'alter table menu_items_old rename to menu_items' iiko_db")
