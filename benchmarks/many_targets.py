"""200 targets against 20, of every kind that a service can have, on real servers and a real engine."""

from __future__ import annotations

import contextlib
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from benchmarks.timing import alternating, median_ratio, milliseconds, seconds
from opsctl.stack import reader
from opsctl.stack.targets import assignments
from tests.servers.certificates import Authority, TlsServer
from tests.servers.docker import Project, running_engine, unavailable
from tests.servers.php import PhpServer
from tests.servers.small_stack import DATABASE_PASSWORD, SmallStack
from tests.servers.telegram import TOKEN, FakeBotApi

if TYPE_CHECKING:
    from collections.abc import Iterator

OPSCTL = str(Path(sys.executable).with_name("opsctl"))
LIMIT = 3.0
FEW, MANY = 20, 200
SERVICE_KINDS = 11


def _service(number: int, parts: dict[str, Any], kinds: int) -> dict[str, Any]:
    """Return one service with its first `kinds` kinds of target."""
    small: SmallStack = parts["small"]
    keys: list[tuple[str, Any]] = [
        ("postgres", {"dsn": small.postgres.dsn, "password_env": "DB_PASSWORD"}),
        ("redis", small.redis.url),
        ("http", small.api.url("/health")),
        ("nginx", small.spec()["services"]["nginx"]["nginx"]),
        ("logs", {"path": str(small.api.log), "format": "uvicorn"}),
        ("env", str(parts["env"])),
        ("data", {"name": "ones", "query": "select 1", "warning": 5}),
        ("tls", {"name": "localhost", "connect": parts["tls"], "ca_file": str(parts["ca"])}),
        ("telegram", {"token_env": "BOT_TOKEN", "api_url": parts["telegram"]}),
        ("php", {"fpm": str(parts["php"])}),
        ("container", f"box{number}"),
    ]
    return dict(keys[:kinds])


def _stack_file(count: int, parts: dict[str, Any]) -> Path:
    """Write a stack of exactly `count` targets and return its path."""
    left, services = count - 2, {}  # the machine and the engine are one target each
    while left > 0:
        services[f"s{len(services)}"] = _service(len(services), parts, min(SERVICE_KINDS, left))
        left -= SERVICE_KINDS
    spec = {
        "name": f"t{count}",
        "compose": {"project": parts["project"], "docker_host": parts["docker"]},
        "services": services,
    }
    path = Path(parts["folder"]) / f"t{count}.yml"
    path.write_text(yaml.safe_dump(spec))
    found = len(assignments(reader.load(path)))
    if found != count:
        raise RuntimeError(f"{path} has {found} targets, not {count}")
    return path


@contextlib.contextmanager
def _parts() -> Iterator[dict[str, Any]]:
    """Start one real server of every kind, and as many containers as there are services."""
    boxes = -(-(MANY - 2) // SERVICE_KINDS)
    box = {"command": "sleep 3600", "init": True}
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="opsctl-many-")))
        small = stack.enter_context(SmallStack("many"))
        small.postgres.configure(max_connections="200")
        small.postgres.restart()
        authority = Authority(folder)
        tls = stack.enter_context(TlsServer(authority.good()))
        bot = stack.enter_context(FakeBotApi())
        php = stack.enter_context(PhpServer())
        engine = stack.enter_context(running_engine())
        project = stack.enter_context(Project(engine, {f"box{number}": box for number in range(boxes)}))
        project.up()
        env = folder / ".env"
        env.write_text(f"DB_PASSWORD={DATABASE_PASSWORD}\nBOT_TOKEN={TOKEN}\n")
        yield {
            "small": small,
            "folder": folder,
            "env": env,
            "tls": tls.address,
            "ca": authority.file,
            "telegram": bot.url,
            "php": php.socket,
            "docker": engine.host,
            "project": project.name,
        }


def run(runs: int = 5) -> list[tuple[str, str, str, bool]]:
    """Return rows (what, figures, ratio, within the limit)."""
    reason = unavailable()
    if reason:
        raise SystemExit(f"many_targets needs a Docker engine: {reason}")
    with _parts() as parts:
        few_file, many_file = _stack_file(FEW, parts), _stack_file(MANY, parts)
        many, few = alternating(
            runs,
            lambda: seconds([OPSCTL, "diagnose", "--stack", str(many_file)]),
            lambda: seconds([OPSCTL, "diagnose", "--stack", str(few_file)]),
        )
    ratio = median_ratio(many, few)
    return [
        (
            f"diagnose with {MANY} targets / with {FEW}",
            f"{milliseconds(many)} / {milliseconds(few)}",
            f"{ratio:.1f} × (≤ {LIMIT:g})",
            ratio <= LIMIT,
        )
    ]
