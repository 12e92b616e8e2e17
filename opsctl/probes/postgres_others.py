"""The tables of the databases that the stack file does not name, for metrics.

PostgreSQL shows a database's tables to sessions of that database only. A session is dear (a process
and cold catalogs: about 20 ms of the server's processor where the question itself takes 1 to 2), and
one that stays takes a slot and stands in the way of DROP DATABASE. So none is kept: each database is
read by a short one, about once a minute, oldest first and a few at each look; between, what was read
last is shown.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from opsctl.facts.base import FactProblem
from opsctl.facts.postgres_relations import Table
from opsctl.probes import postgres_queries as queries
from opsctl.probes.postgres_connection import Unreachable, connect
from opsctl.probes.remembering import memory

if TYPE_CHECKING:
    from collections.abc import Mapping

    from opsctl.probes.base import ProbeContext
    from opsctl.probes.postgres_connection import Asker

Row = dict[str, Any]

TABLES_SECONDS = 1.0
AGAIN_SECONDS = 55.0
"""How old the tables of a further database may be before they are read again."""
SLICE_SECONDS = 0.1
"""How long one look spends on databases that were read before."""

OTHER_DATABASES = """
select d.datname
  from pg_catalog.pg_database d left join pg_catalog.pg_stat_database s on s.datid = d.oid
 where d.datallowconn and not d.datistemplate and d.datname <> current_database()
   and has_database_privilege(d.oid, 'connect')
 order by coalesce(s.xact_commit, 0) + coalesce(s.xact_rollback, 0) desc, d.datname
 limit 1000
"""


def other_databases(
    asker: Asker, values: Row, connection: Mapping[str, Any], context: ProbeContext
) -> dict[str, Any]:
    """Add the tables of the other databases to the values; return what `PostgresDetails` says of them.

    Args:
        asker: connected to the service's database.
        values: the fields of `PostgresFacts`; changed in place.
        connection: parameters of the connection.
        context: how long it may take, and what earlier looks remember.
    """
    noted = len(asker.problems)
    names = [str(row["datname"]) for row in asker.ask("other databases", OTHER_DATABASES)]
    if len(asker.problems) > noted:
        return {}
    kept = memory(context)
    known: dict[str, tuple[float, list[Table]]] = {} if kept is None else kept.setdefault("others", {})
    for gone in known.keys() - set(names):
        del known[gone]
    began = time.monotonic()
    ends = began + context.left * 0.5
    for name in sorted(names, key=lambda name: known[name][0] if name in known else 0.0):
        now = time.monotonic()
        if now >= (ends if name not in known else min(began + SLICE_SECONDS, ends)):
            break
        if name in known and now - known[name][0] < AGAIN_SECONDS:
            break
        tables = _tables_of(name, asker, connection, context)
        if tables is not None:
            known[name] = (now, tables)
        else:
            known.pop(name, None)
    read = [known[name] for name in names if name in known]
    for _, tables in read:
        values["tables"] += tables
    if len(read) < len(names):
        message = f"tables of other databases: {len(read)} of {len(names)} databases were read"
        asker.problems.append(
            FactProblem(
                part="tables of other databases",
                code="timeout",
                message=message,
                hint="let the role connect to them, or give it longer",
            )
        )
    oldest = min((at for at, _ in read), default=None)
    return {
        "other_databases": len(names),
        "other_databases_read": len(read),
        "other_databases_age": None if oldest is None else time.monotonic() - oldest,
    }


def _tables_of(
    name: str, asker: Asker, connection: Mapping[str, Any], context: ProbeContext
) -> list[Table] | None:
    """Read one further database; None where it did not let us in or did not answer."""
    try:
        other = connect(context, {**connection, "dbname": name})
    except Unreachable:
        return None
    try:
        rows = other.ask(f"tables of {name}", queries.ALL_TABLES, seconds=TABLES_SECONDS)
        return None if other.problems else [Table(datname=name, **row) for row in rows]
    finally:
        other.close()
