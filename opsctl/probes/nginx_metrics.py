"""An nginx as the exporter shows it: status page and traffic of now, and a full look kept for a while.

The full look (configuration, `nginx -t`, upstreams, the ends of the logs) is done anew when a file of
the configuration changes, each minute, and more often while something is wrong.
"""

from __future__ import annotations

import contextlib
import functools
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from opsctl.logs.access_formats import guessing, of_configuration
from opsctl.logs.following import Following
from opsctl.probes import nginx_logs
from opsctl.probes.kept_http import KeptHttp
from opsctl.stack.specs import NginxSpec

if TYPE_CHECKING:
    from opsctl.facts.nginx import NginxFacts
    from opsctl.facts.nginx_traffic import NginxTraffic
    from opsctl.logs.followed import FollowedNginx
    from opsctl.probes.base import ProbeContext
    from opsctl.probes.nginx import Look

QUIET_SECONDS, TROUBLED_SECONDS = 60.0, 10.0
"""How long a full look is kept without a fault in sight, and with one."""
LEAST_SECONDS = 2.0
"""Between two full looks, whatever happens."""
STATUS_SECONDS = 1.0
WATCH_SECONDS = 1.0
"""At least this long between two looks at whether a file has changed."""
MOST_LOGS = 8
Signature = tuple[tuple[int, int] | None, ...]


@dataclass
class _Kept:
    """What is kept between looks."""

    facts: NginxFacts
    at: float
    watched: list[Path]
    signature: Signature
    server_errors: int
    status: KeptHttp | None
    watched_at: float = 0.0
    """When it was last seen whether a file has changed (monotonic seconds)."""

    def changed(self) -> bool:
        """Return whether a file has changed; looked for at most once in `WATCH_SECONDS`."""
        now = time.monotonic()
        if now - self.watched_at < WATCH_SECONDS:
            return False
        self.watched_at = now
        return _signature(self.watched) != self.signature


def probe_metrics(context: ProbeContext) -> NginxFacts:
    """Return the facts of one nginx; one that does not answer is a fact as well."""
    spec = context.spec
    assert isinstance(spec, NginxSpec)
    options: dict[str, Any] = context.options.get("kept", {})
    kept: _Kept | None = options.get("nginx")
    following = context.options.get("following")
    followed = following.nginx(context.target.id) if isinstance(following, Following) else None
    traffic = followed.traffic() if followed is not None else None
    if isinstance(following, Following):
        following.watch()
    facts: NginxFacts | None = None
    if kept is not None and not _is_old(kept, traffic):
        facts = _now(context, spec, kept, traffic)
        if facts.up != kept.facts.up and time.monotonic() - kept.at >= LEAST_SECONDS:
            facts = None  # what else was kept is no longer so
    if facts is None:
        kept = options["nginx"] = _full(context, spec, kept, followed, options)
        facts = msgspec.structs.replace(kept.facts, traffic=traffic)
        kept.server_errors = _server_errors(traffic)
        options["ahead"] = functools.partial(_ask_ahead, kept)
    return facts


def _ask_ahead(kept: _Kept, seconds: float) -> None:
    """Send the question of a look of so many seconds: nginx answers while the look begins."""
    if kept.status is not None and time.monotonic() - kept.at < QUIET_SECONDS:
        kept.status.ask_ahead(_status_seconds(seconds))


def _full(
    context: ProbeContext,
    spec: NginxSpec,
    before: _Kept | None,
    followed: FollowedNginx | None,
    options: dict[str, Any],
) -> _Kept:
    """Look at all there is, and follow the access logs that the configuration names now."""
    from opsctl.probes.nginx import full_look

    look, facts = full_look(context)
    if followed is not None:
        _follow(context, spec, look, followed, options)
    watched = [look.place(name) for name in look.files] or [look.config]
    error_log = look.log_path("error_log")
    watched += [error_log] if error_log is not None else []
    status = before.status if before is not None else None
    if status is None and spec.status_url.startswith("http://"):
        with contextlib.suppress(ValueError):  # the full look says what is wrong with it
            status = KeptHttp(spec.status_url)
    return _Kept(facts, time.monotonic(), watched, _signature(watched), 0, status)


def _signature(paths: list[Path]) -> Signature:
    """Return what changes when one of the files does."""
    found: list[tuple[int, int] | None] = []
    for path in paths:
        try:
            status = os.stat(path)  # noqa: PTH116 - at every scrape
            found.append((status.st_mtime_ns, status.st_size))
        except OSError:
            found.append(None)
    return tuple(found)


def _is_old(kept: _Kept, traffic: NginxTraffic | None) -> bool:
    age = time.monotonic() - kept.at
    if age >= QUIET_SECONDS:
        return True
    if age < TROUBLED_SECONDS:
        return False
    facts = kept.facts
    return (
        facts.connection.state != "ok"
        or bool(facts.errors or facts.refusals or facts.window_errors or facts.window_limited)
        or facts.config_valid is False
        or any(item.reachable is False for item in facts.upstreams)
        or any(item.writable is False for item in facts.logs)
        or _server_errors(traffic) != kept.server_errors
        or kept.changed()
    )


def _server_errors(traffic: NginxTraffic | None) -> int:
    if traffic is None:
        return 0
    return sum(item.count for item in traffic.requests if item.status[0] == "5")


def _status_seconds(left: float) -> float:
    return min(left * 0.4, STATUS_SECONDS)


def _now(context: ProbeContext, spec: NginxSpec, kept: _Kept, traffic: NginxTraffic | None) -> NginxFacts:
    """Return the kept facts with what the status page, or else nginx at its door, says now."""
    facts = kept.facts
    if kept.status is not None:
        connection, _, body = kept.status.ask(_status_seconds(context.left))
        numbers = nginx_logs.status_page(body.decode("utf-8", "replace")) if connection.state == "ok" else {}
        if numbers and facts.up:
            problems = [item for item in facts.problems if item.part != "status"]
            return msgspec.structs.replace(facts, problems=problems, traffic=traffic, **numbers)
    from opsctl.probes.nginx import Look

    look = Look(context, spec)
    connection = look.answers()
    up = connection.state in ("ok", "name-unresolved", "no-permission")
    nothing: dict[str, Any] = {
        "connections_active": None,
        "connections_accepted": None,
        "connections_handled": None,
        "connections_reading": None,
        "connections_writing": None,
        "connections_waiting": None,
        "requests": None,
    }
    return msgspec.structs.replace(facts, up=up, connection=connection, traffic=traffic, **nothing)


def _follow(
    context: ProbeContext, spec: NginxSpec, look: Look, followed: FollowedNginx, options: dict[str, Any]
) -> None:
    """Follow the access logs that are named, or that the configuration names, or the container's output."""
    formats, files = of_configuration(look.directives)
    if spec.access_log:
        path = context.stack.path(spec.access_log)
        # the file may lie under another name in the container that writes it
        known = formats.get(str(path)) or formats.get(spec.access_log)
        same_name = [item for name, item in formats.items() if Path(name).name == path.name]
        followed.formats[str(path)] = known or (same_name[0] if same_name else guessing())
        followed.follow_file(str(path), lambda: path)
        return
    if look.container is not None:
        from opsctl.probes.docker_api import ApiError, api
        from opsctl.probes.logs_metrics import follow_container

        identity = look.container.identity
        followed.formats[""] = next(iter(formats.values()), guessing())
        if not followed.followed(identity):
            engine = api(context)
            # a container that took the place of another is read from its beginning
            created = time.time() if options.get("container") else 0.0
            try:
                follow_container(followed, engine.endpoint, engine.inspect(identity), created)
            except ApiError:
                return
            options["container"] = identity
            followed.keep_containers({identity})
        return
    if look.inside:
        return
    for name in files[:MOST_LOGS]:
        followed.formats[name] = formats[name]
        followed.follow_file(name, _fixed(Path(name)))


def _fixed(path: Path) -> Any:
    return lambda: path
