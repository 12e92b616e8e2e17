"""A log as the exporter shows it: counts since it is followed, and its last ten minutes, kept for a while.

The window is looked at anew soon where errors are in it or have come, and rarely where all is quiet.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from opsctl.logs.following import Following
from opsctl.probes.logs import MAX_CONTAINERS, newest, window
from opsctl.stack.specs import LogSpec

if TYPE_CHECKING:
    from collections.abc import Callable

    from opsctl.facts.logs import LogsFacts
    from opsctl.logs.followed import Followed, FollowedLog
    from opsctl.probes.base import ProbeContext
    from opsctl.stack.stack import Stack

QUIET_SECONDS, TROUBLED_SECONDS = 60.0, 10.0
"""How long the window is kept without errors, and with some."""
CONTAINERS_SECONDS = 15.0
"""How often it is looked for new containers."""
MOST_STREAM_BYTES = 4 * 1024 * 1024
ENGINE_SECONDS = 2.0


def probe_metrics(context: ProbeContext) -> LogsFacts:
    """Return the window, which may be some seconds old, and what was counted up to now.

    Raises:
        ProbeError: as the probe itself.
    """
    spec = context.spec
    assert isinstance(spec, LogSpec)
    kept: dict[str, Any] = context.options.get("kept", {})
    following = context.options.get("following")
    totals = None
    if isinstance(following, Following):
        following.watch()
        followed = following.log(context.target.id, spec.format)
        follow(context, spec, followed, kept)
        totals = followed.totals()
    errors = sum(totals.errors.values()) if totals else None
    known: tuple[float, int | None, LogsFacts] | None = kept.get("window")
    if known is None or _is_old(context, spec, known, errors):
        known = kept["window"] = (time.monotonic(), errors, window(context, spec, again=False))
    return msgspec.structs.replace(known[2], totals=totals)


def _is_old(
    context: ProbeContext, spec: LogSpec, known: tuple[float, int | None, LogsFacts], errors: int | None
) -> bool:
    at, then, facts = known
    if spec.path and newest(context.stack.path(spec.path)).exists() != facts.up:
        return True
    troubled = errors is None or errors != then or any((facts.errors or {}).values())
    return time.monotonic() - at >= (TROUBLED_SECONDS if troubled else QUIET_SECONDS)


def follow_file(followed: FollowedLog, spec: LogSpec, stack: Stack, begin: bool = True) -> None:
    """Follow the file of a log that is one; `begin` opens it here and now."""
    path = stack.path(spec.path)
    followed.follow_file(str(path), lambda: newest(path), begin=begin)


def follow(context: ProbeContext, spec: LogSpec, followed: FollowedLog, kept: dict[str, Any]) -> None:
    """Follow what the log consists of now."""
    if spec.path:
        follow_file(followed, spec, context.stack)
    elif context.service.unit:
        followed.follow_journal(context.service.unit)
    elif context.service.container and time.monotonic() - kept.get("containers", -1e9) > CONTAINERS_SECONDS:
        kept["containers"] = time.monotonic()
        _follow_containers(context, followed)


def _follow_containers(context: ProbeContext, followed: FollowedLog) -> None:
    from opsctl.probes.container_listing import own_containers
    from opsctl.probes.docker_api import ApiError, api, containers

    engine = api(context)
    try:
        own = own_containers(context, context.service, containers(context))
        found = sorted(own, key=lambda item: -int(item.get("Created") or 0))[:MAX_CONTAINERS]
        for item in found:
            identity = str(item.get("Id", ""))
            if not followed.followed(identity):
                created = float(item.get("Created") or 0)
                follow_container(followed, engine.endpoint, engine.inspect(identity), created)
        followed.keep_containers({str(item.get("Id", "")) for item in found})
    except ApiError:  # the window says why
        return


def follow_container(followed: Followed, endpoint: str, inspected: dict[str, Any], created_at: float) -> None:
    """Follow a container: the engine's own file where it may be read, else what the engine hands out."""
    identity = str(inspected.get("Id", ""))
    config = (inspected.get("HostConfig") or {}).get("LogConfig") or {}
    place = str(inspected.get("LogPath") or "") if config.get("Type") == "json-file" else ""
    readable = Path(place) if place and os.access(place, os.R_OK) else None
    terminal = bool((inspected.get("Config") or {}).get("Tty"))
    followed.follow_container(identity, created_at, readable, stream_of(endpoint, identity), terminal)


def stream_of(endpoint: str, identity: str) -> Callable[[str], bytes]:
    """Return what asks an engine for a container's log since a time."""
    from opsctl.probes.docker_api import DockerApi

    def ask(since: str) -> bytes:
        query = {"stdout": 1, "stderr": 1, "timestamps": 1, "since": since}
        engine = DockerApi(endpoint, time.monotonic() + ENGINE_SECONDS)
        return engine.get(f"/containers/{identity}/logs", query, MOST_STREAM_BYTES)

    return ask
