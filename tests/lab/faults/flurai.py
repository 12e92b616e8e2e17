"""flurai: five backends behind a load balancer, settings of production, limits, names."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from tests.lab.faults import tls
from tests.lab.faults.base import HANGS, fault
from tests.lab.stacks.flurai import ENV, SITE, Flurai

FAILS = "http/status"
USERS = ("http/*", "nginx/*", "logs/*")
"""What must not be blamed where users notice nothing."""


@contextlib.contextmanager
def setting(lab: Flurai, old: str, new: str, *roles: str) -> Iterator[None]:
    """Have another line in .env, and the containers made anew with it; the moment without them is over."""
    with lab.edited(ENV, old, new):
        lab.recreate(*roles)
        lab.wait_healthy()
        lab.forget()
        lab.see_load()
        yield
    lab.recreate(*roles)


@contextlib.contextmanager
def balancer(lab: Flurai, old: str, new: str) -> Iterator[None]:
    """Have another text in the load balancer's configuration, and loaded."""
    with lab.edited(SITE, old, new):
        lab.reload_proxy()
        yield
    lab.reload_proxy()


# -- backends -----------------------------------------------------------------------------------------


@fault("flurai", expect=[("container/exited", "backend")], innocent=USERS)
def one_backend_of_five_dead(lab: Flurai) -> Iterator[None]:
    """The load balancer passes it over; users notice nothing."""
    dead = lab.ids("backend")[3]
    lab.sh(f"docker update --restart=no {dead}; docker kill {dead}")
    lab.see_load()
    yield
    lab.sh(f"docker update --restart=unless-stopped {dead}; docker start {dead}")
    lab.reload_proxy()


@fault("flurai", expect=[("container/replicas-short", "backend")], innocent=USERS)
def scaled_down_and_forgotten(lab: Flurai) -> Iterator[None]:
    """Somebody ran `up -d --scale backend=3` for the night."""
    lab.compose("up", "-d", "--no-build", "--scale", "backend=3", "backend")
    lab.reload_proxy()
    lab.see_load()
    yield
    lab.recreate("backend")


@fault("flurai", expect=[("container/exited", "backend")], shows=[("http/status", "api")])
def all_backends_dead(lab: Flurai) -> Iterator[None]:
    """The mini-app's page still opens, nothing in it works."""
    every = " ".join(lab.ids("backend"))
    lab.sh(f"docker stop -t 1 {every}")
    lab.see_load()
    yield
    lab.sh(f"docker start {every}")
    lab.reload_proxy()


@fault("flurai", expect=[("container/paused", "backend")])
def one_backend_paused(lab: Flurai) -> Iterator[None]:
    frozen = lab.ids("backend")[1]
    lab.sh(f"docker pause {frozen}")
    lab.see_load()
    yield
    lab.sh(f"docker unpause {frozen}")


@fault("flurai", expect=[("container/unhealthy", "backend")])
def one_backend_hangs(lab: Flurai) -> Iterator[None]:
    """Its process is stopped: Docker says running, its health check says no."""
    stuck = lab.ids("backend")[2]
    pid = lab.sh(f"docker inspect -f '{{{{.State.Pid}}}}' {stuck}").strip()
    lab.sh(f"kill -STOP {pid}")
    lab.wait_state("backend", 'eq .State.Health.Status "unhealthy"', 40, number=2)
    lab.see_load()
    yield
    lab.sh(f"kill -CONT {pid}")


@fault("flurai", expect=[("logs/application-errors", "backend")], innocent=["container/*", "postgres/*"])
def one_backend_of_five_fails_at_a_page(lab: Flurai) -> Iterator[None]:
    """One instance was changed by hand; every fifth visitor of the catalogue meets an error."""
    changed = lab.ids("backend")[4]
    lab.sh(f"docker exec {changed} touch /run/lab-bug")
    lab.see_load()
    lab.sh(f"for n in $(seq 20); do curl -sk -m 5 -o /dev/null {lab.urls[1]}; done")
    yield
    lab.sh(f"docker exec {changed} rm /run/lab-bug")


@fault("flurai", expect=[("container/exited", "proxy")], shows=[("http/refused", "site")])
def load_balancer_stopped(lab: Flurai) -> Iterator[None]:
    lab.sh(f"docker stop -t 1 {lab.id('proxy')}")
    yield
    lab.sh(f"docker start {lab.id('proxy')}")


# -- load balancer ------------------------------------------------------------------------------------


@fault(
    "flurai",
    expect=[("nginx/upstream-refused", "proxy")],
    shows=[("http/status", "api")],
    innocent=["container/*"],
)
def balanced_onto_a_dead_port(lab: Flurai) -> Iterator[None]:
    """The backends listen on 8000; after an edit nginx passes requests to 8001."""
    with balancer(lab, "server backend:8000", "server backend:8001"):
        lab.see_load()
        yield


@fault("flurai", expect=[("http/status", "api")], innocent=["container/*", "nginx/*"])
def metrics_page_missing(lab: Flurai) -> Iterator[None]:
    """Somebody closed /metrics in nginx and thought of outsiders only: 404.

    `http/metrics-missing` is for a page that is there and lacks metrics.
    """
    with balancer(lab, "^/(health|metrics)$", "^/(health)$"):
        lab.see_load()
        yield


@fault(
    "flurai",
    expect=[("nginx/rate-limiting", "proxy")],
    shows=[("http/too-many-requests", "api")],
    innocent=["container/*"],
)
def rate_limit_hits_everybody(lab: Flurai) -> Iterator[None]:
    """The limit that was meant for the login was put on everything."""
    with balancer(lab, "limit_req_status 429;", "limit_req_status 429; limit_req zone=login;"):
        lab.see_load()
        lab.sh(f"for n in $(seq 30); do curl -sk -m 5 -o /dev/null {lab.urls[0]}; done")
        yield


@fault(
    "flurai", expect=[("tls/expired", "proxy")], shows=[("http/refused", "site")], innocent=["container/*"]
)
def shop_certificate_expired(lab: Flurai) -> Iterator[None]:
    """Telegram does not open the mini-app; the page on port 8000 for operators is well."""
    yield from tls.certificate(lab, days=-1)


@fault("flurai", expect=[("tls/expiring", "proxy")], innocent=USERS)
def shop_certificate_about_to_expire(lab: Flurai) -> Iterator[None]:
    yield from tls.certificate(lab, days=4)


@fault("flurai", expect=[("tls/name-mismatch", "proxy")], shows=[("http/refused", "site")])
def shop_certificate_for_another_name(lab: Flurai) -> Iterator[None]:
    yield from tls.certificate(lab, days=90, name="old-miniapp-domain.com")


# -- Redis --------------------------------------------------------------------------------------------


@fault("flurai", expect=[("container/exited", "cache")], shows=[(FAILS, "api")])
def cache_container_stopped(lab: Flurai) -> Iterator[None]:
    lab.sh(f"docker stop -t 1 {lab.id('cache')}")
    lab.see_load()
    yield
    lab.sh(f"docker start {lab.id('cache')}")


@fault("flurai", expect=[("redis/evicting", "cache")], innocent=["http/*", "container/*"])
def cache_too_small(lab: Flurai) -> Iterator[None]:
    """The reference data does not fit: what was cached a moment ago is gone."""
    lab.inside("cache", "redis-cli config set maxmemory-policy allkeys-lru")
    lab.inside("cache", "redis-cli config set maxmemory 3mb")
    churn = (
        'for n in $(seq 600); do redis-cli eval "for i=1,100 do '
        "redis.call('set', 'churn:' .. ARGV[1] .. ':' .. i, string.rep('x', 2000)) end\" 0 $n; "
        "sleep 0.1; done"
    )
    lab.server.write("/etc/lab/churn.sh", churn)
    lab.sh("systemd-run -q --unit=lab-churn sh /etc/lab/churn.sh; sleep 3")
    yield
    lab.sh("systemctl stop lab-churn")
    lab.inside("cache", "redis-cli config set maxmemory 0; redis-cli flushall")


@fault("flurai", expect=[("redis/hung", "cache")], shows=[(HANGS, "api")], hangs=True)
def cache_process_stopped(lab: Flurai) -> Iterator[None]:
    lab.sh(f"kill -STOP {lab.pid('cache')}")
    lab.see_load()
    yield
    lab.sh(f"kill -CONT {lab.pid('cache')}")


@fault("flurai", expect=[("redis/save-failing", "cache")], shows=[(FAILS, "api")])
def cache_cannot_write_its_snapshot(lab: Flurai) -> Iterator[None]:
    """A folder stands where its file should be, and with a failed save Redis stops taking writes."""
    lab.inside("cache", "rm -f /data/dump.rdb; mkdir -p /data/dump.rdb/restored; redis-cli bgsave")
    lab.wait(f"docker exec {lab.id('cache')} redis-cli info persistence | grep -q bgsave_status:err")
    lab.see_load()
    yield
    lab.inside("cache", "rm -rf /data/dump.rdb; redis-cli bgsave")
    lab.wait(f"docker exec {lab.id('cache')} redis-cli info persistence | grep -q bgsave_status:ok")


# -- settings -----------------------------------------------------------------------------------------


@fault("flurai", expect=[("config/placeholder-secret", "backend")], innocent=USERS)
def default_secret_left(lab: Flurai) -> Iterator[None]:
    with setting(lab, "JWT_SECRET=kept-e19d7730ab42", "JWT_SECRET=change-me", "backend", "bot"):
        yield


@fault("flurai", expect=[("config/cors-open", "backend")], innocent=USERS)
def every_origin_allowed(lab: Flurai) -> Iterator[None]:
    line = next(item for item in lab.sh(f"cat {ENV}").splitlines() if item.startswith("ALLOWED_ORIGINS="))
    with setting(lab, line, "ALLOWED_ORIGINS=*", "backend", "bot"):
        yield


@fault("flurai", expect=[("config/not-production", "backend")], innocent=USERS)
def development_settings_in_production(lab: Flurai) -> Iterator[None]:
    """The logs are plain text then, which is no fault of its own."""
    with setting(lab, "ENVIRONMENT=production", "ENVIRONMENT=development", "backend", "bot"):
        yield


@fault("flurai", expect=[("config/variable-missing", "backend")], shows=[("http/status", "api")])
def required_variable_missing(lab: Flurai) -> Iterator[None]:
    """The backends refuse to start without it, as they are meant to."""
    with lab.edited(ENV, "ADMIN_SECRET=kept-6be2f04c5518\n", ""):
        lab.recreate("backend", "bot")
        lab.wait(f"[ $(docker inspect -f '{{{{.RestartCount}}}}' {lab.id('backend')}) -ge 2 ]")
        lab.see_load()
        yield
    lab.recreate("backend", "bot")


@fault("flurai", expect=[("container/environment-drift", "backend"), ("container/environment-drift", "bot")])
def settings_changed_but_not_in_force(lab: Flurai) -> Iterator[None]:
    with lab.edited(ENV, "LOG_LEVEL=INFO", "LOG_LEVEL=WARNING"):
        yield


# -- ports --------------------------------------------------------------------------------------------


@fault("flurai", expect=[("network/port-exposed", "db")], innocent=USERS)
def database_published_to_everybody(lab: Flurai) -> Iterator[None]:
    """Docker's own rules let everybody in, whatever the firewall says."""
    with lab.edited(lab.file, "127.0.0.1:5432:5432", "5432:5432"):
        lab.recreate("db")
        lab.wait_healthy()
        lab.forget()
        yield
    lab.recreate("db")


# -- two at once --------------------------------------------------------------------------------------


@fault(
    "flurai",
    expect=[("container/exited", "cache"), ("container/exited", "bot")],
    shows=[(FAILS, "api")],
    special="double",
)
def cache_and_bot_stopped(lab: Flurai) -> Iterator[None]:
    lab.sh(f"docker stop -t 1 {lab.id('cache')} {lab.id('bot')}")
    lab.see_load()
    yield
    lab.sh(f"docker start {lab.id('cache')} {lab.id('bot')}")


@fault(
    "flurai",
    expect=[("container/exited", "cache")],
    shows=[(FAILS, "api")],
    innocent=["postgres/*", "container/replicas-short"],
    special="red-herring",
)
def one_backend_dead_beside_a_stopped_cache(lab: Flurai) -> Iterator[None]:
    """One of five is missing and hurts nobody; the cache is what users miss."""
    dead = lab.ids("backend")[0]
    lab.sh(f"docker stop -t 1 {dead} {lab.id('cache')}")
    lab.see_load()
    yield
    lab.sh(f"docker start {lab.id('cache')} {dead}")
    lab.reload_proxy()
