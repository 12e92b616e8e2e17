"""Containers: stopped, killed, looping, paused, detached, drifted."""

from __future__ import annotations

from collections.abc import Iterator

from tests.lab.faults.base import HANGS, fault
from tests.lab.stacks.base import ComposeSystem
from tests.lab.stacks.wishlins import ENV

COMPOSE = ("wishlins", "freemarket", "flurai")


HOLD_MEMORY = """
import os, time
old = "/sys/fs/cgroup/memory"  # control groups of version 1
folder = f"{old}/memory." if os.path.isdir(old) else "/sys/fs/cgroup/memory."
names = ("limit_in_bytes", "usage_in_bytes") if os.path.isdir(old) else ("max", "current")
limit, used = (int(open(folder + name).read()) for name in names)
stat = dict(line.split() for line in open(folder + "stat"))
dropped = int(stat.get("total_inactive_file", stat["inactive_file"]))
held = bytearray(int(limit * 0.94) - used + dropped)
time.sleep(100)
"""
"""Takes nearly all that is left of a container's memory."""


@fault(*COMPOSE, expect=[("container/exited", "db")], shows=[(HANGS, "api")])
def database_container_stopped(lab: ComposeSystem) -> Iterator[None]:
    lab.sh(f"docker stop -t 3 {lab.id('db')}")
    lab.see_load()
    yield
    lab.sh(f"docker start {lab.id('db')}")


@fault("wishlins", expect=[("container/exited", "backend")], shows=[("http/status", "api")])
def backend_container_stopped(lab: ComposeSystem) -> Iterator[None]:
    lab.sh(f"docker stop -t 1 {lab.id('backend')}")
    lab.see_load()
    yield
    lab.sh(f"docker start {lab.id('backend')}")


@fault(
    "wishlins",
    "freemarket",
    expect=[("container/exited", "frontend")],
    shows=[("http/status|http/timeout", "site")],
    hangs=True,
)
def frontend_container_killed(lab: ComposeSystem) -> Iterator[None]:
    lab.sh(f"docker update --restart=no {lab.id('frontend')}; docker kill {lab.id('frontend')}")
    lab.see_load()
    yield
    lab.sh(f"docker update --restart=unless-stopped {lab.id('frontend')}; docker start {lab.id('frontend')}")


@fault(*COMPOSE, expect=[("container/exited", "bot")], innocent=["http/*", "nginx/*"])
def bot_container_stopped(lab: ComposeSystem) -> Iterator[None]:
    lab.sh(f"docker stop -t 1 {lab.id('bot')}")
    yield
    lab.sh(f"docker start {lab.id('bot')}")


@fault("wishlins", expect=[("container/paused", "backend")], shows=[("http/timeout", "backend")], hangs=True)
def backend_paused(lab: ComposeSystem) -> Iterator[None]:
    lab.sh(f"docker pause {lab.id('backend')}")
    lab.see_load()
    yield
    lab.sh(f"docker unpause {lab.id('backend')}")


@fault(*COMPOSE, expect=[("container/paused", "db")], shows=[(HANGS, "api")], hangs=True)
def database_paused(lab: ComposeSystem) -> Iterator[None]:
    lab.sh(f"docker pause {lab.id('db')}")
    lab.see_load()
    yield
    lab.sh(f"docker unpause {lab.id('db')}")


@fault(*COMPOSE, expect=[("container/missing", "bot")])
def bot_container_removed(lab: ComposeSystem) -> Iterator[None]:
    lab.sh(f"docker rm -f {lab.id('bot')}")
    yield
    lab.recreate("bot")


@fault("wishlins", expect=[("container/missing", "backend")], shows=[("http/status", "api")])
def backend_container_removed(lab: ComposeSystem) -> Iterator[None]:
    lab.sh(f"docker rm -f {lab.id('backend')}")
    lab.see_load()
    yield
    lab.recreate("backend")


@fault("wishlins", expect=[("container/restarting", "backend")], shows=[("http/status", "api")])
def backend_crash_loops(lab: ComposeSystem) -> Iterator[None]:
    """The command names a module that does not exist."""
    with lab.edited(lab.file, "wishlins_api:app", "wishlins_apy:app"):
        lab.recreate("backend")
        lab.wait(f"[ $(docker inspect -f '{{{{.RestartCount}}}}' {lab.id('backend')}) -ge 3 ]")
        lab.see_load()
        yield
    lab.recreate("backend")


@fault("wishlins", expect=[("container/oom-killed", "backend")], shows=[("http/status", "api")])
def backend_killed_for_memory(lab: ComposeSystem) -> Iterator[None]:
    """The limit is too low for the application: it is killed as often as it is started."""
    with lab.edited(lab.file, "mem_limit: 257m", "mem_limit: 24m"):
        lab.recreate("backend")
        lab.wait(f"[ $(docker inspect -f '{{{{.RestartCount}}}}' {lab.id('backend')}) -ge 2 ]")
        lab.see_load()
        yield
    lab.recreate("backend")


@fault("wishlins", "freemarket", "flurai", expect=[("container/oom-killed", "backend")], innocent=["http/*"])
def worker_killed_for_memory(lab: ComposeSystem) -> Iterator[None]:
    """A child of a living main process eats the container's memory and is killed."""
    lab.inside("backend", "python3 -c 'x = bytearray(600_000_000)'", check=False)
    yield
    lab.renew("backend")


@fault("wishlins", expect=[("container/memory-near-limit", "backend")], innocent=["http/*"])
def backend_has_nearly_used_up_its_memory(lab: ComposeSystem) -> Iterator[None]:
    lab.server.write("/etc/lab/hold.py", HOLD_MEMORY)
    one = lab.id("backend")
    lab.sh(f"docker cp /etc/lab/hold.py {one}:/hold.py; docker exec -d {one} python3 /hold.py; sleep 2")
    yield
    lab.renew("backend")


@fault("wishlins", expect=[("container/cpu-throttled", "backend")])
def backend_held_back_by_its_limit(lab: ComposeSystem) -> Iterator[None]:
    one = lab.id("backend")
    lab.sh(f"docker update --cpus 0.3 {one}; docker exec -d {one} sh -c 'while :; do :; done'; sleep 2")
    yield
    lab.renew("backend")


@fault("wishlins", expect=[("container/port-unpublished", "backend")], innocent=["http/*"])
def port_published_in_the_file_only(lab: ComposeSystem) -> Iterator[None]:
    """It was added to the compose file, and the container was never made anew."""
    with lab.edited(lab.file, "127.0.0.1:8000:8000", "127.0.0.1:8000:8000\n    - 127.0.0.1:9464:9464"):
        yield


@fault("wishlins", expect=[("container/unhealthy", "frontend")], innocent=["container/exited"])
def frontend_unhealthy(lab: ComposeSystem) -> Iterator[None]:
    """The frontend's own nginx serves errors."""
    broken = "events {} http { server { listen 80; return 500; } }"
    lab.inside("frontend", f"echo '{broken}' > /etc/nginx/nginx.conf; nginx -s reload")
    lab.wait_unwell("frontend")
    lab.see_load()
    yield
    lab.renew("frontend")


@fault(
    "wishlins",
    "freemarket",
    "flurai",
    expect=[("container/network-detached", "db")],
    shows=[(HANGS, "api")],
    hangs=True,
)
def database_detached_from_network(lab: ComposeSystem) -> Iterator[None]:
    lab.sh(f"docker network disconnect {lab.network} {lab.id('db')}")
    lab.see_load()
    yield
    lab.sh(f"docker network connect --alias postgres --alias db {lab.network} {lab.id('db')}")


@fault(*COMPOSE, expect=[("container/all-down", "host")], innocent=["docker/*", "http/*", "nginx/*"])
def everything_down(lab: ComposeSystem) -> Iterator[None]:
    lab.compose("stop", "-t", "2")
    lab.see_load()
    yield
    lab.compose("start")


@fault("wishlins", expect=[("container/image-drift", "backend")])
def backend_runs_another_image(lab: ComposeSystem) -> Iterator[None]:
    lab.sh(
        "printf 'FROM wishlins/backend:1.4\\nLABEL version=1.5\\n' | docker build -q -t wishlins/backend:1.5 -"  # noqa: E501
    )
    with lab.edited(lab.file, "backend:1.4", "backend:1.5"):
        yield


@fault("wishlins", expect=[("container/environment-drift", role) for role in ("db", "backend", "bot")])
def env_file_changed_without_restart(lab: ComposeSystem) -> Iterator[None]:
    with lab.edited(ENV, "api/v1/users", "api/v1/wishes/1"):
        yield


@fault("wishlins", expect=[("docker/daemon-down", "host")])
def docker_daemon_down(lab: ComposeSystem) -> Iterator[None]:
    lab.sh("systemctl stop docker.socket docker")
    lab.see_load()
    yield
    lab.sh("systemctl start docker")


@fault("wishlins", expect=[("docker/daemon-hung", "host")], innocent=["container/*"], hangs=True)
def docker_daemon_hung(lab: ComposeSystem) -> Iterator[None]:
    lab.sh("pkill -STOP -x dockerd")
    yield
    lab.sh("pkill -CONT -x dockerd")
