"""One careful connection to a PostgreSQL: bounded in time, read-only, never waiting for a lock.

Every question is one message, `begin read only; set local …; select …; commit`: one round
trip, no setting left behind (a pooler may hand the connection on), no transaction kept open. It
ends with commit, since rollbacks are counted and others watch that figure.
"""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from opsctl.facts.base import Connection, FactProblem
from opsctl.probes.alarms import call_later
from opsctl.probes.connection import connection_state
from opsctl.secrets import MissingSecret

if TYPE_CHECKING:
    from collections.abc import Sequence

    from opsctl.probes.base import ProbeContext
    from opsctl.stack.specs import PostgresSpec

CONNECT_SECONDS = 2
"""The shortest time-out that libpq knows; a healthy server lets us in within milliseconds."""
LOCK_MILLISECONDS = 100
MARGIN_SECONDS = 0.15

# The server's own words, in English and in Russian: before the login is complete there is no
# SQLSTATE to read, and a server answers in the language it was set up with.
_REFUSALS: tuple[tuple[str, tuple[str, ...]], ...] = (
    (
        "clients-exhausted",
        (
            "too many clients already",
            "remaining connection slots are reserved",
            "too many connections for role",
            "too many connections for database",
            "too many connections for tenant",
            "no more connections allowed",
            "уже слишком много клиентов",
            "слоты подключений зарезервированы",
            "слишком много подключений",
        ),
    ),
    (
        "loading",
        (
            "the database system is starting up",
            "the database system is in recovery mode",
            "the database system is not yet accepting connections",
            "the database system is not accepting connections",
            "система баз данных запускается",
            "система баз данных в режиме восстановления",
            "система бд ещё не принимает подключения",
            "система бд не принимает подключения",
        ),
    ),
    ("closed", ("the database system is shutting down", "система баз данных останавливается")),
    (
        "auth-failed",
        (
            "authentication failed",
            "no pg_hba.conf entry",
            "pg_hba.conf rejects",
            "no password supplied",
            "is not permitted to log in",
            "permission denied for database",
            "no such user",
            "не прошёл проверку подлинности",
            "в pg_hba.conf нет записи",
            "pg_hba.conf отвергает",
            "вход запрещён",
            "доступ к базе",
            "нет доступа к базе",
        ),
    ),
)
_MISSING = ("does not exist", "no such database", "не существует")
_ROLE = ('role "', 'роль "')


def refusal(message: str) -> str:
    """Return the `Connection.state` that the server's words mean, empty where they say nothing. Pure."""
    words = message.lower()
    for state, phrases in _REFUSALS:
        if any(phrase in words for phrase in phrases):
            return state
    if any(phrase in words for phrase in _MISSING):
        for line in words.splitlines():
            if any(phrase in line for phrase in _MISSING):
                return "auth-failed" if any(word in line for word in _ROLE) else "database-missing"
    return ""


def plain(message: str) -> str:
    """Return the last thing that went wrong in an error message, on one line, bounded. Pure."""
    lines = [line.strip() for line in message.splitlines() if line.strip()]
    text = next((line for line in lines if "FATAL" in line or "ВАЖНО" in line), lines[0] if lines else "")
    for mark in ("FATAL:", "ВАЖНО:"):
        if mark in text:
            text = text.split(mark, 1)[1].strip()
    return text[:300]


def failure(error: BaseException, address: str) -> Connection:
    """Say how connecting failed in the words of `Connection`."""
    message = str(error)
    state = refusal(message)
    if not state:
        words = message.lower()
        about_tls = "ssl" in words and not any(word in words for word in ("refused", "invalid response"))
        state = "tls" if about_tls else connection_state(error)
    return Connection(state=state, detail=plain(message), address=address)


@dataclass
class Lookup:
    """What came of looking a name up within a time."""

    done: bool = False
    error: str = ""


def look_up(host: str, seconds: float) -> Lookup:
    """Look a host name up, and give up after `seconds`: libpq itself would wait for the resolver."""
    result = Lookup()

    def ask() -> None:
        try:
            socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
        except OSError as error:
            result.error = f"{host}: {error.strerror or error}"
        result.done = True

    thread = threading.Thread(target=ask, name="look-up", daemon=True)
    thread.start()
    thread.join(seconds)
    return result


class Unreachable(Exception):
    """No connection came about; `connection` says why."""

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection.detail)
        self.connection = connection


class Asker:
    """Asks questions over one connection, and keeps what could not be answered as problems."""

    def __init__(self, context: ProbeContext, connection: Any) -> None:
        import psycopg
        from psycopg.rows import dict_row

        self.context, self.connection = context, connection
        self.problems: list[FactProblem] = []
        self.settings: tuple[str, dict[str, Any]] | None = None
        """When this session read its configuration, and rows of pg_settings by name as of then."""
        self.login_seconds: float | None = None
        """How long the login took, where it was in an earlier look."""
        self.prepares = False
        """Whether questions may be prepared under a name."""
        self.cut_off = False
        self._cursor = psycopg.ClientCursor(connection, row_factory=dict_row)
        self._watch()

    def _watch(self) -> None:
        """Cut the line when the time is over."""
        self._guard = call_later(max(self.context.left - MARGIN_SECONDS, 0.05), self._cut)

    def _unwatch(self) -> None:
        self._guard.cancel()

    def _cut(self) -> None:
        """Cut the line to a server that stopped answering; the waiting question then fails."""
        self.cut_off = True
        with contextlib.suppress(Exception):
            line = socket.socket(fileno=os.dup(self.connection.fileno()))
            line.shutdown(socket.SHUT_RDWR)
            line.close()

    def close(self) -> None:
        """Close the connection."""
        self.discard()

    def discard(self) -> None:
        """Close the connection, also where it could be kept."""
        self._unwatch()
        with contextlib.suppress(Exception):
            self.connection.close()

    @property
    def alive(self) -> bool:
        """Whether further questions make sense."""
        return not self.connection.closed and not self.cut_off

    def raw(
        self, query: str, values: Sequence[Any] = (), seconds: float | None = None
    ) -> list[dict[str, Any]]:
        """Return the rows of one question.

        Raises:
            psycopg.Error: it could not be answered.
        """
        left = self.context.left - 2 * MARGIN_SECONDS
        allowed = int(max(min(left, seconds or left), 0.05) * 1000)
        head = (
            f"begin read only; set local statement_timeout = {allowed}; "
            f"set local lock_timeout = {LOCK_MILLISECONDS}; set local jit = off; "
        )
        try:
            self._cursor.execute(head + query + "; commit", values or None)
            for _ in range(4):
                self._cursor.nextset()
            return list(self._cursor.fetchall())
        except BaseException:
            with contextlib.suppress(Exception):
                self.connection.execute("rollback")
            raise

    def single(self, query: str, seconds: float) -> list[tuple[Any, ...]]:
        """Return the rows of a query that somebody else wrote.

        It goes by the extended protocol, which takes one statement only: nothing can be smuggled in
        behind a semicolon that would end the read-only transaction. A name it gets only where the
        session is ours alone; in a pooler's it would be in somebody's way.

        Raises:
            psycopg.Error: it could not be answered, or it is more than one statement.
        """
        allowed = int(max(min(self.context.left - 2 * MARGIN_SECONDS, seconds), 0.05) * 1000)
        self.connection.execute(
            f"begin read only; set local statement_timeout = {allowed}; "
            f"set local lock_timeout = {LOCK_MILLISECONDS}",
            prepare=False,
        )
        try:
            answer = self.connection.execute(query, prepare=self.prepares, binary=True)
            return list(answer.fetchmany(2))
        finally:
            with contextlib.suppress(Exception):
                self.connection.execute("commit", prepare=False)

    def ask(
        self,
        part: str,
        query: str,
        values: Sequence[Any] = (),
        hint: str = "",
        seconds: float | None = None,
    ) -> list[dict[str, Any]]:
        """Return the rows of one question, none where it failed: the reason goes to `problems`.

        `seconds` bounds a question that is not worth more.
        """
        import psycopg

        if not self.alive:
            self.problems.append(
                FactProblem(part=part, code="timeout", message=f"{part}: the server stopped answering")
            )
            return []
        try:
            return self.raw(query, values, seconds)
        except (psycopg.Error, OSError) as error:
            self.problems.append(problem_of(part, error, hint))
            return []


def problem_of(part: str, error: Exception, hint: str = "") -> FactProblem:
    """Return a failed question as a problem of its part, with what would help."""
    state = str(getattr(error, "sqlstate", None) or "")
    code = {"42501": "permission", "57014": "timeout", "55P03": "timeout"}.get(state, "unsupported")
    if not state:
        code = "timeout"
    hints = {
        "permission": "grant pg_monitor to the role that opsctl uses",
        "timeout": "give it longer with --timeout",
    }
    words = (str(error).strip().splitlines() or [type(error).__name__])[0][:250]
    return FactProblem(part=part, code=code, message=f"{part}: {words}", hint=hint or hints.get(code, ""))


def parameters(context: ProbeContext, spec: PostgresSpec) -> dict[str, Any]:
    """Return the connection parameters of a stack file's DSN.

    Raises:
        ProbeError: the DSN is none.
        MissingSecret: the password is named and not to be found.
    """
    import psycopg
    from psycopg.conninfo import conninfo_to_dict

    from opsctl.probes.base import ProbeError

    try:
        values: dict[str, Any] = dict(conninfo_to_dict(spec.dsn))
    except psycopg.Error as error:
        words = context.redactor.text(plain(str(error)))
        raise ProbeError(
            "unsupported", f"not a PostgreSQL DSN: {words}", "see `opsctl stack validate`"
        ) from None
    context.redactor.add(values.get("password"))
    for name, variable in (("user", spec.user_env), ("dbname", spec.database_env)):
        if value := context.secrets.plain(context.service, variable):
            values[name] = value
    password = _password(context, spec)
    if password is not None:
        values["password"] = password
    values.setdefault("dbname", values.get("user", "postgres"))
    return {
        **values,
        "application_name": "opsctl",
        "connect_timeout": CONNECT_SECONDS,
        "client_encoding": "UTF8",
        "gssencmode": "disable",
    }


def connect(context: ProbeContext, values: dict[str, Any]) -> Asker:
    """Connect.

    Raises:
        Unreachable: it did not come about; its `connection` says why.
    """
    return Asker(context, open_connection(context, values))


def open_connection(context: ProbeContext, values: dict[str, Any]) -> Any:
    """Return a connection in autocommit; the caller closes it.

    Raises:
        Unreachable: it did not come about; its `connection` says why.
    """
    import psycopg

    address = context.target.address
    host = str(values.get("host") or "")
    if host and not host.startswith(("/", "@")) and not _is_address(host) and host != "localhost":
        found = look_up(host, min(CONNECT_SECONDS, context.left * 0.6))
        if found.error or not found.done:
            words = found.error or f"{host}: the name server does not answer"
            raise Unreachable(Connection(state="name-unresolved", detail=words[:300], address=address))
    try:
        return psycopg.connect(**values, autocommit=True)
    except (psycopg.Error, OSError) as error:
        raise Unreachable(failure(error, address)) from None


def _password(context: ProbeContext, spec: PostgresSpec) -> str | None:
    try:
        return context.secrets.resolve(context.service, spec.password_env, spec.password_file)
    except MissingSecret:
        if spec.guessed:  # whether there is one at all is part of the guess
            return None
        raise


def _is_address(host: str) -> bool:
    import ipaddress

    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
