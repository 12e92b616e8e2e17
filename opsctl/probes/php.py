"""Looks at a PHP-FPM pool over its socket, and at the Laravel application's files and logs."""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from opsctl.envfile import parse_env
from opsctl.facts.base import Connection, FactProblem
from opsctl.facts.php import PhpFacts, StorageFolder
from opsctl.files import read_regular
from opsctl.logs.tail import NotAFile, read_tail
from opsctl.probes.connection import connection_state
from opsctl.probes.http_exchange import connect_any, lookup, split_address
from opsctl.probes.nginx_process import identity, may_access
from opsctl.probes.php_fastcgi import FastCgiError, ask, is_alive
from opsctl.probes.php_logs import WINDOW_SECONDS, fpm_errors, key_verdict, laravel_errors, status_values
from opsctl.stack.specs import PhpSpec

if TYPE_CHECKING:
    from opsctl.probes.base import ProbeContext

ANSWER_SECONDS = 1.5
MAX_LOG = 256 * 1024
MAX_LARAVEL_LOGS = 4
MAX_ENV = 256 * 1024
WRITABLE = (
    "storage/app",
    "storage/framework/cache",
    "storage/framework/sessions",
    "storage/framework/views",
    "storage/logs",
    "bootstrap/cache",
)
"""Folders that Laravel writes; those that an application lacks are left out, storage/logs aside."""


def probe(context: ProbeContext) -> PhpFacts:
    """Return the facts of one pool; one that does not answer is a fact as well."""
    spec = context.spec
    assert isinstance(spec, PhpSpec)
    look = _Look(context, spec)
    connection = look.pool()
    if spec.root:
        look.application(context.stack.path(spec.root))
    look.logs()
    return PhpFacts(
        up=connection.state == "ok" and look.values.get("answered") is not False,
        connection=connection,
        problems=look.problems,
        **look.values,
    )


class _Look:
    """One look, part by part; what a part could not see goes into `problems`."""

    def __init__(self, context: ProbeContext, spec: PhpSpec) -> None:
        self.context, self.spec = context, spec
        self.values: dict[str, Any] = {"address": spec.fpm}
        self.problems: list[FactProblem] = []
        self.account: tuple[int, tuple[int, ...]] | None = None

    def problem(self, part: str, code: str, message: str, hint: str = "") -> None:
        self.problems.append(FactProblem(part=part, code=code, message=message[:300], hint=hint))

    def pool(self) -> Connection:
        """Connect, find out who listens, then ask for the status page or a sign of life."""
        began = time.monotonic()
        seconds = min(self.context.left * 0.6, ANSWER_SECONDS)
        try:
            with _open(self.spec.fpm, seconds) as stream:
                self._listener(stream)
                self._ask(stream, seconds)
                self._workers()
        except OSError as error:
            return Connection(state=connection_state(error), detail=str(error)[:300], address=self.spec.fpm)
        return Connection(state="ok", address=self.spec.fpm, seconds=time.monotonic() - began)

    def _ask(self, stream: socket.socket, seconds: float) -> None:
        began = time.monotonic()
        try:
            if self.spec.status_path:
                answer = ask(stream, self.spec.status_path, "json", seconds)
                values = status_values(answer.body)
                if not values:
                    self.problem(
                        "status",
                        "refused",
                        f"{self.spec.status_path} is no status page (status {answer.status})",
                        "set pm.status_path in the pool to the same path",
                    )
                self.values |= values
            else:
                is_alive(stream, seconds)
                self.problem("status", "missing", "no status page is named", "add php.status_path")
        except TimeoutError:
            self.values["answered"] = False
        except FastCgiError as error:
            self.values["answered"] = False
            self.problem("status", "unsupported", str(error))
        else:
            self.values["answered"] = True
        self.values["waited_seconds"] = time.monotonic() - began

    def _listener(self, stream: socket.socket) -> None:
        """Remember the process behind a socket file."""
        if stream.family != socket.AF_UNIX:
            return
        packed = stream.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
        pid = struct.unpack("3i", packed)[0]
        if pid > 0 and _process_state(pid):
            self.values["master_pid"] = pid

    def _workers(self) -> None:
        """Remember whether the pool is stopped and its workers' account, once a request was sent."""
        pid = self.values.get("master_pid")
        if pid is None:
            return
        self.values["frozen"] = _process_state(pid) in ("T", "t")
        try:
            workers = Path(f"/proc/{pid}/task/{pid}/children").read_text("ascii").split()
        except OSError:
            workers = []
        for worker in workers:
            uid, groups = identity(int(worker))
            if uid is not None:
                self.account = (uid, groups)
                break

    def application(self, root: Path) -> None:
        """Look at the folders that must be writable, and at .env."""
        self.values["root"] = str(root)
        try:
            root.stat()
        except OSError as error:
            self.problem("application", "missing", f"{root}: {error.strerror}", "correct php.root")
            return
        self.values["storage"] = [
            self._folder(root / name) for name in WRITABLE if name == "storage/logs" or _there(root / name)
        ]
        self._environment(root / ".env")

    def _folder(self, path: Path) -> StorageFolder:
        try:
            info = os.statvfs(path)
        except FileNotFoundError:
            return StorageFolder(path=str(path), writable=False, reason="there is no such folder")
        except OSError as error:
            return StorageFolder(path=str(path), reason=error.strerror or str(error))
        if info.f_flag & os.ST_RDONLY:
            return StorageFolder(path=str(path), writable=False, reason="its file system is read-only")
        if info.f_blocks and info.f_bavail == 0:
            return StorageFolder(path=str(path), writable=False, reason="its file system is full")
        if self.account is None:
            return StorageFolder(path=str(path), reason="the pool's user is not known")
        reason = may_access(path, *self.account, wanted=3, who="the pool's user")
        return StorageFolder(path=str(path), writable=not reason, reason=reason)

    def _environment(self, path: Path) -> None:
        try:
            values = parse_env(read_regular(path, MAX_ENV).decode("utf-8", "replace"))
        except OSError as error:
            code = "permission" if isinstance(error, PermissionError) else "missing"
            hint = "run as root" if code == "permission" else "the application may get its values elsewhere"
            self.problem("environment", code, f"cannot read {path}: {error.strerror}", hint)
            return
        self.context.redactor.add_environment(values)
        key = values.get("APP_KEY", "")
        self.context.redactor.add(key)
        self.values |= {
            "app_key_set": bool(key),
            "app_key_valid": key_verdict(key) if key else None,
            "debug": values.get("APP_DEBUG", "").strip().lower() in ("true", "(true)", "1", "yes", "on"),
            "environment": values.get("APP_ENV", "production")[:40],
        }

    def logs(self) -> None:
        """Read the ends of Laravel's log and of PHP-FPM's."""
        now = time.time()
        errors = []
        if self.spec.root and self.problem_free("application"):
            for path in self._laravel_logs(self.context.stack.path(self.spec.root) / "storage/logs", now):
                end = self._tail(path, "laravel.log")
                if end is not None:
                    errors.append(laravel_errors(end[0], str(path), end[1], now))
        if self.spec.log:
            path = self.context.stack.path(self.spec.log)
            end = self._tail(path, "log")
            if end is not None:
                found, full_at = fpm_errors(end[0], str(path), end[1], now)
                errors.append(found)
                self.values["max_children_logged_at"] = full_at
        self.values["errors"] = errors

    def problem_free(self, part: str) -> bool:
        """Return whether a part could be looked at."""
        return all(problem.part != part for problem in self.problems)

    def _laravel_logs(self, folder: Path, now: float) -> list[Path]:
        """Return the newest of Laravel's logs, and the others that were written in the window as well.

        `single` writes laravel.log, `daily` one laravel-DATE.log a day; queue workers often have their own.
        """
        found: list[tuple[float, Path]] = []
        try:
            with os.scandir(folder) as entries:
                for entry in entries:
                    if entry.name.startswith("laravel") and entry.name.endswith(".log"):
                        with contextlib.suppress(FileNotFoundError):
                            found.append((entry.stat().st_mtime, Path(entry.path)))
        except OSError as error:
            code = "permission" if isinstance(error, PermissionError) else "missing"
            hint = "run as root" if code == "permission" else "correct php.root"
            self.problem("laravel.log", code, f"cannot read {folder}: {error.strerror}", hint)
            return []
        found.sort(reverse=True)
        return [
            path
            for number, (modified, path) in enumerate(found[:MAX_LARAVEL_LOGS])
            if number == 0 or modified >= now - WINDOW_SECONDS
        ]

    def _tail(self, path: Path, part: str) -> tuple[str, float] | None:
        try:
            end = read_tail(path, MAX_LOG, lambda _line, _read: False)
        except NotAFile as error:
            self.problem(part, "unsupported", str(error), "name a file")
        except FileNotFoundError:
            self.problem(part, "missing", f"there is no {path}", "correct php.log")
        except OSError as error:
            self.problem(part, "permission", f"cannot read {path}: {error.strerror}", "run as root")
        else:
            return end.data.decode("utf-8", "replace"), end.modified_at
        return None


def _there(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:
        return True


def _open(address: str, seconds: float) -> socket.socket:
    """Connect to a socket's path or host:port.

    Raises:
        OSError: it does not work.
    """
    if address.startswith(("/", "unix:")):
        stream = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            stream.settimeout(seconds)
            stream.connect(address.removeprefix("unix:"))
        except OSError:
            stream.close()
            raise
        return stream
    began = time.monotonic()
    host, port = split_address(address, 9000)
    return connect_any(lookup(host or "127.0.0.1", port, seconds), began + seconds)


def _process_state(pid: int) -> str:
    """Return a process's one-letter state, empty where it cannot be seen."""
    try:
        return Path(f"/proc/{pid}/stat").read_text("utf-8", "replace").rpartition(")")[2].split()[0]
    except (OSError, IndexError):
        return ""
