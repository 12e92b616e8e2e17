"""Controls, incidents that are over, red herrings, missing evidence, double faults, stale status."""

from __future__ import annotations

from collections.abc import Iterator

from tests.lab import load
from tests.lab.faults.base import fault
from tests.lab.stacks import parts
from tests.lab.stacks.base import ComposeSystem, System
from tests.lab.stacks.wishlins import HOME

ALL = ("rostferrum", "iiko-base", "flurai", "wishlins", "freemarket")
FAILS = "http/status|http/timeout|http/refused|http/body"


# -- healthy ------------------------------------------------------------------------------------------


@fault(*ALL, special="control")
def healthy_and_idle(lab: System) -> Iterator[None]:
    load.stop(lab)
    lab.sh("sleep 2")
    yield
    load.start(lab)


@fault(*ALL, special="control")
def healthy_under_load(lab: System) -> Iterator[None]:
    for _ in range(3):
        lab.see_load()
    yield


@fault("rostferrum", "wishlins", special="control")
def healthy_with_wrong_addresses_asked(lab: System) -> Iterator[None]:
    """Strangers ask for pages that never were: 404 is no fault."""
    proxy = lab.urls[0]
    lab.sh(f"for n in $(seq 40); do curl -sk -o /dev/null {proxy}wp-login-$n.php; done")
    yield


# -- over ---------------------------------------------------------------------------------------------


def calm(lab: System) -> None:
    """Wait until an error that does not come back is no longer taken for current."""
    lab.sh("sleep 20")


@fault("rostferrum", "iiko-base", special="recovered")
def application_was_down(lab: System) -> Iterator[None]:
    lab.sh(f"systemctl stop {lab.units['backend']}")
    lab.see_load()
    lab.sh(f"systemctl start {lab.units['backend']}")
    lab.wait_healthy()
    calm(lab)
    yield


@fault("rostferrum", "iiko-base", special="recovered")
def database_was_restarted(lab: System) -> Iterator[None]:
    lab.sh(f"systemctl restart {lab.units['db']}")
    lab.see_load()
    lab.wait_healthy()
    calm(lab)
    yield


@fault("rostferrum", special="recovered")
def cache_was_frozen(lab: System) -> Iterator[None]:
    lab.sh("pkill -STOP -x redis-server")
    lab.see_load()
    lab.sh("pkill -CONT -x redis-server")
    lab.wait_healthy()
    calm(lab)
    yield


@fault("rostferrum", special="recovered")
def application_crashed_once(lab: System) -> Iterator[None]:
    lab.sh(f"systemctl kill -s SEGV {lab.units['backend']}; sleep 2")
    lab.wait_healthy()
    calm(lab)
    yield


@fault("wishlins", "freemarket", special="recovered")
def database_container_was_stopped(lab: ComposeSystem) -> Iterator[None]:
    lab.sh(f"docker stop -t 3 {lab.id('db')}")
    lab.see_load()
    lab.sh(f"docker start {lab.id('db')}")
    lab.wait_well("db")
    lab.wait_healthy()
    calm(lab)
    yield


@fault("wishlins", special="recovered")
def backend_container_was_paused(lab: ComposeSystem) -> Iterator[None]:
    lab.sh(f"docker pause {lab.id('backend')}")
    lab.see_load()
    lab.sh(f"docker unpause {lab.id('backend')}")
    lab.wait_healthy()
    calm(lab)
    yield


# -- red herrings -------------------------------------------------------------------------------------


@fault(
    "rostferrum",
    expect=[("systemd/inactive", "cache")],
    shows=[(FAILS, "api")],
    innocent=["postgres/*", "logs/*"],
    special="red-herring",
)
def old_database_errors_beside_a_stopped_cache(lab: System) -> Iterator[None]:
    """The log is full of database errors of an hour ago; today the cache is down."""
    stamp = "$(date -u -d '-70 minutes' '+%Y-%m-%d %H:%M:%S.000 UTC')"
    line = f'echo "{stamp} [99] x@y FATAL:  the database system is in recovery mode"'
    lab.sh(
        f"for n in $(seq 200); do {line}; done > /tmp/old; setpriv --reuid=postgres --regid=postgres --init-groups sh -c 'cat /tmp/old >> /var/log/postgresql/postgresql-15-main.log'"  # noqa: E501
    )
    lab.sh("systemctl stop redis-server")
    lab.see_load()
    yield
    lab.sh("systemctl start redis-server")


@fault(
    "rostferrum",
    expect=[("systemd/inactive", "backend")],
    shows=[("http/status", "api")],
    innocent=["postgres/*"],
    special="red-herring",
)
def idle_sessions_beside_a_stopped_application(lab: System) -> Iterator[None]:
    """Many idle connections look bad and are harmless."""
    script = (
        "import psycopg,time\n"
        + f"held=[psycopg.connect({lab.database_url!r}) for _ in range(40)]\n"
        + "time.sleep(60)\n"
    )
    lab.server.write("/etc/lab/idle.py", script)
    lab.sh(
        "systemd-run -q --unit=lab-idle -p Environment=PYTHONPATH=/opt/lab/packages python3 /etc/lab/idle.py; sleep 2"  # noqa: E501
    )
    lab.sh(f"systemctl stop {lab.units['backend']}")
    lab.see_load()
    yield
    lab.sh(f"systemctl stop lab-idle; systemctl start {lab.units['backend']}")


@fault(
    "rostferrum",
    expect=[("nginx/static-missing", "proxy")],
    shows=[("http/status", "site")],
    innocent=["systemd/*", "postgres/*"],
    special="red-herring",
)
def a_crash_of_before_beside_missing_pages(lab: System) -> Iterator[None]:
    lab.sh(f"systemctl kill -s SEGV {lab.units['backend']}; sleep 2")
    lab.wait_healthy()
    lab.sh("sleep 3; mv /var/www/rostferrum/dist /var/www/rostferrum/dist.old")
    lab.see_load()
    yield
    lab.sh("mv /var/www/rostferrum/dist.old /var/www/rostferrum/dist")


@fault(
    "wishlins",
    expect=[("container/exited", "frontend")],
    shows=[("http/status", "site")],
    innocent=["container/oom-killed", "logs/*"],
    special="red-herring",
)
def noisy_bot_beside_a_stopped_frontend(lab: ComposeSystem) -> Iterator[None]:
    """The bot's log holds warnings about nothing."""
    lab.inside("bot", "for n in $(seq 30); do echo 'WARNING bot: retrying in 1 s' > /proc/1/fd/1; done")
    lab.sh(f"docker stop -t 1 {lab.id('frontend')}")
    lab.see_load()
    yield
    lab.sh(f"docker start {lab.id('frontend')}")


@fault(
    "wishlins",
    expect=[("container/paused", "db")],
    shows=[("http/status|http/timeout", "api")],
    innocent=["container/exited", "container/missing"],
    special="red-herring",
)
def a_stranger_beside_a_paused_database(lab: ComposeSystem) -> Iterator[None]:
    """A container of nobody's project has exited with an error."""
    lab.sh("docker run --name stranger --network none wishlins/bot:1.4 sh -c 'exit 1'", check=False)
    lab.sh(f"docker pause {lab.id('db')}")
    lab.see_load()
    yield
    lab.sh(f"docker unpause {lab.id('db')}; docker rm -f stranger")


# -- missing evidence ---------------------------------------------------------------------------------


@fault(
    "wishlins",
    expect=[("container/exited", "backend")],
    special="missing-evidence",
    abstain=True,
    user="nobody",
)
def backend_stopped_and_no_right_to_ask_docker(lab: ComposeSystem) -> Iterator[None]:
    lab.sh(f"chmod 755 {HOME} {HOME}/apps {HOME}/apps/*; docker stop -t 1 {lab.id('backend')}")
    lab.see_load()
    yield
    lab.sh(f"chmod 700 /root; docker start {lab.id('backend')}")


@fault(
    "wishlins", expect=[("container/paused", "db")], special="missing-evidence", abstain=True, user="nobody"
)
def database_paused_and_no_right_to_ask_docker(lab: ComposeSystem) -> Iterator[None]:
    lab.sh(f"chmod 755 {HOME} {HOME}/apps {HOME}/apps/*; docker pause {lab.id('db')}")
    lab.see_load()
    yield
    lab.sh(f"chmod 700 /root; docker unpause {lab.id('db')}")


@fault(
    "rostferrum", expect=[("postgres/hung", "db")], special="missing-evidence", abstain=True, user="nobody"
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
)
def table_locked_and_no_password(lab: System) -> Iterator[None]:
    sql = "begin; lock table products in access exclusive mode; select pg_sleep(90);"
    parts.session(lab, "migration", sql, 90, "", lab.database_url)
    lab.sh("sleep 1.5")
    lab.see_load()
    lab.sh("sleep 6")
    yield
    parts.end_session(lab, "migration")


@fault("rostferrum", special="missing-evidence", abstain=True, user="nobody")
def application_answers_500_and_its_log_is_unreadable(lab: System) -> Iterator[None]:
    """A bug: what it is stands in the journal alone, which this user may not read."""
    parts.psql(lab, "-c 'alter table products rename column price to cost' rostferrum")
    lab.see_load()
    yield
    parts.psql(lab, "-c 'alter table products rename column cost to price' rostferrum")


# -- two at once --------------------------------------------------------------------------------------


@fault(
    "rostferrum",
    expect=[("systemd/inactive", "cache"), ("nginx/static-missing", "proxy")],
    special="double",
)
def cache_stopped_and_pages_missing(lab: System) -> Iterator[None]:
    lab.sh("systemctl stop redis-server; mv /var/www/rostferrum/dist /var/www/rostferrum/dist.old")
    lab.see_load()
    yield
    lab.sh("mv /var/www/rostferrum/dist.old /var/www/rostferrum/dist; systemctl start redis-server")


@fault(
    "rostferrum",
    expect=[("systemd/inactive", "cache"), ("postgres/hung", "db")],
    special="double",
    hangs=True,
)
def cache_stopped_and_database_frozen(lab: System) -> Iterator[None]:
    lab.sh("systemctl stop redis-server; pkill -STOP -x postgres")
    lab.see_load()
    yield
    lab.sh("pkill -CONT -x postgres; systemctl start redis-server")


@fault(
    "rostferrum",
    expect=[("systemd/inactive", "cache"), ("systemd/inactive", "db")],
    shows=[(FAILS, "api")],
    special="double",
)
def cache_and_database_stopped(lab: System) -> Iterator[None]:
    lab.sh(f"systemctl stop redis-server {lab.units['db']}")
    lab.see_load()
    yield
    lab.sh(f"systemctl start redis-server {lab.units['db']}")


@fault(
    "wishlins",
    expect=[("container/exited", "frontend"), ("container/paused", "db")],
    special="double",
)
def frontend_stopped_and_database_paused(lab: ComposeSystem) -> Iterator[None]:
    lab.sh(f"docker stop -t 1 {lab.id('frontend')}; docker pause {lab.id('db')}")
    lab.see_load()
    yield
    lab.sh(f"docker unpause {lab.id('db')}; docker start {lab.id('frontend')}")


@fault(
    "wishlins",
    expect=[("container/exited", "bot"), ("systemd/inactive", "proxy")],
    special="double",
)
def bot_stopped_and_proxy_stopped(lab: ComposeSystem) -> Iterator[None]:
    lab.sh(f"docker stop -t 1 {lab.id('bot')}; systemctl stop nginx")
    yield
    lab.sh(f"systemctl start nginx; docker start {lab.id('bot')}")


# -- stale status -------------------------------------------------------------------------------------


@fault(
    "wishlins",
    "freemarket",
    expect=[("container/exited", "db")],
    shows=[(FAILS, "api")],
    special="stale-status",
)
def health_word_of_before_the_stop(lab: ComposeSystem) -> Iterator[None]:
    """`docker inspect` still says healthy of a container that was killed."""
    lab.sh(f"docker update --restart=no {lab.id('db')}; docker kill {lab.id('db')}")
    lab.see_load()
    yield
    lab.sh(f"docker update --restart=unless-stopped {lab.id('db')}; docker start {lab.id('db')}")


@fault("wishlins", expect=[("container/oom-killed", "backend")], special="stale-status")
def kill_flag_lost_over_a_restart(lab: ComposeSystem) -> Iterator[None]:
    """Memory ended it, Docker started it again, and `OOMKilled` says false."""
    lab.inside("backend", "touch /run/lab-leak")
    lab.wait(f"[ $(docker inspect -f '{{{{.RestartCount}}}}' {lab.id('backend')}) -ge 1 ]")
    lab.wait(f"docker exec {lab.id('backend')} rm -f /run/lab-leak")
    lab.wait_healthy()
    yield
    lab.renew("backend")


@fault("rostferrum", expect=[("systemd/inactive", "db")], shows=[(FAILS, "api")], special="stale-status")
def umbrella_unit_active_while_its_cluster_is_down(lab: System) -> Iterator[None]:
    """`postgresql.service` is active (exited) whatever its cluster does."""
    lab.sh("systemctl stop postgresql@15-main; systemctl is-active postgresql")
    lab.see_load()
    yield
    lab.sh("systemctl start postgresql@15-main")


@fault("rostferrum", special="stale-status")
def failed_mark_of_an_earlier_try(lab: System) -> Iterator[None]:
    """The unit failed five times, was mended and runs; its restart counter still says so."""
    unit = lab.units["backend"]
    lab.sh(f"for n in 1 2 3; do systemctl kill -s KILL {unit}; sleep 1.6; done")
    lab.wait_healthy()
    lab.sh("sleep 45")
    yield
    lab.sh(f"systemctl reset-failed {unit}; systemctl restart {unit}")
