"""PostgreSQL: is it there, does it let the application in, has it room for one more.

The other checks of the kind live beside this file: sessions, replication, storage, schema.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from opsctl.checks.base import CheckContext, Limits, check
from opsctl.checks.postgres_wording import holder_lines, psql
from opsctl.checks.reachability import CODE, NO_SERVER, not_there
from opsctl.checks.running import log_commands, state_commands
from opsctl.checks.wording import percent_text, seconds_text
from opsctl.model import Status

if TYPE_CHECKING:
    from collections.abc import Iterator

    from opsctl.facts.postgres import PostgresFacts
    from opsctl.model import Finding


def _port(facts: PostgresFacts) -> str:
    tail = facts.address.rpartition(":")[2]
    return tail if tail.isdecimal() else "5432"


def _server_state(context: CheckContext) -> list[str]:
    """Return the commands that show whether the server runs.

    Debian's postgresql.service is a shell: its clusters are the units to look at.
    """
    if _is_debians(context):
        return ["pg_lsclusters", "systemctl status --no-pager 'postgresql@*'"]
    return state_commands(context)


def _as_superuser(context: CheckContext, arguments: str) -> list[str]:
    """Return the command that asks as the superuser; in a container its name and user are the image's."""
    return [] if context.runs.container else [f"sudo -u postgres psql {arguments}"]


def _server_log(context: CheckContext) -> list[str]:
    if _is_debians(context):
        return ["journalctl -u 'postgresql@*' --since -30min --no-pager | tail -50"]
    return log_commands(context, 50)


def _is_debians(context: CheckContext) -> bool:
    return context.runs.unit.removesuffix(".service") == "postgresql"


@check("postgres/down", needs="a connection", reachability=True, code=CODE)
def down(facts: PostgresFacts, context: CheckContext) -> Iterator[Finding]:
    """Nothing answers where PostgreSQL should listen."""
    connection = facts.connection
    if connection.state in NO_SERVER:
        yield not_there(
            context,
            "PostgreSQL",
            facts.address,
            connection,
            f"pg_isready -d postgresql://{facts.address}",
            "Start PostgreSQL, and read in its log why it stopped (disk full, out of memory, a damaged "
            "configuration). Where the name or the address is wrong, correct the DSN.",
            [*_server_state(context), f"ss -ltnp 'sport = :{_port(facts)}'"],
        )
    elif connection.state == "no-permission":
        yield context.finding(
            Status.UNKNOWN,
            f"no permission to connect: {connection.detail}",
            hint="run as root or as postgres",
        )
    else:
        yield context.ok(f"PostgreSQL at {facts.address} accepts connections")


@check("postgres/hung", needs="a connection and a query", reachability=True)
def hung(facts: PostgresFacts, context: CheckContext) -> Iterator[Finding]:
    """PostgreSQL takes the connection and then says nothing."""
    if facts.connection.state == "timeout":
        yield context.critical(
            f"PostgreSQL at {facts.address} did not answer in time: {facts.connection.detail}",
            value="timeout",
            source=f"pg_isready -t 2 -d postgresql://{facts.address}",
            fix="A frozen process (state T), a disk that does not answer (state D), or a network that drops "
            "packets. Thaw or restart it; with state D look at the disk first.",
            commands=[
                "ps -C postgres -o pid,stat,wchan:20,etime,args",
                f"ss -ltnp 'sport = :{_port(facts)}'",
            ],
        )
    elif facts.connect_seconds is not None:
        yield context.ok(f"the login took {seconds_text(facts.connect_seconds)}")
    else:
        yield context.ok(f"the server answered at once: {facts.connection.state}")


@check("postgres/auth-failed", needs="a login", reachability=True)
def auth_failed(facts: PostgresFacts, context: CheckContext) -> Iterator[Finding]:
    """PostgreSQL refuses the login: password, role or pg_hba.conf."""
    if facts.connection.state == "auth-failed":
        yield context.critical(
            f"PostgreSQL at {facts.address} refuses the login of {facts.user!r}: {facts.connection.detail}",
            value="auth-failed",
            source=psql(facts, "select 1"),
            fix="Make the password in the service's environment and the role's password the same "
            "(as superuser: \\password ROLE), or add the missing line to pg_hba.conf and reload. A password "
            "changed in the environment of a container does not change a database that already exists.",
            commands=[
                *_as_superuser(context, "-c 'table pg_hba_file_rules'"),
                *_as_superuser(context, "-c '\\du'"),
            ],
        )
    elif facts.up:
        yield context.ok(f"{facts.user!r} was let in")
    else:
        yield context.ok("no login was refused")


@check("postgres/database-missing", needs="a login", reachability=True)
def database_missing(facts: PostgresFacts, context: CheckContext) -> Iterator[Finding]:
    """The database that the application names does not exist."""
    if facts.connection.state == "database-missing":
        yield context.critical(
            f"the database {facts.database!r} does not exist at {facts.address}",
            value=facts.database,
            source=psql(facts, "select 1"),
            fix="Correct the name in the DSN, or create the database and load its schema or the last backup. "
            "A new, empty volume is the usual reason: find the old one before writing to the new one.",
            commands=["docker volume ls"] if context.runs.container else _as_superuser(context, "-l"),
        )
    elif facts.up:
        yield context.ok(f"the database {facts.database!r} exists")
    else:
        yield context.ok("no database was reported missing")


@check("postgres/recovering", needs="a login", reachability=True)
def recovering(facts: PostgresFacts, context: CheckContext) -> Iterator[Finding]:
    """PostgreSQL replays its log after a crash or a restore and lets nobody in."""
    if facts.connection.state == "loading":
        yield context.critical(
            f"PostgreSQL at {facts.address} is not ready: {facts.connection.detail}",
            value="recovering",
            source=f"pg_isready -d postgresql://{facts.address}",
            fix="Wait: it replays its write-ahead log, and its log says how far it is. Do not kill it, the "
            "replay would begin again. Find out why it crashed.",
            commands=[
                *_server_log(context),
                "ps -C postgres -o pid,etime,args | grep -E 'startup|recovering'",
            ],
        )
    elif facts.up:
        since = facts.started_at
        age = f", started {seconds_text(context.at.timestamp() - since)} ago" if since is not None else ""
        yield context.ok(f"recovery is not under way{age}")
    else:
        yield context.ok("the server did not say that it is recovering")


@check(
    "postgres/connections",
    needs="max_connections, pg_stat_activity",
    limits=Limits(0.8, 0.95, "ratio", source="the last fifth is what a deploy or a retry storm needs"),
    reachability=True,
)
def connections(facts: PostgresFacts, context: CheckContext) -> Iterator[Finding]:
    """All connection slots are taken, or nearly; new clients are refused."""
    fix = (
        "Find the client with most connections below: a leak, or pools larger than max_connections. Restart "
        "that client to free them; then lower its pool, use a pooler, or raise max_connections (restart)."
    )
    commands = [
        psql(
            facts,
            "select application_name, usename, client_addr, state, count(*) from pg_stat_activity "
            "group by 1, 2, 3, 4 order by 5 desc limit 20",
        ),
        *_as_superuser(context, "-c 'show max_connections'"),
    ]
    refused = facts.connection.state == "clients-exhausted"
    used, most = facts.connections_used, facts.settings.max_connections
    if refused:
        counted = f" ({used} of {most} slots are taken)" if used is not None and most is not None else ""
        yield context.critical(
            f"PostgreSQL at {facts.address} refuses new clients: {facts.connection.detail}{counted}",
            value=facts.connection.detail,
            source=psql(facts, "select 1"),
            evidence=holder_lines(facts.holders[:5]),
            fix=fix,
            commands=commands,
        )
        return
    if not facts.up:
        yield context.ok("no client was refused for want of a slot")
        return
    used = context.need(used, "pg_stat_activity")
    most = context.need(most, "max_connections")
    room = context.need(facts.settings.room, "max_connections")
    kept = most - room
    yield context.judge(
        used / room,
        f"{used} of {room} connections are in use ({percent_text(used / room)}; {kept} more are reserved)",
        source="select count(*) from pg_stat_activity where backend_type = 'client backend'",
        evidence=holder_lines(facts.holders[:5]),
        fix=fix,
        commands=commands,
    )


from opsctl.checks import (  # noqa: E402 - these register themselves; the order is that of the catalogue
    postgres_replication,
    postgres_schema,
    postgres_sessions,
    postgres_storage,
)

__all__ = ["postgres_replication", "postgres_schema", "postgres_sessions", "postgres_storage"]
