"""Services that several of the Compose systems have: the same server, other names and folders."""

from __future__ import annotations

from typing import Any

from tests.lab.machine import INSIDE_APPS
from tests.lab.stacks.base import PYTHONPATH, ComposeSystem, System

UVICORN = "--host 0.0.0.0 --port 8000 --timeout-graceful-shutdown 1"
BOT_API = "http://telegram.lab:8081"
"""The Bot API server as containers reach it."""


def postgres(system: ComposeSystem, image: str, folder: str, *settings: str, **more: Any) -> dict[str, Any]:
    """Return a database that makes its cluster and `schema.sql` of the folder the first time."""
    options = [part for setting in ("shared_buffers=32MB", *settings) for part in ("-c", setting)]
    return system.service(
        image,
        command=["sh", f"{INSIDE_APPS}/postgres.sh", *options],
        volumes=["postgres_data:/var/lib/postgresql", f"{folder}/schema.sql:/schema.sql:ro"],
        healthcheck=system.healthcheck("pg_isready -q -h 127.0.0.1", "10s"),
        **more,
    )


def redis(system: ComposeSystem, image: str, *options: str) -> dict[str, Any]:
    """Return a Redis that the server itself can ask, and nobody outside."""
    return system.service(
        image,
        command=[
            "redis-server",
            *("--bind", "0.0.0.0", "--protected-mode", "no", "--dir", "/data"),
            *options,
        ],
        ports=["127.0.0.1:6379:6379"],
        volumes=["redis_data:/data"],
        healthcheck=system.healthcheck("redis-cli ping | grep -q PONG"),
    )


def backend(
    system: ComposeSystem,
    image: str,
    module: str,
    page: str = "/live",
    interval: str = "3s",
    **more: Any,
) -> dict[str, Any]:
    """Return a FastAPI application under uvicorn whose health check asks `page`."""
    ask = f"curl -sf -m 2 -o /dev/null http://127.0.0.1:8000{page}"
    return system.application(
        image,
        f"python3 -m uvicorn {module}:app {UVICORN}",
        healthcheck=system.healthcheck(ask, "10s", interval),
        **more,
    )


def bot(
    system: ComposeSystem, image: str, gateway: str, program: str = "bot.py", **more: Any
) -> dict[str, Any]:
    """Return a bot that polls the Bot API server of the lab."""
    return system.application(
        image,
        f"python3 {INSIDE_APPS}/{program}",
        depends_on=["backend"],
        extra_hosts=[f"telegram.lab:{gateway}"],
        **more,
    )


def nginx(system: ComposeSystem, image: str, site: str, *volumes: str, **more: Any) -> dict[str, Any]:
    """Return an nginx with one site file; its errors go to the container's log."""
    return system.service(
        image,
        command=["nginx", "-g", "daemon off; error_log /dev/stderr warn;"],
        volumes=[f"{site}:/etc/nginx/sites-enabled/default:ro", *volumes],
        **more,
    )


def network(subnet: str, gateway: str) -> dict[str, Any]:
    """Return the networks of a project whose addresses the firewall has to know."""
    return {"default": {"ipam": {"config": [{"subnet": subnet, "gateway": gateway}]}}}


def bot_api(system: System, token: str, name: str = "lab-telegram", port: int = 8081) -> None:
    """Install a Bot API server, a unit on the server itself."""
    system.server.unit(
        f"{name}.service",
        f"[Service]\nEnvironment=PYTHONPATH={PYTHONPATH} TELEGRAM_TOKENS={token}\n"
        f"ExecStart=python3 {INSIDE_APPS}/telegram.py {port}\n",
    )
