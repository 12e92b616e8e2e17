"""Words and commands that PostgreSQL's checks share. Pure."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from opsctl.checks.wording import seconds_text
from opsctl.model import Evidence

if TYPE_CHECKING:
    from collections.abc import Iterable

    from opsctl.facts.postgres import PostgresFacts
    from opsctl.facts.postgres_sessions import Holder, Session

CHAIN = (
    "select pid, pg_blocking_pids(pid) as blocked_by, state, application_name, now() - xact_start as age, "
    "left(query, 80) as query from pg_stat_activity where pid in (select unnest(pg_blocking_pids(pid)) from "
    "pg_stat_activity) or cardinality(pg_blocking_pids(pid)) > 0 order by xact_start"
)


def psql(facts: PostgresFacts, sql: str) -> str:
    """Return a command line that asks the same server; psql asks for the password where one is needed."""
    if facts.address.startswith("/"):
        place = (
            f"-h {shlex.quote(facts.address)} -U {shlex.quote(facts.user)} -d {shlex.quote(facts.database)}"
        )
    else:
        place = shlex.quote(f"postgresql://{facts.user}@{facts.address}/{facts.database}")
    return f"psql {place} -c {shlex.quote(sql)}"


def who(session: Session) -> str:
    """Return a session in words: `pid 4711 (backend, app@10.0.0.5)`."""
    if session.pid == 0:
        return "a prepared transaction"
    names = [session.application or session.usename or "unnamed"]
    if session.usename and session.application:
        names.append(f"{session.usename}@{session.client}" if session.client else session.usename)
    return f"pid {session.pid} ({', '.join(names)})"


def doing(session: Session) -> str:
    """Return what a session is doing and for how long."""
    if session.state.startswith("idle in transaction"):
        return f"{session.state} for {seconds_text(session.state_seconds or 0)}"
    if session.waiting_seconds is not None:
        return f"waiting {seconds_text(session.waiting_seconds)} for {session.waits_for}"
    if session.state == "active":
        return f"active for {seconds_text(session.query_seconds or 0)}"
    return session.state or "state hidden from this role"


def session_line(session: Session) -> Evidence:
    """Return one session as a line of evidence."""
    query = f": {session.query}" if session.query else ""
    return Evidence(
        text=f"{who(session)} {doing(session)}{query}", value=session.pid, source="pg_stat_activity"
    )


def holder_lines(holders: Iterable[Holder]) -> list[Evidence]:
    """Return who holds connections, one line each."""
    return [
        Evidence(
            text=f"{holder.count} from {holder.application or 'unnamed'} ({holder.usename or '?'}"
            f"{'@' + holder.client if holder.client else ''}), {holder.idle or 0} of them idle",
            value=holder.count,
            unit="connections",
            source="pg_stat_activity",
        )
        for holder in holders
    ]
