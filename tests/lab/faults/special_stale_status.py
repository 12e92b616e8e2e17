"""Stale status: a word, a mark, a file or a cache that says what was true before."""

from __future__ import annotations

from collections.abc import Iterator

from tests.lab.faults.base import HANGS, fault
from tests.lab.faults.nginx import SITE, changed_certificate
from tests.lab.faults.systemd import drop_in
from tests.lab.faults.waiting import calm
from tests.lab.stacks import parts
from tests.lab.stacks.base import ComposeSystem, System


@fault(
    "wishlins",
    "freemarket",
    expect=[("container/exited", "db")],
    shows=[("http/status", "api")],
    special="stale-status",
)
def health_word_of_before_the_stop(lab: ComposeSystem) -> Iterator[None]:
    """`docker inspect` still says healthy of a container that was killed."""
    lab.sh(f"docker update --restart=no {lab.id('db')}; docker kill {lab.id('db')}")
    lab.see_load()
    yield
    lab.sh(f"docker update --restart=unless-stopped {lab.id('db')}; docker start {lab.id('db')}")


@fault(
    "wishlins",
    expect=[("container/exited", "db")],
    shows=[("http/status", "api")],
    innocent=["container/unhealthy", "container/stale-unhealthy", "postgres/*"],
    special="stale-status",
)
def unhealthy_word_of_before_the_stop(lab: ComposeSystem) -> Iterator[None]:
    """It was unhealthy, then it was stopped, and the word stays."""
    lab.sh(f"kill -STOP {lab.pid('db')}")
    lab.wait_unwell("db")
    lab.sh(f"docker update --restart=no {lab.id('db')}; docker kill {lab.id('db')}")
    lab.see_load()
    yield
    lab.sh(f"docker update --restart=unless-stopped {lab.id('db')}; docker start {lab.id('db')}")


@fault(
    "wishlins",
    expect=[("container/stale-unhealthy", "frontend")],
    innocent=["http/*"],
    special="stale-status",
)
def unhealthy_word_that_a_restart_of_the_engine_left(lab: ComposeSystem) -> Iterator[None]:
    """The engine was restarted under living containers (`live-restore`), and runs their checks no more."""
    settings, pid = "/etc/docker/daemon.json", lab.pid("frontend")
    file = "/etc/nginx/nginx.conf"
    broken = "events {} http { server { listen 80; return 500; } }"
    lab.server.write("/tmp/daemon.json", '{"log-level": "warn", "live-restore": true}')
    lab.sh(f"cp {settings} /tmp/daemon.old; cp /tmp/daemon.json {settings}; systemctl reload docker")
    lab.inside("frontend", f"cp {file} {file}.kept; echo '{broken}' > {file}; nginx -s reload")
    lab.wait_unwell("frontend")
    lab.sh("systemctl stop docker.socket docker")
    lab.sh(f"nsenter -t {pid} -m cp {file}.kept {file}; kill -HUP {pid}; systemctl start docker")
    pages = " && ".join(f"curl -sfk -m 4 -o /dev/null {url}" for url in lab.urls)
    lab.wait(pages, "the pages")
    lab.forget()
    lab.sh("sleep 16")  # three checks would have been due, with all the time that they may take
    yield
    lab.server.write(settings, '{"log-level": "warn", "live-restore": false}')  # a missing key is ignored
    lab.sh(f"systemctl reload docker; cp /tmp/daemon.old {settings}")
    for role in ("db", "backend", "bot", "frontend"):
        lab.renew(role)  # their checks have not run since, either


@fault(
    "freemarket",
    "flurai",
    expect=[("container/paused", "backend")],
    innocent=["http/*", "nginx/*"],
    special="stale-status",
    hangs=True,
)
def healthy_word_of_a_paused_instance(lab: ComposeSystem) -> Iterator[None]:
    """No check runs in a paused container: Docker goes on calling it healthy."""
    one = lab.id("backend")
    lab.wait(f'[ "$(docker inspect -f "{{{{.State.Health.Status}}}}" {one})" = healthy ]')
    lab.sh(f"docker pause {one}")
    lab.see_load()
    yield
    lab.sh(f"docker unpause {one}")


@fault("wishlins", "freemarket", expect=[("container/oom-killed", "backend")], special="stale-status")
def kill_flag_lost_over_a_restart(lab: ComposeSystem) -> Iterator[None]:
    """Memory ended it, Docker started it again, and `OOMKilled` says false."""
    one = lab.id("backend")
    lab.inside("backend", "touch /run/lab-leak")
    lab.wait(f"[ $(docker inspect -f '{{{{.RestartCount}}}}' {one}) -ge 1 ]")
    lab.wait(f"docker exec {one} rm -f /run/lab-leak")
    lab.wait_healthy()
    yield
    lab.renew("backend")


@fault(
    "rostferrum",
    "iiko-base",
    expect=[("systemd/inactive", "db")],
    shows=[(HANGS, "api")],
    special="stale-status",
)
def umbrella_unit_active_while_its_cluster_is_down(lab: System) -> Iterator[None]:
    """`postgresql.service` is active (exited) whatever its cluster does."""
    lab.sh("systemctl stop postgresql@15-main; systemctl is-active postgresql")
    lab.see_load()
    yield
    lab.sh("systemctl start postgresql@15-main")


@fault("rostferrum", "iiko-base", special="stale-status")
def failed_mark_of_an_earlier_try(lab: System) -> Iterator[None]:
    """It was given up after four tries; mended and started by hand it runs. The journal tells of them."""
    unit = lab.units["backend"]
    limits = "[Unit]\nStartLimitIntervalSec=60\nStartLimitBurst=4\n"
    wrong = "[Service]\nExecStart=\nExecStart=/opt/venv/bin/uvicorn x:app\nRestartSec=100ms\n"
    drop_in(lab, "backend", limits + wrong)
    lab.wait(f"[ $(systemctl show -P ActiveState {unit}) = failed ]")
    lab.sh(f"rm -rf /run/systemd/system/{unit}.service.d; systemctl daemon-reload; systemctl start {unit}")
    lab.wait_healthy()
    calm(lab)
    yield


@fault(
    "rostferrum",
    "iiko-base",
    "wishlins",
    expect=[("systemd/failed", "proxy")],
    shows=[("http/refused", "site")],
    special="stale-status",
)
def pid_file_of_a_dead_process(lab: System) -> Iterator[None]:
    """nginx was killed; its pid file is there and names a process that lives and is another."""
    lab.sh("systemctl kill -s KILL nginx")
    lab.wait("[ $(systemctl show -P ActiveState nginx) = failed ]")
    lab.sh("systemctl show -P MainPID systemd-journald > /run/nginx.pid")
    yield
    lab.sh("rm -f /run/nginx.pid; systemctl reset-failed nginx; systemctl start nginx")


CACHED = "proxy_cache pages; proxy_cache_key $uri; proxy_cache_valid {} 5m;"


def with_cache(lab: System, valid: str) -> None:
    """Have nginx keep what the application answers with these codes."""
    lab.sh(f"cp -p {SITE} /tmp/site; rm -rf /var/cache/nginx/*")
    lab.sh(f"sed -i 's|location /product/ {{|& {CACHED.format(valid)}|' {SITE}; systemctl restart nginx")


def without_cache(lab: System) -> None:
    lab.sh(f"cp -p /tmp/site {SITE}; rm -rf /var/cache/nginx/*; systemctl restart nginx")


@fault(
    "rostferrum",
    expect=[("systemd/inactive", "backend")],
    shows=[("http/refused", "backend")],
    innocent=["nginx/*"],
    special="stale-status",
)
def cached_page_over_a_dead_application(lab: System) -> Iterator[None]:
    """The proxy serves the product page of before; the application is down."""
    with_cache(lab, "200")
    lab.wait_healthy()
    lab.sh(f"systemctl stop {lab.units['backend']}")
    lab.see_load()
    yield
    lab.sh(f"systemctl start {lab.units['backend']}")
    without_cache(lab)


@fault(
    "rostferrum",
    expect=[("http/status", "api")],
    innocent=["systemd/*", "postgres/*", "redis/*"],
    special="stale-status",
)
def cached_error_over_a_living_application(lab: System) -> Iterator[None]:
    """The application is well again; the proxy keeps serving the 502 of before from its cache."""
    with_cache(lab, "502")
    lab.sh(f"systemctl stop {lab.units['backend']}")
    lab.see_load()
    lab.sh(f"systemctl start {lab.units['backend']}")
    lab.wait("curl -sf -m 3 -o /dev/null http://127.0.0.1:8000/product/some-product-slug/")
    lab.see_load()
    yield
    without_cache(lab)


@fault("wishlins", "iiko-base", expect=[("tls/file-newer-than-served", "proxy")], special="stale-status")
def renewed_certificate_not_loaded(lab: System) -> Iterator[None]:
    """certbot has renewed the file; nginx was not told and serves the one that has expired."""
    with changed_certificate(lab, days=-2):
        folder, names = lab.certificates  # type: ignore[attr-defined]
        lab.certificate(folder, *names, days=90)
        yield


@fault(
    "flurai",
    expect=[("nginx/upstream-refused", "proxy")],
    shows=[("http/status", "backend")],
    innocent=["container/*"],
    special="stale-status",
)
def addresses_of_before_in_the_proxy(lab: ComposeSystem) -> Iterator[None]:
    """The backends came back with other addresses; nginx keeps those that it looked up at its start."""
    backends = " ".join(lab.ids("backend"))
    count = len(backends.split())
    address = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}"
    addresses = lab.sh(f"docker inspect -f '{address}' {backends}").split()
    lab.sh(f"docker stop -t 1 {backends}")
    for item in addresses:  # others have them now
        lab.sh(
            f"docker run -d --label lab=taken --network {lab.network} --ip {item} {lab.images[0]} sleep 300"
        )
    lab.sh(f"docker start {backends}")
    for number in range(count):
        lab.wait_well("backend", number=number)
    lab.see_load()
    yield
    lab.sh("docker ps -aq --filter label=lab=taken | xargs -r docker rm -f")
    lab.sh(f"docker kill -s HUP {lab.id('proxy')}")


@fault("rostferrum", special="stale-status")
def archiving_failed_once_and_works(lab: System) -> Iterator[None]:
    """The counter of failed archivings stays for ever; the last one went well."""
    command = "alter system set archive_command='test -e /tmp/lab-archive'"
    parts.psql(lab, f"-c 'alter system set archive_mode=on' -c \"{command}\"")
    lab.sh("rm -f /tmp/lab-archive; systemctl restart postgresql@15-main")
    parts.psql(lab, "-c 'create table filler (n int)' -c 'drop table filler' -c 'select pg_switch_wal()'")
    ask = "cd / && setpriv --reuid=postgres --clear-groups psql -Atc"
    lab.wait(f"[ $({ask} 'select failed_count from pg_stat_archiver') -ge 1 ]")
    lab.sh("touch /tmp/lab-archive")
    lab.wait(f"[ $({ask} 'select archived_count from pg_stat_archiver') -ge 1 ]", seconds=75)
    calm(lab)
    yield
    parts.psql(lab, "-c 'alter system reset archive_mode' -c 'alter system reset archive_command'")
    lab.sh("systemctl restart postgresql@15-main")
