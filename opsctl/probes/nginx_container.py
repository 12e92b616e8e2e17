"""An nginx in a container, as far as rights allow: files through /proc/PID/root, the log from the engine."""

from __future__ import annotations

import itertools
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from opsctl.logs.stores import json_file_lines, stream_lines
from opsctl.logs.tail import NotAFile, read_tail
from opsctl.probes.nginx_process import children, title

if TYPE_CHECKING:
    from opsctl.probes.base import ProbeContext
    from opsctl.probes.docker_api import DockerApi

MAX_LINKS = 40
LOG_SECONDS = 600
LOG_LINES = 3000


@dataclass(frozen=True)
class Inside:
    """The running container of one nginx.

    Attributes:
        identity: the container's id.
        pid: nginx's master, as this machine counts; 0 where none is seen.
        root: the container's file system.
        log: Docker's own file with what nginx wrote to its outputs, None where there is none.
        terminal: its output is one stream without frames.
    """

    identity: str
    pid: int
    root: Path
    log: Path | None
    terminal: bool

    def path(self, name: str) -> Path:
        """Return where a file of the container lies as seen from here; its links stay inside."""
        return self.root / inner_path(self.root, name).lstrip("/")

    @property
    def config(self) -> str:
        """The configuration that nginx was started with, empty for the one it was built with."""
        words = title(self.pid).split()
        return next((after for word, after in itertools.pairwise(words) if word == "-c"), "")


def find(context: ProbeContext) -> Inside | None:
    """Return the running container of the service, the newest of several; None where none is seen."""
    from opsctl.probes.container_listing import own_containers
    from opsctl.probes.docker_api import ApiError, api, containers

    engine = api(context)
    try:
        running = [
            item
            for item in own_containers(context, context.service, containers(context))
            if item.get("State") == "running"
        ]
        if not running:
            return None
        newest = max(running, key=lambda item: int(item.get("Created") or 0))
        known = engine.inspect(str(newest.get("Id", "")))
    except ApiError:
        return None
    first = int((known.get("State") or {}).get("Pid") or 0)
    if not first:
        return None
    return Inside(
        identity=str(known.get("Id", "")),
        pid=_master(first),
        root=Path(f"/proc/{first}/root"),
        log=_log_file(known),
        terminal=bool((known.get("Config") or {}).get("Tty")),
    )


def read_log(inside: Inside, engine: DockerApi, most: int) -> tuple[str, float]:
    """Return the end of what nginx wrote to its outputs, and when the last line came.

    Raises:
        ApiError: the engine does not hand it out (another log driver).
    """
    lines = None
    if inside.log is not None:
        try:
            lines = list(json_file_lines(read_tail(inside.log, most, lambda _line, _read: False).data))
        except (OSError, NotAFile):
            lines = None
    if lines is None:
        query = {"stdout": 1, "stderr": 1, "timestamps": 1, "tail": LOG_LINES}
        query["since"] = int(time.time() - LOG_SECONDS)
        body = engine.get(f"/containers/{inside.identity}/logs", query, most)
        lines = list(stream_lines(body, inside.terminal))
    last = max((line.time for line in lines if line.time is not None), default=0.0)
    return "".join(f"{line.text}\n" for line in lines), last


def inner_path(root: Path, name: str) -> str:
    """Return a path of the container with its links followed inside the container, not here."""
    done = ""
    waiting = [part for part in name.split("/") if part]
    links = 0
    while waiting:
        part = waiting.pop(0)
        if part == "..":
            done = done.rpartition("/")[0]
            continue
        if part == ".":
            continue
        place = root / f"{done}/{part}".lstrip("/")
        try:
            target = str(place.readlink())
        except OSError:
            done = f"{done}/{part}"
            continue
        links += 1
        if links > MAX_LINKS:
            return name
        done = "" if target.startswith("/") else done
        waiting = [*(word for word in target.split("/") if word), *waiting]
    return done or "/"


def _master(first: int) -> int:
    """Return nginx's master: the container's first process or, below a starting script, a child of it."""
    return next((pid for pid in (first, *children(first)) if "nginx: master" in title(pid)), 0)


def _log_file(known: dict[str, Any]) -> Path | None:
    driver = ((known.get("HostConfig") or {}).get("LogConfig") or {}).get("Type")
    place = str(known.get("LogPath") or "")
    return Path(place) if driver == "json-file" and place else None
