"""Red herrings: something noisy and innocent beside the real fault."""

from __future__ import annotations

from collections.abc import Iterator

from tests.lab.faults.base import HANGS, fault
from tests.lab.stacks import parts
from tests.lab.stacks.base import ComposeSystem, System

LARAVEL_LOG = "/var/www/iiko-base/frontend/storage/logs/laravel.log"


@fault(
    "rostferrum",
    expect=[("systemd/inactive", "cache")],
    shows=[("http/status", "api")],
    innocent=["postgres/*", "logs/*"],
    special="red-herring",
)
def old_database_errors_beside_a_stopped_cache(lab: System) -> Iterator[None]:
    """The log is full of database errors of an hour ago; today the cache is down."""
    stamp = "$(date -u -d '-70 minutes' '+%Y-%m-%d %H:%M:%S.000 UTC')"
    line = f'echo "{stamp} [99] x@y FATAL:  the database system is in recovery mode"'
    as_postgres = "setpriv --reuid=postgres --regid=postgres --init-groups"
    lab.sh(
        f"for n in $(seq 200); do {line}; done > /tmp/old;"
        f"{as_postgres} sh -c 'cat /tmp/old >> {parts.POSTGRES_LOG}'"
    )
    lab.sh("systemctl stop redis-server")
    lab.see_load()
    yield
    lab.sh("systemctl start redis-server")


@fault(
    "rostferrum",
    "iiko-base",
    expect=[("systemd/inactive", "backend")],
    shows=[("http/status", "api")],
    innocent=["postgres/*"],
    special="red-herring",
)
def idle_sessions_beside_a_stopped_application(lab: System) -> Iterator[None]:
    """Many idle connections look bad and are harmless."""
    with parts.idle_sessions(lab, 40):
        lab.sh(f"systemctl stop {lab.units['backend']}")
        lab.see_load()
        yield
    lab.sh(f"systemctl start {lab.units['backend']}")


@fault(
    "rostferrum",
    expect=[("nginx/static-missing", "proxy")],
    shows=[("http/status", "site")],
    innocent=["systemd/*", "postgres/*"],
    special="red-herring",
)
def a_crash_of_before_beside_missing_pages(lab: System) -> Iterator[None]:
    """The application died once and was started again; the pages that are missing are nginx's own."""
    lab.sh(f"systemctl kill -s SEGV {lab.units['backend']}")
    lab.wait_healthy()
    lab.sh("mv /var/www/rostferrum/dist /var/www/rostferrum/dist.old")
    lab.see_load()
    yield
    lab.sh("mv /var/www/rostferrum/dist.old /var/www/rostferrum/dist")


@fault(
    "iiko-base",
    expect=[("systemd/inactive", "php")],
    shows=[("http/status", "site")],
    innocent=["postgres/*", "logs/*"],
    special="red-herring",
)
def old_exceptions_beside_a_stopped_fpm(lab: System) -> Iterator[None]:
    """Laravel's log is full of the database errors of this morning; now PHP-FPM is down."""
    stamp = "$(date -u -d '-90 minutes' '+%Y-%m-%d %H:%M:%S')"
    words = "SQLSTATE[08006] [7] connection to server failed: Connection refused"
    lab.sh(
        f'for n in $(seq 100); do echo "[{stamp}] production.ERROR: {words}" >> {LARAVEL_LOG}; done;'
        "systemctl stop php8.2-fpm"
    )
    lab.see_load()
    yield
    lab.sh("systemctl start php8.2-fpm")


@fault(
    "iiko-base",
    expect=[("systemd/inactive", "backend")],
    shows=[("http/status", "api")],
    innocent=["postgres/*", "logs/*"],
    special="red-herring",
)
def a_strangers_wrong_password_beside_a_stopped_application(lab: System) -> Iterator[None]:
    """Somebody tries roles that do not exist; the application's own login is well."""
    attempt = "psql -Atc 'select 1' postgresql://admin:guess@127.0.0.1:5432/iiko_db >/dev/null 2>&1"
    lab.sh(f"for n in 1 2 3 4 5 6; do {attempt}; done; true")
    lab.sh(f"systemctl stop {lab.units['backend']}")
    lab.see_load()
    yield
    lab.sh(f"systemctl start {lab.units['backend']}")


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
    "freemarket",
    expect=[("container/paused", "db")],
    shows=[(HANGS, "api")],
    innocent=["container/exited", "container/missing"],
    special="red-herring",
    hangs=True,
)
def a_stranger_beside_a_paused_database(lab: ComposeSystem) -> Iterator[None]:
    """A container of nobody's project has exited with an error."""
    image = lab.images[0]
    lab.sh(f"docker run --name stranger --network none {image} sh -c 'exit 1'", check=False)
    lab.sh(f"docker pause {lab.id('db')}")
    lab.see_load()
    yield
    lab.sh(f"docker unpause {lab.id('db')}; docker rm -f stranger")


@fault(
    "freemarket",
    "flurai",
    expect=[("container/exited", "bot")],
    innocent=["container/oom-killed", "container/restarting", "logs/*"],
    special="red-herring",
)
def a_failed_job_beside_a_stopped_bot(lab: ComposeSystem) -> Iterator[None]:
    """`docker-compose run backend …` has left a container that ended with 137: a job, not the service."""
    lab.compose("run", "--no-deps", "-T", "backend", "sh", "-c", "exit 137", check=False)
    lab.sh(f"docker stop -t 1 {lab.id('bot')}")
    yield
    lab.sh("docker ps -aq --filter label=com.docker.compose.oneoff=True | xargs -r docker rm -f")
    lab.sh(f"docker start {lab.id('bot')}")


@fault(
    "freemarket",
    expect=[("container/exited", "frontend")],
    shows=[("http/status|http/timeout", "site")],
    innocent=["redis/*"],
    special="red-herring",
    hangs=True,
)
def a_crowded_cache_beside_a_killed_frontend(lab: ComposeSystem) -> Iterator[None]:
    """Redis has 200,000 keys and has seen many misses, and both are as they should be."""
    fill = "for i=1,200000 do redis.call('set','page:'..i,'x','ex',900) end"
    lab.inside("cache", f'redis-cli eval "{fill}" 0; for n in 1 2 3 4 5 6; do redis-cli get no:$n; done')
    lab.sh(f"docker update --restart=no {lab.id('frontend')}; docker kill {lab.id('frontend')}")
    lab.see_load()
    yield
    lab.sh(f"docker update --restart=unless-stopped {lab.id('frontend')}; docker start {lab.id('frontend')}")
    lab.inside("cache", "redis-cli flushdb async")
