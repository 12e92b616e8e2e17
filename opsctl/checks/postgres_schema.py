"""PostgreSQL: what should be in the database, and how the server is set up."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import TYPE_CHECKING

from opsctl.checks.base import CheckContext, Limits, check
from opsctl.checks.postgres_wording import psql
from opsctl.checks.wording import count_text, percent_text
from opsctl.model import Evidence, Status

if TYPE_CHECKING:
    from collections.abc import Iterator

    from opsctl.facts.postgres import PostgresFacts
    from opsctl.model import Finding

END_OF_LIFE = {
    12: date(2024, 11, 21),
    13: date(2025, 11, 13),
    14: date(2026, 11, 12),
    15: date(2027, 11, 11),
    16: date(2028, 11, 9),
    17: date(2029, 11, 8),
    18: date(2030, 11, 14),
}
"""Last minor release of each major version (postgresql.org, versioning policy)."""


@check("postgres/table-missing", needs="pg_class")
def table_missing(facts: PostgresFacts, context: CheckContext) -> Iterator[Finding]:
    """A table that the application needs is not there."""
    context.need_part(facts, "wanted tables")
    missing = [table for table in facts.wanted_tables if not table.exists]
    if not missing:
        count = len(facts.wanted_tables)
        yield context.ok(
            f"all {count_text(count, 'wanted table')} exist" if count else "the stack file names no tables"
        )
        return
    names = ", ".join(table.name for table in missing[:8])
    yield context.critical(
        f"{count_text(len(missing), 'table')} of {len(facts.wanted_tables)} missing in {facts.database}: "
        f"{names}",
        value=len(missing),
        threshold=0,
        unit="tables",
        source="select relname from pg_class where relkind in ('r', 'p', 'v', 'm', 'f')",
        evidence=[
            Evidence(text=f"{table.name} exists in schema {', '.join(table.found_in)}, off the search path")
            for table in missing
            if table.found_in
        ],
        fix="See whether this is the right database and whether its migrations or schema.sql ran; a table "
        "dropped by "
        "mistake comes from the last backup. One that exists in another schema needs a search_path.",
        commands=[psql(facts, "\\dt *.*"), psql(facts, "show search_path")],
    )


@check(
    "postgres/migrations-pending",
    needs="the migration files and the tool's own table",
    limits=Limits(1, None, "migrations", source="code and database belong together"),
    permission="to read the tool's table and the migrations folder",
)
def migrations_pending(facts: PostgresFacts, context: CheckContext) -> Iterator[Finding]:
    """The code has migrations that the database has not seen, or the other way round."""
    context.need_part(facts, "migrations")
    if not facts.migrations:
        yield context.ok("the stack file names no migration tool")
        return
    for state in facts.migrations:
        command = "alembic upgrade head" if state.tool == "alembic" else "php artisan migrate"
        details = {
            "source": "alembic current; alembic heads"
            if state.tool == "alembic"
            else "php artisan migrate:status",
            "fix": f"Take a backup, read the pending migrations, then run `{command}` in the service's "
            f"environment.",
            "commands": [
                "alembic current && alembic heads"
                if state.tool == "alembic"
                else "php artisan migrate:status"
            ],
        }
        if state.unknown and not state.pending_count:
            yield context.warning(
                f"the database has {count_text(len(state.unknown), 'migration')} that this code does not "
                f"know: "
                f"{', '.join(state.unknown[:3])}",
                subject=state.tool,
                value=len(state.unknown),
                source=str(details["source"]),
                fix="The code is older than the database (a rollback without its migrations), or the "
                "wrong database is "
                "in the DSN. Deploy the newer code, or downgrade with the newer code's own scripts.",
                commands=list(details["commands"]),
            )
            continue
        pending = context.need(state.pending_count, "the number of pending migrations")
        names = f": {', '.join(state.pending[:3])}" if pending else ""
        yield context.judge(
            pending,
            f"{count_text(pending, 'migration')} of {state.known_count} pending{names}",
            subject=state.tool,
            **details,
        )


@check("postgres/invalid-index", needs="pg_index", role="risk")
def invalid_index(facts: PostgresFacts, context: CheckContext) -> Iterator[Finding]:
    """An index build failed halfway; the index serves no query, and a unique one guards nothing."""
    context.need_part(facts, "indexes")
    indexes = context.need(facts.invalid_indexes, "pg_index")
    left = [index for index in indexes if not index.building]
    if not left:
        building = f"; {len(indexes)} being built" if indexes else ""
        yield context.ok(f"every index is valid{building}")
        return
    for index in left[:5]:
        unique = " It is unique: duplicates may exist." if index.unique else ""
        yield context.warning(
            f"index {index.name} of {index.table} is invalid.{unique}",
            subject=index.name,
            value=index.name,
            source="select indexrelid::regclass from pg_index where not indisvalid",
            fix=f"REINDEX INDEX CONCURRENTLY {index.name}, or drop it and create it again (CONCURRENTLY). "
            f"For a unique "
            "one remove the duplicates first.",
            commands=[
                psql(
                    facts,
                    "select indexrelid::regclass, indrelid::regclass from pg_index where not indisvalid",
                )
            ],
        )


@check(
    "postgres/sequence-exhaustion",
    needs="pg_sequence, and the columns that sequences fill",
    limits=Limits(
        0.8, 0.95, "ratio", source="room for the migration to bigint, which takes days on a large table"
    ),
    permission="to read the sequences",
)
def sequence_exhaustion(facts: PostgresFacts, context: CheckContext) -> Iterator[Finding]:
    """A sequence nears its end, or that of its integer column; then no row can be inserted any more."""
    if facts.in_recovery:
        yield context.ok("a replica's sequences are its primary's")
        return
    context.need_part(facts, "sequences")
    sequences = context.need(facts.sequences, "pg_sequence")
    if not sequences:
        yield context.ok("no sequence has been used")
        return
    shown = [
        item for item in sequences if context.limits.status(item.last / max(item.limit, 1)) is not Status.OK
    ]
    for item in shown[:5] or sequences[:1]:
        share = item.last / max(item.limit, 1)
        column = f" ({item.column})" if item.column else ""
        yield context.judge(
            share,
            f"sequence {item.name}{column} is at {item.last} of {item.limit}, {percent_text(share)}",
            subject=item.name,
            source="select schemaname, sequencename, last_value, max_value from pg_sequences",
            fix="Change the column and what refers to it to bigint (by a new column and a trigger on a "
                "large table), and "
            "ALTER SEQUENCE … AS bigint. To win time a signed column may start again at its lowest "
            "negative value.",
            commands=[psql(facts, "select sequencename, data_type, last_value, max_value from pg_sequences "
                           "order by last_value::float8 / max_value desc nulls last limit 10")],
        )  # fmt: skip


@check(
    "postgres/pool-budget",
    needs="the stack file's pools, max_connections",
    limits=Limits(1.0, None, "ratio", source="all pools full at once, against the slots for ordinary roles"),
    role="risk",
)
def pool_budget(facts: PostgresFacts, context: CheckContext) -> Iterator[Finding]:
    """Together the services' pools may ask for more connections than PostgreSQL has."""
    if not facts.pools:
        yield context.ok("the stack file names no pool that uses this server")
        return
    room = context.need(facts.settings.room, "max_connections")
    asked = sum(pool.connections for pool in facts.pools)
    parts = " + ".join(f"{pool.service} {pool.connections}" for pool in facts.pools[:6])
    yield context.judge(
        asked / room,
        f"the pools may open {asked} connections ({parts}); {room} are to be had",
        source="the stack file's pools; show max_connections",
        evidence=[
            Evidence(
                text=f"{pool.service}: {count_text(pool.instances, 'instance')}, {pool.connections} "
                f"connections at most",
                value=pool.connections,
                unit="connections",
                source="stack file",
            )
            for pool in facts.pools
        ],
        fix="Make instances × (pool + overflow), added over all services, smaller than max_connections "
        "less the reserved "
        "slots: smaller pools, a pooler such as PgBouncer in between, or a larger max_connections "
        "(restart, memory).",
        commands=["sudo -u postgres psql -c 'show max_connections'"],
    )


@check("postgres/exposed", needs="listen_addresses", role="risk")
def exposed(facts: PostgresFacts, context: CheckContext) -> Iterator[Finding]:
    """PostgreSQL listens beyond this machine although the stack does not need it."""
    if facts.in_container:
        yield context.ok("it runs in a container; its published ports are judged instead")
        return
    if facts.may_be_exposed:
        yield context.ok("the stack file allows it to be reached from outside")
        return
    outside = context.need(facts.listens_beyond_loopback, "listen_addresses")
    shown = ", ".join(facts.listen_addresses) or "no TCP address"
    if not outside:
        yield context.ok(f"it listens on {shown}")
        return
    yield context.warning(
        f"PostgreSQL listens beyond loopback: listen_addresses = {shown}",
        value=shown,
        threshold="localhost",
        source="show listen_addresses",
        fix="Set listen_addresses = 'localhost' (or the private address that is needed) and restart; "
        "close the port in the "
        "firewall. Where it is meant, say `exposed: true` in the stack file.",
        commands=["ss -ltnp | grep -E ':(5432|6432) '", "sudo -u postgres psql -c 'show listen_addresses'"],
    )


@check("postgres/version-unsupported", needs="server_version_num", role="risk")
def version_unsupported(facts: PostgresFacts, context: CheckContext) -> Iterator[Finding]:
    """This major version gets no security fixes any more."""
    number = context.need(facts.version_number, "server_version_num")
    major = number // 10000
    ends = END_OF_LIFE.get(major)
    if ends is None and major > max(END_OF_LIFE):
        yield context.ok(f"PostgreSQL {facts.version}")
        return
    if ends is not None and context.at < datetime(ends.year, ends.month, ends.day, tzinfo=UTC):
        yield context.ok(f"PostgreSQL {facts.version} is supported until {ends.isoformat()}")
        return
    since = f" since {ends.isoformat()}" if ends else ""
    yield context.warning(
        f"PostgreSQL {facts.version or major} gets no fixes any more{since}",
        value=major,
        threshold=min(version for version, end in END_OF_LIFE.items() if end > context.at.date()) if any(
            end > context.at.date() for end in END_OF_LIFE.values()) else max(END_OF_LIFE),
        source="show server_version",
        fix="Plan the upgrade: pg_upgrade, or dump and restore; try it on a copy of the last backup first.",
        commands=["pg_lsclusters", psql(facts, "select version()")],
    )  # fmt: skip
