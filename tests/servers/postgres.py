"""A PostgreSQL of one's own: a fresh cluster in a private folder, on a free loopback port.

    with PostgresServer() as server:
        server.sql("create table users (id int)", server.database)
        stack = {"name": "shop", "services": {"db": server.stack_spec()}}

Durability is off; the cluster is thrown away with its folder.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.servers.base import Server, free_port, unprivileged_user, wait_until

if TYPE_CHECKING:
    import psycopg

SUPERUSER = "postgres"
BASE_SETTINGS = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "shared_buffers": "16MB",
    "max_connections": "40",
    "max_wal_senders": "5",
    "wal_level": "replica",
    "timezone": "UTC",
    "lc_messages": "C",
    "log_line_prefix": "%m [%p] %q%u@%d ",
}


def binary(name: str, folder: Path | None = None) -> str:
    """Return the path of a PostgreSQL program: in `folder`, else of the newest version installed here.

    Raises:
        RuntimeError: none is installed.
    """
    if folder is not None:
        return str(folder / name)
    versions = sorted(
        Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), key=lambda path: int(path.parent.parent.name)
    )
    found = str(versions[-1]) if versions else shutil.which(name)
    if not found:
        raise RuntimeError(f"no {name} on this machine; apt-get install postgresql")
    return found


def available() -> bool:
    """Return whether a PostgreSQL server can be started here."""
    try:
        binary("initdb")
    except RuntimeError:
        return False
    return os.geteuid() != 0 or unprivileged_user() is not None


def _identity(user: str | None) -> dict[str, Any]:
    return {"user": user, "group": pwd.getpwnam(user).pw_gid if user else None, "extra_groups": []}


def _run(argv: list[str], user: str | None) -> None:
    identity = _identity(user) if user else {}
    done = subprocess.run(
        argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120, cwd="/", **identity
    )
    if done.returncode != 0:
        raise RuntimeError(f"{Path(argv[0]).name} ended with {done.returncode}\n{done.stderr[-2000:]}")


@functools.cache
def _template(user: str | None, checksums: bool, programs: Path | None = None) -> Path:
    """Return a cluster fresh from initdb; made once per process, copied for each server."""
    folder = Path(tempfile.mkdtemp(prefix="opsctl-postgres-template-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    if user:
        shutil.chown(folder, user)
    argv = [
        binary("initdb", programs),
        "-D",
        str(folder / "data"),
        "-U",
        SUPERUSER,
        "--no-sync",
        "--auth=trust",
    ]
    argv += ["--encoding=UTF8", "--locale=C"]
    if checksums:
        argv.append("--data-checksums")
    _run(argv, user)
    return folder / "data"


class PostgresServer(Server):
    """A private PostgreSQL with one role and one database for the application.

    Args:
        name: part of the folder's name.
        settings: server settings on top of `BASE_SETTINGS`.
        database: the application's database, made at the first start.
        role: the application's role, owner of that database; not a superuser.
        password: the role's password; TCP logins then use SCRAM, otherwise everybody is trusted.
        checksums: data checksums on.
        programs: folder of another PostgreSQL than the newest installed.
    """

    def __init__(
        self,
        name: str = "postgres",
        settings: dict[str, str] | None = None,
        database: str = "app",
        role: str = "app",
        password: str = "",
        checksums: bool = False,
        programs: Path | None = None,
    ) -> None:
        super().__init__(name, unprivileged_user())
        self.settings = {**BASE_SETTINGS, **(settings or {})}
        self.database, self.role, self.password = database, role, password
        self.checksums, self.programs = checksums, programs
        self.port = free_port()
        self.data = self.folder / "data"
        self.wait_ready = True

    # -- starting and stopping ------------------------------------------------------------------

    def argv(self) -> list[str]:
        return [binary("postgres", self.programs), "-D", str(self.data)]

    def environment(self) -> dict[str, str]:
        return {"LC_ALL": "C.UTF-8"}

    def ready(self) -> bool:
        import psycopg

        if not self.wait_ready:
            return True
        try:
            self.sql("select 1")
        except psycopg.OperationalError:
            return False
        return True

    def start(self, seconds: float = 40) -> None:
        """Make the cluster if there is none, start it, and make role and database the first time."""
        fresh = not self.data.exists()
        if fresh:
            self._copy(_template(self.user, self.checksums, self.programs))
        self.configure()
        super().start(seconds)
        if fresh:
            literal = self.password.replace("'", "''")
            self.sql(f"create role \"{self.role}\" login password '{literal}'")
            self.sql(f'create database "{self.database}" owner "{self.role}"')

    def _copy(self, template: Path) -> None:
        shutil.copytree(template, self.data, symlinks=True)
        self.data.chmod(0o700)
        if self.user:
            account = pwd.getpwnam(self.user)
            os.chown(self.data, account.pw_uid, account.pw_gid)
            for path in self.data.rglob("*"):
                os.chown(path, account.pw_uid, account.pw_gid, follow_symlinks=False)

    def configure(self, **settings: str) -> None:
        """Write settings and `pg_hba.conf`; a running server needs `reload()` or a restart."""
        self.settings.update(settings)
        address = {
            "listen_addresses": self.settings.get("listen_addresses", "127.0.0.1"),
            "port": str(self.port),
            "unix_socket_directories": str(self.folder),
        }
        quoted = {key: value.replace("'", "''") for key, value in {**self.settings, **address}.items()}
        lines = "".join(f"{key} = '{value}'\n" for key, value in quoted.items())
        # postgresql.auto.conf of a replica (primary_conninfo) and ALTER SYSTEM come after this file
        (self.data / "postgresql.conf").write_text(lines)
        method = "scram-sha-256" if self.password else "trust"
        (self.data / "pg_hba.conf").write_text(
            "local all all trust\nlocal replication all trust\n"
            f"host all all 127.0.0.1/32 {method}\nhost replication all 127.0.0.1/32 trust\n"
        )

    def reload(self) -> None:
        """Make the server read its files again (SIGHUP)."""
        os.kill(self.pid, signal.SIGHUP)

    def stop(self, hard: bool = False) -> None:
        """Stop it: fast shutdown, or at once without a checkpoint; harmless where it is not running."""
        if self.process is None:
            return
        self.thaw()
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.process.pid, signal.SIGQUIT if hard else signal.SIGINT)
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self._signal(signal.SIGKILL)
            self.process.wait(10)
        self.process = None

    def crash(self) -> None:
        """Immediate shutdown: no checkpoint, the next start has to recover."""
        self.stop(hard=True)

    def restart(self) -> None:
        """Stop and start."""
        self.stop()
        self.start()

    def _signal(self, number: int) -> None:
        """Signal the postmaster and its children: each of them leads a process group of its own."""
        import psutil

        if self.process is None or self.process.poll() is not None:
            return
        with contextlib.suppress(psutil.NoSuchProcess):
            parent = psutil.Process(self.process.pid)
            for process in [parent, *parent.children(recursive=True)]:
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.send_signal(number)

    def freeze(self) -> None:
        """SIGSTOP every process of the server."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """SIGCONT every process of the server."""
        self._signal(signal.SIGCONT)

    def __enter__(self) -> PostgresServer:
        try:
            self.start()
        except BaseException:
            self.remove()
            raise
        return self

    # -- talking to it --------------------------------------------------------------------------

    @property
    def dsn(self) -> str:
        """URL of the application's database over TCP, without a password."""
        return f"postgresql://{self.role}@127.0.0.1:{self.port}/{self.database}"

    @property
    def url(self) -> str:
        """URL of the application's database over TCP, with the password where there is one."""
        login = f"{self.role}:{self.password}" if self.password else self.role
        return f"postgresql://{login}@127.0.0.1:{self.port}/{self.database}"

    def connect(self, dbname: str = "", user: str = "", **options: Any) -> psycopg.Connection[Any]:
        """Return a connection as the application over TCP; the caller closes it."""
        import psycopg

        return psycopg.connect(
            host="127.0.0.1",
            port=self.port,
            dbname=dbname or self.database,
            user=user or self.role,
            password=self.password or None,
            connect_timeout=10,
            **options,
        )

    def administrator(self, dbname: str = SUPERUSER, **options: Any) -> psycopg.Connection[Any]:
        """Return a superuser's connection through the socket, in autocommit; the caller closes it."""
        import psycopg

        return psycopg.connect(
            host=str(self.folder),
            port=self.port,
            dbname=dbname,
            user=SUPERUSER,
            connect_timeout=5,
            autocommit=True,
            **options,
        )

    def sql(self, query: str, dbname: str = SUPERUSER) -> list[tuple[Any, ...]]:
        """Run one statement as superuser through the socket and return its rows."""
        connection = self.administrator(dbname)
        try:
            cursor = connection.execute(query)
            return list(cursor.fetchall()) if cursor.description else []
        finally:
            connection.close()

    def wait_sql(self, query: str, what: str, dbname: str = SUPERUSER, seconds: float = 20) -> None:
        """Wait until a query's first value is true."""
        wait_until(
            lambda: bool((rows := self.sql(query, dbname)) and rows[0][0]),
            what,
            seconds=seconds,
            log=self.log,
        )

    def stack_spec(self, **more: Any) -> dict[str, Any]:
        """Return what goes under a service of a stack file: `{"postgres": {...}}`."""
        spec: dict[str, Any] = {"dsn": self.dsn, **more}
        if self.password:
            path = self.folder / "password"
            path.write_text(self.password + "\n")
            spec["password_file"] = str(path)
        return {"postgres": spec}

    # -- replicas -------------------------------------------------------------------------------

    def replica(
        self, name: str = "replica", slot: str = "", settings: dict[str, str] | None = None
    ) -> PostgresServer:
        """Return a streaming replica of this server, not yet started; the caller removes it.

        Args:
            name: its name, also its `application_name` on the primary.
            slot: replication slot to make and use.
            settings: on top of this server's own.
        """
        other = PostgresServer(
            name, {**self.settings, **(settings or {})}, self.database, self.role, self.password
        )
        argv = [
            binary("pg_basebackup"),
            "-D",
            str(other.data),
            "-X",
            "stream",
            "-c",
            "fast",
            "-R",
            "--no-sync",
        ]
        argv += ["-d", f"host={self.folder} port={self.port} user={SUPERUSER} application_name={name}"]
        if slot:
            argv += ["-C", "-S", slot]
        try:
            _run(argv, self.user)
        except BaseException:
            other.remove()
            raise
        return other
