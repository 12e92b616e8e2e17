"""Looks at an nginx: does it answer, are its files right and loaded, do its upstreams, what its logs say.

The logs are read last, so that they hold what the other probes of the same run met.
"""

from __future__ import annotations

import contextlib
import glob
import os
import socket
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from opsctl.facts.base import Connection, FactProblem
from opsctl.facts.nginx import LogFile, NginxFacts, StaticPath, Upstream
from opsctl.files import read_regular
from opsctl.logs.tail import NotAFile, read_tail
from opsctl.probes import nginx_config, nginx_container, nginx_logs, nginx_process
from opsctl.probes.connection import connection_state
from opsctl.probes.http_exchange import USER_AGENT, Route, connect_any, exchange, lookup, split_address
from opsctl.probes.nginx_stranger import holder_of, is_nginx, stranger
from opsctl.stack.specs import NginxSpec

if TYPE_CHECKING:
    from opsctl.probes.base import ProbeContext

MAX_CONFIG_BYTES = 1024 * 1024
MAX_ERROR_LOG = 256 * 1024
MAX_ACCESS_LOG = 1024 * 1024
UPSTREAM_SECONDS = 0.3
MAX_UPSTREAMS = 20
LOADED_MARGIN_SECONDS = 0.5
DEFAULT_CONFIG = "/etc/nginx/nginx.conf"
OWN_AGENT = USER_AGENT.partition("/")[0]


def probe(context: ProbeContext) -> NginxFacts:
    """Return the facts of one nginx; one that does not answer is a fact as well."""
    return full_look(context)[1]


def full_look(context: ProbeContext) -> tuple[Look, NginxFacts]:
    """Look at all there is; return the look as well, for what it has read of the configuration."""
    spec = context.spec
    assert isinstance(spec, NginxSpec)
    look = Look(context, spec)
    look.read_config()
    look.processes()
    connection = look.answers()
    look.judge_config()
    if connection.state == "ok":
        look.status_page()
    look.upstreams()
    look.static()
    look.cache()
    look.log_files()
    look.read_logs()
    up = connection.state in ("ok", "name-unresolved", "no-permission")
    return look, NginxFacts(up=up, connection=connection, problems=look.problems, **look.values)


class Look:
    """One look, part by part; what a part could not see goes into `problems`."""

    def __init__(self, context: ProbeContext, spec: NginxSpec) -> None:
        self.context, self.spec = context, spec
        self.config = context.stack.path(spec.config)
        self.values: dict[str, Any] = {"listen": spec.listen, "config": str(self.config)}
        self.problems: list[FactProblem] = []
        self.directives: list[nginx_config.Directive] = []
        self.files: list[str] = []
        self.process: nginx_process.Process | None = None
        self.inside = bool(context.service.container)
        """It runs in a container: this machine's nginx, if there is one, is another."""
        self.container = nginx_container.find(context) if self.inside else None
        self.own_files = self.container is not None and spec.config == DEFAULT_CONFIG
        """Its configuration is read in the container: the stack file names none on this machine."""

    def problem(self, part: str, code: str, message: str, hint: str = "") -> None:
        """Note what a part could not see, and why."""
        self.problems.append(FactProblem(part=part, code=code, message=message[:300], hint=hint))

    def read_config(self) -> None:
        """Read the configuration with all that it includes."""
        if self.inside and self.spec.config == DEFAULT_CONFIG and not self.own_files:
            self.problem(
                "config",
                "missing",
                "nginx runs in a container and its configuration is not named as a file of this machine",
                "name the file that is mounted (nginx.config), or run as root",
            )
            return
        reason: dict[str, str] = {}

        def read(name: str) -> str | None:
            try:
                return read_regular(self.place(name), MAX_CONFIG_BYTES).decode("utf-8", "replace")
            except OSError as error:
                reason[name] = error.strerror or str(error)
                return None

        def expand(pattern: str) -> list[str]:
            return sorted(self.matching(pattern))[: nginx_config.MAX_FILES]

        if self.own_files and self.container is not None and self.container.config:
            self.config = Path(self.container.config)
            self.values["config"] = str(self.config)
        found = nginx_config.read_all(str(self.config), str(self.config.parent), read, expand)
        self.directives, self.files, unread = found
        if unread:
            self.problem(
                "config",
                "missing" if "No such" in reason.get(unread[0], "") else "permission",
                f"cannot read {unread[0]}: {reason.get(unread[0], '')}",
                "name the configuration's path on this machine (nginx.config), it may be inside the container"
                if self.inside
                else "run as root, or name the right file (nginx.config)",
            )

    def place(self, name: str) -> Path:
        """Return where a file of the configuration lies as seen from here."""
        return self.container.path(name) if self.own_files and self.container is not None else Path(name)

    def matching(self, pattern: str) -> list[str]:
        """Return the files that a pattern of the configuration means, under their names there."""
        if not self.own_files:
            return glob.glob(pattern)  # noqa: PTH207 - absolute patterns
        folder, _, last = pattern.rpartition("/")
        with contextlib.suppress(OSError):
            return [f"{folder}/{item.name}" for item in self.place(folder).glob(last)]
        return []

    def processes(self) -> None:
        """Find its master and workers."""
        if self.container is not None and self.container.pid and not self.spec.pid_file:
            self.process = nginx_process.of_master(self.container.pid)
            self.know_process()
            return
        if self.inside and not self.spec.pid_file:
            self.problem(
                "process",
                "missing",
                "nginx runs in a container and its pid file is not here",
                "name nginx.pid_file",
            )
            return
        named = self.spec.pid_file or nginx_config.first_value(self.directives, "pid") or "/run/nginx.pid"
        pid_file = self.context.stack.path(named)
        try:
            self.process = nginx_process.find(pid_file)
        except PermissionError:
            self.problem("process", "permission", f"cannot read {pid_file}", "run as root")
            return
        if self.process is None:
            self.problem(
                "process",
                "missing",
                f"no running nginx is named by {pid_file}",
                "name the pid file on this machine (nginx.pid_file)",
            )
            return
        self.know_process()

    def know_process(self) -> None:
        """Take in what its processes say."""
        if self.process is None:
            return
        self.values |= {
            "master_pid": self.process.pid,
            "workers": len(self.process.workers),
            "workers_started_at": self.process.oldest_worker_started_at,
        }

    def answers(self) -> Connection:
        """Ask for TRACE, which nginx turns away by itself, whatever its locations say."""
        host, port = split_address(self.spec.listen, 80)
        name = f"[{host}]" if ":" in host else host
        seconds = min(self.context.left * 0.4, 1.2)
        answer = exchange(f"http://{name or '127.0.0.1'}:{port}/", Route(), seconds, "TRACE")
        state = answer.connection.state
        if state in ("closed", "protocol") and nginx_config.speaks_proxy_protocol(self.directives):
            return Connection(state="ok", address=self.spec.listen, seconds=answer.seconds)
        detail = answer.connection.detail
        if state == "ok":
            server = answer.headers.get("server", "")[:80]
            holder = "" if is_nginx(server) else holder_of(self.context, host, port)
            who = stranger(server, holder, self.process is not None)
            if who:
                state, detail = "protocol", f"something else answers there: {who}"
                detail = self.context.redactor.text(detail)[:300]
        return Connection(state=state, detail=detail, address=self.spec.listen, seconds=answer.seconds)

    def judge_config(self) -> None:
        """Let nginx judge its files."""
        self.newest_file()
        if self.inside:
            self.problem(
                "config-test",
                "unsupported",
                "nginx runs in a container, where names and files are others than here",
                f"docker compose exec {self.context.service.container} nginx -t",
            )
            return
        prefix = nginx_process.prefix_of(self.process.title) if self.process else ""
        seconds = min(self.context.left * 0.5, 1.5)
        valid, words, hint = nginx_process.verdict(self.config, prefix, self.process is not None, seconds)
        self.values |= {"config_valid": valid, "config_error": words if valid is False else ""}
        if valid is None:
            self.problem("config-test", "permission", f"nginx -t: {words}", hint)

    def newest_file(self) -> None:
        """Find out which configuration file was changed last."""
        changed = [(_modified(self.place(name)), name) for name in self.files]
        newest = max(((at, name) for at, name in changed if at is not None), default=None)
        if newest is not None:
            self.values |= {"config_changed_at": newest[0], "config_changed_file": newest[1]}

    def status_page(self) -> None:
        """Read the stub_status page."""
        if self.directives:
            processors = len(os.sched_getaffinity(0))
            limit = nginx_config.connection_limit(self.directives, processors)
            self.values["connection_limit"] = limit
        if not self.spec.status_url:
            self.problem("status", "missing", "no stub_status page is named", "add nginx.status_url")
            return
        answer = exchange(self.spec.status_url, Route(), min(self.context.left * 0.4, 1.0))
        numbers = nginx_logs.status_page(answer.body.decode("utf-8", "replace"))
        if not numbers:
            said = answer.connection.detail or f"status code {answer.status}"
            self.problem(
                "status",
                "refused",
                f"{self.spec.status_url} is no stub_status page: {said}",
                "allow 127.0.0.1",
            )
        self.values |= numbers

    def upstreams(self) -> None:
        """Try to connect to each server that requests are passed to."""
        found: list[Upstream] = []
        for server in nginx_config.servers(self.directives)[:MAX_UPSTREAMS]:
            if self.context.left < 0.8:
                self.problem("upstreams", "timeout", "not every upstream could be tried in time")
                break
            # a container's names and loopback are its own, not this machine's
            state = "" if self.inside else _connect(server.address)
            tried = state not in ("", "name-unresolved", "no-permission")
            found.append(
                Upstream(
                    address=server.address,
                    group=server.group,
                    reachable=state == "ok" if tried else None,
                    state=state,
                )
            )
        self.values["upstreams"] = found

    def static(self) -> None:
        """Find out whether the files that are served are there and may be read."""
        process = self.process
        found: list[StaticPath] = []
        for name in self.spec.static[:100]:
            path = self.context.stack.path(name)
            try:
                path.stat()
            except FileNotFoundError:
                found.append(StaticPath(path=str(path), exists=False, reason="there is no such file"))
                continue
            except OSError as error:
                found.append(StaticPath(path=str(path), reason=error.strerror or str(error)))
                continue
            readable, reason = None, ""
            if process is not None and process.worker_uid is not None:
                wanted = 5 if path.is_dir() else 4
                reason = nginx_process.may_access(
                    path, process.worker_uid, process.worker_groups, wanted, "nginx's workers"
                )
                readable = not reason
            found.append(StaticPath(path=str(path), exists=True, readable=readable, reason=reason))
        self.values["static"] = found

    def cache(self) -> None:
        """Find out how full the file system of the cache is."""
        if not self.spec.cache_path:
            return
        path = self.context.stack.path(self.spec.cache_path)
        self.values["cache_path"] = str(path)
        try:
            info = os.statvfs(path)
        except OSError as error:
            self.problem("cache", "missing", f"{path}: {error.strerror}", "correct nginx.cache_path")
            return
        used = (info.f_blocks - info.f_bfree) * info.f_frsize
        free = info.f_bavail * info.f_frsize
        self.values |= {
            "cache_filesystem_used": used / max(used + free, 1),
            "cache_filesystem_free": free,
        }

    def log_path(self, kind: str) -> Path | None:
        """Return the log that the stack file names, else the first that the configuration names."""
        named = self.spec.access_log if kind == "access_log" else self.spec.error_log
        if not named and not self.inside:
            named = next(iter(nginx_config.log_paths(self.directives, kind)), "")
        return self.context.stack.path(named) if named else None

    def log_files(self) -> None:
        """Find out whether lines arrive in its logs."""
        wanted = [path for kind in ("access_log", "error_log") if (path := self.log_path(kind)) is not None]
        opened = nginx_process.open_files(self.process.pid) if self.process else None
        found: list[LogFile] = []
        for path in wanted:
            reason, known = _log_reason(path, opened)
            found.append(LogFile(path=str(path), writable=(not reason) if known else None, reason=reason))
        self.values["logs"] = found

    def read_logs(self) -> None:
        """Read the ends of its logs: the last minute."""
        at = time.time()
        text = self._tail("access_log", MAX_ACCESS_LOG)
        requests = None
        if text is not None:
            counted = nginx_logs.traffic(text[0], at, OWN_AGENT)
            if counted.unparsed and not counted.lines:
                self.problem(
                    "access_log",
                    "unsupported",
                    "the access log is not in the combined format",
                    "use combined",
                )
            else:
                requests = counted.lines
                self.values |= {
                    "window_seconds": round(counted.seconds, 3),
                    "window_requests": counted.requests,
                    "window_errors": counted.errors,
                    "window_limited": counted.limited,
                    "window_clients": counted.clients,
                    "newest_errors": counted.newest_errors,
                    "worst_path": counted.worst_path,
                }
        text = self._tail("error_log", MAX_ERROR_LOG)
        if text is not None:
            offset = nginx_logs.zone_offset(*text)
            if offset is None:
                offset = int(time.localtime(at).tm_gmtoff)
            lines = nginx_logs.without_gone(nginx_logs.error_lines(text[0], offset, at), self._gone)
            self.values["errors"] = nginx_logs.grouped(lines, requests)
            asked = _asked(self.context)
            self.values["refusals"] = nginx_logs.refusals(
                text[0], offset, at, lambda host, path: (without_port(host), path) in asked
            )

    def _gone(self, line: nginx_logs.ErrorLine) -> bool:
        """Return whether a line is of a worker that is no more, about a server that is in no file any more.

        The files tell what is in force only where all were read, and have been loaded since they changed.
        """
        process, changed = self.process, self.values.get("config_changed_at")
        if process is None or self.inside or changed is None or line.worker in process.workers:
            return False
        if any(problem.part in ("config", "process") for problem in self.problems):
            return False
        loaded = process.oldest_worker_started_at
        if loaded is None or changed > loaded + LOADED_MARGIN_SECONDS:
            return False
        return not nginx_config.may_pass_to(self.directives, line.upstream)

    def _of_container(
        self, kind: str, container: nginx_container.Inside, most: int
    ) -> tuple[str, float] | None:
        """Return the end of the container's log: it holds the requests and the errors of nginx's images."""
        from opsctl.probes.docker_api import ApiError, api

        try:
            return nginx_container.read_log(container, api(self.context), most)
        except ApiError as error:
            self.problem(kind, "missing", f"no {kind} is seen: {error}", f"add nginx.{kind}")
            return None

    def _tail(self, kind: str, most: int) -> tuple[str, float] | None:
        """Return the end of a log and when it was last written; None, with a problem, where unreadable."""
        path = self.log_path(kind)
        if path is None and self.container is not None:
            return self._of_container(kind, self.container, most)
        if path is None:
            self.problem(kind, "missing", f"no {kind} is known on this machine", f"add nginx.{kind}")
            return None
        try:
            end = read_tail(path, most, lambda _line, _read: False)
        except NotAFile as error:
            self.problem(kind, "unsupported", str(error), f"let nginx write a file and name it ({kind})")
            return None
        except OSError as error:
            code = "permission" if isinstance(error, PermissionError) else "missing"
            hint = "run as root or as a member of the group adm" if code == "permission" else ""
            self.problem(kind, code, f"cannot read {path}: {error.strerror}", hint)
            return None
        return end.data.decode("utf-8", "replace"), end.modified_at


def _asked(context: ProbeContext) -> set[tuple[str, str]]:
    """Return host and path of every page that the stack file asks for."""
    pages = [page for service in context.stack.spec.services.values() for page in service.http]
    return {
        (without_port(page.host) or urlsplit(page.url).hostname or "", urlsplit(page.url).path or "/")
        for page in pages
    }


def without_port(host: str) -> str:
    """Return a Host header's name. Pure."""
    return split_address(host, 80)[0].lower() if host else ""


def _modified(path: Path) -> float | None:
    try:
        return path.stat().st_mtime
    except OSError:
        return None


def _connect(address: str) -> str:
    """Return the state of one connection attempt to host:port or a socket's path."""
    try:
        if address.startswith("/"):
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as stream:
                stream.settimeout(UPSTREAM_SECONDS)
                stream.connect(address)
        else:
            found = lookup(*split_address(address, 80), UPSTREAM_SECONDS)
            connect_any(found, time.monotonic() + UPSTREAM_SECONDS).close()
    except OSError as error:
        return connection_state(error)
    return "ok"


def _log_reason(path: Path, opened: list[str] | None) -> tuple[str, bool]:
    """Return why lines do not arrive in a log (empty: they do), and whether that is known."""
    known = opened is not None
    if opened is not None and f"{path} (deleted)" in opened:
        return "it was deleted or moved away while nginx held it open; lines go nowhere", True
    folder = path if path.exists() else path.parent
    with contextlib.suppress(OSError):
        info = os.statvfs(folder)
        if info.f_flag & os.ST_RDONLY:
            return "its file system is read-only", True
        if info.f_blocks and info.f_bavail == 0:
            return "its file system is full", True
    return "", known
