"""One connection to a PostgreSQL that is kept between looks, for whoever looks again and again.

The questions of a look share one read-only transaction and are prepared: planning them costs the
server more than answering them. Those that the look before asked are sent all at once, before anybody
asks for them again: one round trip. What is broken or stale is replaced within the look, and what a look
could not finish in time is closed, never kept.

Poolers give a session away between transactions, so what is set or prepared in it would be
somebody else's: a connection through one is closed after each look.
"""

from __future__ import annotations

import contextlib
import select
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from opsctl.probes.alarms import call_later
from opsctl.probes.postgres_connection import (
    LOCK_MILLISECONDS,
    MARGIN_SECONDS,
    Asker,
    Unreachable,
    open_connection,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from opsctl.probes.base import ProbeContext

CHECK_SECONDS = 30.0
"""How often a new login is tried beside a kept connection: a password or rule that changed shows then."""
LIFE_SECONDS = 1800.0
"""A connection this old is replaced: settings of the role and the database count from the login on."""
PATIENCE_SECONDS = 0.8
"""How long the first answer may take; a server that works answers within milliseconds."""
IDLE_SECONDS = 900
"""After this long without a look the server itself ends the session (PostgreSQL 14 and later)."""
LATE_SECONDS = 0.4
"""So much later than due a look may still keep its connection; nobody has given it up by then."""


Question = tuple[str, tuple[Any, ...]]
"""A query and its values."""


@dataclass
class Kept:
    """A connection between two looks."""

    connection: Any
    key: int
    opened: float
    checked: float
    login_seconds: float
    settings: tuple[str, dict[str, Any]] | None = None
    asked: tuple[Question, ...] = ()
    """What the last look asked and was answered."""


class KeptAsker(Asker):
    """Asks over a connection that outlives the look: one transaction, prepared questions."""

    def __init__(self, context: ProbeContext, kept: Kept, store: dict[str, Any], patience: float) -> None:
        from psycopg.rows import dict_row

        self._kept, self._store = kept, store
        self._patience = patience
        self._open = False
        self._asked: dict[Question, None] = {}
        self._known: dict[Question, list[dict[str, Any]]] = {}
        super().__init__(context, kept.connection)
        self._prepared = self.connection.cursor(row_factory=dict_row)
        self.prepares = True
        self.login_seconds, self.settings = kept.login_seconds, kept.settings

    def _watch(self) -> None:
        super()._watch()
        self._first = call_later(self._patience, self._cut)

    def _unwatch(self) -> None:
        self._first.cancel()
        super()._unwatch()

    def begin(self) -> None:
        """Open the look's transaction; the first answer of the server.

        Raises:
            psycopg.Error: it does not answer, or not in time.
        """
        left = int(max(self.context.left - 2 * MARGIN_SECONDS, 0.05) * 1000)
        self._limit = left
        self.connection.execute(
            f"begin read only; set local statement_timeout = {left}; "
            f"set local lock_timeout = {LOCK_MILLISECONDS}; "
            f"set local idle_in_transaction_session_timeout = {left + 2000}",
            prepare=False,
        )
        self._open = True
        self._first.cancel()

    def ask_ahead(self) -> None:
        """Ask what the last look asked, in one round trip; nothing is known where one of it fails.

        Raises:
            psycopg.Error: the connection broke.
        """
        import psycopg

        questions, self._kept.asked = self._kept.asked, ()
        if not questions or not psycopg.Pipeline.is_supported():
            return
        cursors = []
        try:
            with self.connection.pipeline():
                for query, values in questions:
                    cursor = self.connection.cursor(row_factory=self._prepared.row_factory)
                    cursors.append(cursor.execute(query, _packed(values), prepare=True))
                self.connection.execute("commit", prepare=False)
            self._known = {
                question: list(cursor.fetchall()) for question, cursor in zip(questions, cursors, strict=True)
            }
            self._open = False
        except (psycopg.Error, OSError):
            self._end("rollback")
            if not self.alive:
                raise

    def raw(
        self, query: str, values: Sequence[Any] = (), seconds: float | None = None
    ) -> list[dict[str, Any]]:
        """Return the rows of one question.

        Raises:
            psycopg.Error: it could not be answered.
        """
        question = query, tuple(tuple(item) if isinstance(item, list) else item for item in values)
        rows = self._known.pop(question, None)
        if rows is not None:
            self._asked[question] = None
            return rows
        try:
            if not self._open:
                self.begin()
            if seconds is not None:
                self._set_limit(min(int(seconds * 1000), self._limit))
            rows = list(self._prepared.execute(query, _packed(values), prepare=True).fetchall())
            if seconds is not None:
                self._set_limit(self._limit)
            else:
                self._asked[question] = None
            return rows
        except BaseException:
            self._end("rollback")
            raise

    def single(self, query: str, seconds: float) -> list[tuple[Any, ...]]:
        """Return the rows of a query that somebody else wrote, in a transaction of its own."""
        self._end("commit")
        return super().single(query, seconds)

    def close(self) -> None:
        """End the transaction and keep the connection; close it where it is late, cut or broken."""
        self._end("commit")
        self._unwatch()
        late = time.monotonic() > self.context.ends + LATE_SECONDS
        if late or not self.alive or not resting(self.connection) or "connection" in self._store:
            shut(self.connection)
        else:
            self._kept.settings, self._kept.asked = self.settings, tuple(self._asked)
            self._store["connection"] = self._kept

    def _set_limit(self, milliseconds: int) -> None:
        self.connection.execute(f"set local statement_timeout = {max(milliseconds, 50)}", prepare=False)

    def _end(self, how: str) -> None:
        if self._open:
            self._open = False
            with contextlib.suppress(Exception):
                self.connection.execute(how, prepare=False)


def _packed(values: Sequence[Any]) -> list[Any] | None:
    """Return the values as the driver takes them; none at all where there are none: `%` then is itself."""
    return [list(item) if isinstance(item, tuple) else item for item in values] or None


def kept_asker(context: ProbeContext, values: dict[str, Any], store: dict[str, Any]) -> Asker:
    """Return an asker over the kept connection, or over a new one that will be kept.

    Args:
        context: of the look.
        values: parameters of the connection.
        store: where the connection is between looks, under `connection`.

    Raises:
        Unreachable: no connection came about; its `connection` says why.
    """
    import psycopg

    key = hash(tuple(sorted((name, str(value)) for name, value in values.items())))
    kept = _usable(store.pop("connection", None), key)
    if kept is not None:
        try:
            _check(context, values, kept)
        except Unreachable:
            shut(kept.connection)
            raise
        asker = KeptAsker(context, kept, store, min(PATIENCE_SECONDS, context.left * 0.3))
        try:
            asker.begin()
            asker.ask_ahead()
        except (psycopg.Error, OSError):
            asker.discard()
        else:
            return asker
    began = time.monotonic()
    connection = open_connection(context, values)
    now = time.monotonic()
    try:
        direct = _settle(connection)
    except (psycopg.Error, OSError):
        direct = False
    if not direct:
        return Asker(context, connection)
    return KeptAsker(context, Kept(connection, key, now, now, now - began), store, context.left)


def _usable(kept: Kept | None, key: int) -> Kept | None:
    """Return the kept connection where it may be used again; close it where not."""
    if kept is None:
        return None
    if kept.key == key and time.monotonic() - kept.opened < LIFE_SECONDS and resting(kept.connection):
        return kept
    shut(kept.connection)
    return None


def _check(context: ProbeContext, values: dict[str, Any], kept: Kept) -> None:
    """Try a new login now and then; a server without a free slot is one that knows us.

    Raises:
        Unreachable: a new login is refused, or nobody answers it.
    """
    began = time.monotonic()
    if began - kept.checked < CHECK_SECONDS:
        return
    try:
        shut(open_connection(context, values))
    except Unreachable as unreachable:
        if unreachable.connection.state != "clients-exhausted":
            raise
    else:
        kept.login_seconds = time.monotonic() - began
    kept.checked = began


def _settle(connection: Any) -> bool:
    """Set what holds for the whole session; return False where a pooler stands between.

    A pooler tells a process number of its own, and would hand the settings on to somebody else.
    """
    with contextlib.closing(connection.cursor()) as cursor:
        row = cursor.execute("select pg_backend_pid()", prepare=False).fetchone()
        if row is None or row[0] != connection.info.backend_pid:
            return False
        # plans of questions over many catalogs look dear enough to compile, which takes far longer
        settings = "set jit = off; set idle_in_transaction_session_timeout = '10s'"
        if connection.info.server_version >= 140000:
            settings += f"; set idle_session_timeout = '{IDLE_SECONDS}s'"
        cursor.execute(settings, prepare=False)
    return True


def resting(connection: Any) -> bool:
    """Return whether a connection is open and has nothing to say: a server that ends it says so first."""
    from psycopg.pq import TransactionStatus

    if connection.closed or connection.info.transaction_status != TransactionStatus.IDLE:
        return False
    waiting = select.poll()
    try:
        waiting.register(connection.fileno(), select.POLLIN)
        return not waiting.poll(0)
    except (OSError, ValueError):
        return False


def shut(connection: Any) -> None:
    """Close a connection, whatever state it is in."""
    with contextlib.suppress(Exception):
        connection.close()
