"""Reads the end of a log: a file, a unit's journal, or the logs of a service's containers.

Never more than `MAX_BYTES`, from the end backwards: a log of a gigabyte costs what one of two
megabytes costs.
"""

from __future__ import annotations

import itertools
import time
from typing import TYPE_CHECKING, Any

from opsctl import system
from opsctl.facts.logs import LogsFacts
from opsctl.logs import times
from opsctl.logs.analysis import HISTORY_SECONDS, WINDOW_SECONDS, Analysis
from opsctl.logs.formats import READERS
from opsctl.logs.stores import file_lines, journal_lines, json_file_lines, stream_lines
from opsctl.logs.tail import NotAFile, Tail, read_further, read_tail
from opsctl.probes.base import ProbeError
from opsctl.stack.specs import LogSpec

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from opsctl.facts.logs import LogTemplate
    from opsctl.logs.entries import Line
    from opsctl.probes.base import ProbeContext
    from opsctl.probes.docker_api import DockerApi

MAX_BYTES = 2 * 1024 * 1024
HISTORY_BYTES = 256 * 1024
"""What was read of the hour before the window is enough at this size: history only tells what is new."""
JOURNAL_ENTRIES = 5000
CONTAINER_LINES = 3000
MAX_CONTAINERS = 8
SECOND_LOOK_SECONDS = 1.0
"""A log whose lines have no time is watched for so long where it ends in errors."""
GROWTH_BYTES = 256 * 1024
NEAR_THE_END = 50
"""Errors with more ordinary entries behind them are not worth a second look."""


def probe(context: ProbeContext) -> LogsFacts:
    """Return the facts of one log; `up` is False where its file does not exist.

    Raises:
        ProbeError: it may not be read, or what keeps it does not answer.
    """
    spec = context.spec
    assert isinstance(spec, LogSpec)
    return window(context, spec)


def window(context: ProbeContext, spec: LogSpec, *, again: bool = True) -> LogsFacts:
    """Return what the log's last ten minutes hold.

    Args:
        context: the target.
        spec: the log.
        again: whether a log without times that ends in errors is looked at a second time, a second later.

    Raises:
        ProbeError: as `probe`.
    """
    reader = _Reader(context, spec, again)
    if spec.path:
        return reader.file()
    if context.service.unit:
        return reader.journal(context.service.unit)
    if context.service.container:
        return reader.containers(context.service.container)
    raise ProbeError(
        "unsupported",
        f"{context.target.service} has no container, no unit and no path to read a log from",
        "name a `path:` under `logs:` in the stack file",
    )


class _Reader:
    def __init__(self, context: ProbeContext, spec: LogSpec, again: bool) -> None:
        self.context, self.spec, self.again = context, spec, again
        self.now = time.time()
        self.bytes_read = 0
        self.truncated = False
        self.analysis = Analysis(spec.format, self.now, context.redactor.text)

    def facts(self, source: str, command: str, **more: Any) -> LogsFacts:
        values = self.analysis.values() | more
        covered = values["covered_seconds"]
        if covered is not None and covered >= WINDOW_SECONDS:
            self.truncated = False
        return LogsFacts(
            source=source[:300],
            command=command[:300],
            format=self.spec.format,
            window_seconds=WINDOW_SECONDS,
            silent_after_seconds=self.spec.silent_after,
            bytes_read=self.bytes_read,
            truncated=self.truncated,
            **values,
        )

    def file(self) -> LogsFacts:
        path = newest(self.context.stack.path(self.spec.path))
        command = f"tail -n 200 {path}"
        try:
            tail = self.tail(path, READERS[self.spec.format])
        except (FileNotFoundError, NotADirectoryError):
            return self._absent(path)
        before: list[Tail] = []
        first = next(iter(self._times(tail.data)), None)
        if tail.complete and (first is None or first > self.now - HISTORY_SECONDS):
            before = self.rotated(path, READERS[self.spec.format])
        self._analyse(before, tail)
        if self.again and self._undated_errors():
            tail = self._look_again(path, tail)
            self.analysis = Analysis(self.spec.format, self.now, self.context.redactor.text)
            self._analyse(before, tail)
        last = self.analysis.values()["last_entry_at"]
        return self.facts(
            str(path),
            command,
            size_bytes=tail.size,
            last_entry_at=tail.modified_at if tail.size and last is None else last,
        )

    def _analyse(self, before: list[Tail], tail: Tail) -> None:
        """Take in a file's end, and that of the one before it, as the one log that they are."""
        lines = (line for each in before for line in file_lines(each.data))
        fresh = file_lines(tail.data, tail.known, self.now)
        self.analysis.add(itertools.chain(lines, fresh), tail.modified_at)

    def _undated_errors(self) -> bool:
        """Return whether the file's last entries are errors of which nobody knows whether they are of now."""
        found: list[LogTemplate] = self.analysis.values()["templates"]
        return any(item.undated and (item.ordinary_since or 0) < NEAR_THE_END for item in found)

    def _look_again(self, path: Path, tail: Tail) -> Tail:
        """Return the file's end with what is written in the next second: that alone is surely of now."""
        if self.context.left < 2 * SECOND_LOOK_SECONDS:
            return tail
        time.sleep(SECOND_LOOK_SECONDS)
        try:
            longer = read_further(path, tail, GROWTH_BYTES)
        except OSError:
            return tail
        self.now = time.time()
        self.bytes_read += longer.read - tail.read
        return longer

    def _absent(self, path: Path) -> LogsFacts:
        """A log that is not there: Laravel makes its own with the first entry, others should have one."""
        if self.spec.format == "laravel" and path.parent.is_dir():
            return self.facts(str(path), f"ls -l {path.parent}", last_entry_at=None)
        return LogsFacts(
            up=False,
            source=str(path)[:300],
            command=f"ls -l {path.parent}"[:300],
            format=self.spec.format,
            silent_after_seconds=self.spec.silent_after,
            taken_at=self.now,
        )

    def tail(self, path: Path, head: Callable[[str], Any]) -> Tail:
        """Read a file's end.

        Raises:
            ProbeError: no permission, or not a file.
            FileNotFoundError: it is not there.
        """
        since, long_since = self.now - WINDOW_SECONDS, self.now - HISTORY_SECONDS

        def enough(line: bytes, read: int) -> bool:
            found = head(line.decode("utf-8", "replace"))
            if found is None or found.time is None:
                return False
            at = found.time if not found.naive else found.time - min(times.local_offset(), 0)
            return bool(at < long_since or (at < since and read >= HISTORY_BYTES))

        try:
            found = read_tail(path, MAX_BYTES - self.bytes_read, enough)
        except PermissionError:
            raise ProbeError(
                "permission", f"no permission to read {path}", "run as root or join the group adm"
            ) from None
        except NotAFile as error:
            raise ProbeError("unsupported", str(error), "name a regular file") from None
        except (FileNotFoundError, NotADirectoryError):
            raise
        except OSError as error:
            raise ProbeError("unsupported", f"cannot read {path}: {error.strerror}") from None
        self.bytes_read += found.read
        self.truncated = self.truncated or not found.complete
        return found

    def rotated(self, path: Path, head: Callable[[str], Any]) -> list[Tail]:
        """Return the end of FILE.1 where it was still written to in the time that matters."""
        before = path.with_name(f"{path.name}.1")
        try:
            if before.stat().st_mtime < self.now - HISTORY_SECONDS or self.bytes_read >= MAX_BYTES:
                return []
            return [self.tail(before, head)]
        except (OSError, ProbeError):
            return []

    def _times(self, data: bytes) -> Iterable[float]:
        head = READERS[self.spec.format]
        for line in data[: 64 * 1024].split(b"\n"):
            found = head(line.decode("utf-8", "replace"))
            if found is not None and found.time is not None:
                yield found.time

    def journal(self, unit: str) -> LogsFacts:
        since = int(self.now - HISTORY_SECONDS)
        argv = [
            "journalctl", "-u", unit, "-o", "json", "--reverse", "--no-pager", "-n", str(JOURNAL_ENTRIES),
            f"--since=@{since}", "--output-fields=MESSAGE,PRIORITY,SYSLOG_IDENTIFIER",
        ]  # fmt: skip
        result = system.run(argv, self.context.left * 0.9)
        words = result.stderr.strip().lower()
        if result.missing:
            raise ProbeError("missing", "journalctl is not installed", "name a `path:` under `logs:`")
        if "insufficient permissions" in words or "not seeing messages" in words:
            raise ProbeError(
                "permission",
                f"no permission to read the journal of {unit}",
                "run as root or join the group systemd-journal",
            )
        if result.timed_out:
            raise ProbeError("timeout", f"the journal of {unit} could not be read in time")
        if "no journal files were found" in words or not (result.ok or result.stdout):
            reason = words.splitlines()[0] if words else f"exit status {result.code}"
            raise ProbeError("missing", f"the journal of {unit}: {reason}"[:300], "is journald running here?")
        self.bytes_read = len(result.stdout)
        lines = journal_lines(result.stdout)
        self.truncated = len(lines) >= JOURNAL_ENTRIES
        self.analysis.add(lines)
        return self.facts(f"journal of {unit}", f"journalctl -u {unit} --since=-10min")

    def containers(self, service: str) -> LogsFacts:
        from opsctl.probes.container_listing import own_containers
        from opsctl.probes.docker_api import ApiError, api, cannot_look, containers

        engine = api(self.context)
        try:
            own = own_containers(self.context, self.context.service, containers(self.context))
            found = sorted(own, key=lambda item: -int(item.get("Created") or 0))
            if not found:
                raise ProbeError("missing", f"no container of {service} has a log", parent="container")
            for item in found[:MAX_CONTAINERS]:
                self.analysis.add(self._container(engine, str(item.get("Id", ""))))
        except ApiError as error:
            raise cannot_look(error, engine.endpoint) from None
        return self.facts(
            f"{len(found)} container(s) of {service}", f"docker compose logs --since 10m {service}"
        )

    def _container(self, engine: DockerApi, identity: str) -> list[Line]:
        """Read the json-file itself where that is allowed: the engine would read it from its beginning."""
        from pathlib import Path

        inspected = engine.inspect(identity)
        config = (inspected.get("HostConfig") or {}).get("LogConfig") or {}
        place = str(inspected.get("LogPath") or "")
        if config.get("Type") == "json-file" and place:
            try:
                tail = self.tail(Path(place), _json_file_head)
                before = self.rotated(Path(place), _json_file_head) if tail.complete else []
                return [line for each in (*before, tail) for line in json_file_lines(each.data)]
            except (OSError, ProbeError):
                pass
        query = {"stdout": 1, "stderr": 1, "timestamps": 1, "tail": CONTAINER_LINES}
        query["since"] = int(self.now - HISTORY_SECONDS)
        body = engine.get(f"/containers/{identity}/logs", query, MAX_BYTES)
        self.bytes_read += len(body)
        lines = list(stream_lines(body, bool((inspected.get("Config") or {}).get("Tty"))))
        self.truncated = self.truncated or len(lines) >= CONTAINER_LINES
        return lines


def newest(path: Path) -> Path:
    """Return the file that was written last where the path has wildcards (laravel-*.log)."""
    if not any(mark in path.name for mark in "*?["):
        return path
    try:
        found = [(item.stat().st_mtime, item) for item in path.parent.glob(path.name)]
    except OSError:
        return path
    return max(found, default=(0.0, path))[1]


class _At:
    """A time, in the shape of a head."""

    naive = False

    def __init__(self, time: float) -> None:
        self.time = time


def _json_file_head(line: str) -> _At | None:
    at = line.rfind('"time":"')
    moment = times.parse(line[at + 8 : at + 43].partition('"')[0]) if at >= 0 else None
    return _At(moment.seconds) if moment else None
