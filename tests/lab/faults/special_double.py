"""Two faults at once that have nothing to do with each other: both are named."""

from __future__ import annotations

from collections.abc import Iterator

from tests.lab.faults.base import fault
from tests.lab.faults.nginx import changed_certificate
from tests.lab.faults.php import application_key_lost
from tests.lab.faults.redis import cache_full
from tests.lab.stacks.base import ComposeSystem, System


@fault(
    "rostferrum",
    expect=[("systemd/inactive", "cache"), ("nginx/static-missing", "proxy")],
    shows=[("http/status", "api"), ("http/status", "site")],
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
    shows=[("http/status", "api")],
    special="double",
)
def cache_and_database_stopped(lab: System) -> Iterator[None]:
    lab.sh(f"systemctl stop redis-server {lab.units['db']}")
    lab.see_load()
    yield
    lab.sh(f"systemctl start redis-server {lab.units['db']}")


@fault(
    "iiko-base",
    expect=[("systemd/inactive", "php"), ("systemd/inactive", "backend")],
    shows=[("http/status", "site"), ("http/status", "api")],
    innocent=["postgres/*", "nginx/*"],
    special="double",
)
def fpm_and_application_stopped(lab: System) -> Iterator[None]:
    lab.sh(f"systemctl stop php8.2-fpm {lab.units['backend']}")
    lab.see_load()
    yield
    lab.sh(f"systemctl start php8.2-fpm {lab.units['backend']}")


@fault(
    "iiko-base",
    expect=[("tls/expired", "proxy"), ("config/variable-missing", "php")],
    special="double",
)
def key_lost_and_certificate_expired(lab: System) -> Iterator[None]:
    steps = application_key_lost(lab)
    with changed_certificate(lab, days=-2):
        next(steps)
        yield
    next(steps, None)


@fault(
    "wishlins",
    expect=[("container/exited", "frontend"), ("container/paused", "db")],
    shows=[("http/status", "site"), ("http/status", "api")],
    special="double",
    hangs=True,
)
def frontend_stopped_and_database_paused(lab: ComposeSystem) -> Iterator[None]:
    lab.sh(f"docker stop -t 1 {lab.id('frontend')}; docker pause {lab.id('db')}")
    lab.see_load()
    yield
    lab.sh(f"docker unpause {lab.id('db')}; docker start {lab.id('frontend')}")


@fault(
    "wishlins",
    expect=[("container/exited", "bot"), ("systemd/inactive", "proxy")],
    shows=[("http/refused", "site")],
    special="double",
)
def bot_stopped_and_proxy_stopped(lab: ComposeSystem) -> Iterator[None]:
    lab.sh(f"docker stop -t 1 {lab.id('bot')}; systemctl stop nginx")
    yield
    lab.sh(f"systemctl start nginx; docker start {lab.id('bot')}")


@fault(
    "freemarket",
    expect=[("container/paused", "cache"), ("container/exited", "bot")],
    shows=[("redis/hung", "cache")],
    special="double",
    hangs=True,
)
def cache_paused_and_bot_stopped(lab: ComposeSystem) -> Iterator[None]:
    lab.sh(f"docker stop -t 1 {lab.id('bot')}; docker pause {lab.id('cache')}")
    lab.see_load()
    yield
    lab.sh(f"docker unpause {lab.id('cache')}; docker start {lab.id('bot')}")


@fault(
    "freemarket",
    expect=[("container/exited", "frontend"), ("container/exited", "prometheus")],
    shows=[("monitoring/prometheus-down", "prometheus")],
    special="double",
    hangs=True,
)
def frontend_and_prometheus_stopped(lab: ComposeSystem) -> Iterator[None]:
    prometheus = "docker ps -aq --filter label=com.docker.compose.service=prometheus"
    lab.sh(f"docker stop -t 1 {lab.id('frontend')} $({prometheus})")
    lab.see_load()
    yield
    lab.sh(f"docker start {lab.id('frontend')} $({prometheus})")


@fault(
    "flurai",
    expect=[("redis/memory-full", "cache"), ("container/exited", "bot")],
    special="double",
)
def cache_full_and_bot_stopped(lab: ComposeSystem) -> Iterator[None]:
    steps = cache_full(lab)
    next(steps)
    lab.sh(f"docker stop -t 1 {lab.id('bot')}")
    yield
    lab.sh(f"docker start {lab.id('bot')}")
    next(steps, None)


@fault(
    "flurai",
    expect=[("container/exited", "db"), ("container/paused", "cache")],
    special="double",
    hangs=True,
)
def database_stopped_and_cache_paused(lab: ComposeSystem) -> Iterator[None]:
    lab.sh(f"docker stop -t 3 {lab.id('db')}; docker pause {lab.id('cache')}")
    lab.see_load()
    yield
    lab.sh(f"docker unpause {lab.id('cache')}; docker start {lab.id('db')}")
