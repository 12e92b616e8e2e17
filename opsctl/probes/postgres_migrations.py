"""Migrations of the code (files) against those that the database has seen (rows)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from opsctl.facts.base import FactProblem
from opsctl.facts.postgres_relations import Migrations

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from opsctl.probes.base import ProbeContext
    from opsctl.probes.postgres_connection import Asker
    from opsctl.stack.specs import PostgresSpec

MAX_FILES = 5000
MAX_BYTES = 64 * 1024
MAX_NAMES = 20
TABLES = {"alembic": ("alembic_version", "version_num"), "laravel": ("migrations", "migration")}

_REVISION = re.compile(r"^revision\s*(?::[^=\n]+)?=\s*['\"]([^'\"\n]+)['\"]", re.M)
_DOWN = re.compile(r"^down_revision\s*(?::[^=\n]+)?=\s*(\([^)]*\)|\[[^\]]*\]|[^\n]+)", re.M)
_QUOTED = re.compile(r"['\"]([^'\"\n]+)['\"]")


def alembic_revision(text: str) -> tuple[str, tuple[str, ...]] | None:
    """Return a migration file's revision and its predecessors, None where it is no migration."""
    revision = _REVISION.search(text)
    if revision is None:
        return None
    down = _DOWN.search(text)
    parents = tuple(_QUOTED.findall(down[1].partition("#")[0])) if down else ()
    return revision[1], parents


def alembic_pending(
    graph: Mapping[str, tuple[str, ...]], applied: Iterable[str]
) -> tuple[list[str], list[str]]:
    """Return (pending revisions, applied ones that the code does not know).

    What an applied revision rests on is applied too. Abbreviated parents are not followed.
    """
    unknown = sorted(revision for revision in applied if revision not in graph)
    done: set[str] = set()
    waiting = [revision for revision in applied if revision in graph]
    while waiting:
        revision = waiting.pop()
        if revision not in done:
            done.add(revision)
            waiting.extend(parent for parent in graph.get(revision, ()) if parent in graph)
    return sorted(set(graph) - done), unknown


def migrations(tool: str, files: Mapping[str, str], applied: list[str]) -> Migrations:
    """Compare the files of a migrations folder (name -> beginning of its text) with the applied names."""
    if tool == "alembic":
        parsed = [alembic_revision(text) for text in files.values()]
        graph = dict(item for item in parsed if item is not None)
        pending, unknown = alembic_pending(graph, applied)
        known = len(graph)
    else:
        names = {name.removesuffix(".php") for name in files}
        pending = sorted(names - set(applied))
        unknown = sorted(set(applied) - names)
        known = len(names)
    return Migrations(
        tool=tool,
        applied=applied[-MAX_NAMES:],
        pending=pending[:MAX_NAMES],
        unknown=unknown[:MAX_NAMES],
        known_count=known,
        applied_count=known - len(pending),
        pending_count=len(pending),
    )


def read_files(tool: str, folder: Path) -> dict[str, str]:
    """Return the migration files of a folder by name; of alembic's the beginning of each text.

    Raises:
        OSError: the folder or a file cannot be read.
    """
    pattern = "*.php" if tool == "laravel" else "*.py"
    if tool == "alembic" and (folder / "versions").is_dir():
        folder = folder / "versions"
    if not folder.is_dir():
        raise FileNotFoundError(2, "no such folder", str(folder))
    list(folder.iterdir())  # glob() is silent about a folder that may not be read
    result: dict[str, str] = {}
    for path in sorted(folder.glob(pattern))[:MAX_FILES]:
        text = ""
        if tool == "alembic":
            with path.open("rb") as file:
                text = file.read(MAX_BYTES).decode("utf-8", "replace")
        result[path.name] = text
    return result


def applied_names(rows: Iterable[dict[str, Any]], column: str) -> list[str]:
    """Return the names in the database's own list, bounded in length."""
    return [str(row[column])[:200] for row in rows if row.get(column) is not None]


def ask_migrations(asker: Asker, spec: PostgresSpec, context: ProbeContext) -> dict[str, Any]:
    """Return the field `migrations` of `PostgresFacts`; nothing where it cannot be told."""
    if not spec.migrations_path:
        message = "migrations: the stack file names no migrations_path"
        asker.problems.append(FactProblem(part="migrations", code="missing", message=message))
        return {}
    folder = context.stack.path(spec.migrations_path)
    try:
        files = read_files(spec.migrations, folder)
    except OSError as error:
        message = f"migrations: {folder}: {error.strerror or error}"[:300]
        asker.problems.append(FactProblem(part="migrations", code="missing", message=message))
        return {}
    table, column = TABLES[spec.migrations]
    noted = len(asker.problems)
    state = asker.ask("migrations", _TABLE_STATE, (table, table))
    if len(asker.problems) > noted:
        return {}
    applied: list[dict[str, Any]] = []
    if state and state[0]["locked"]:
        message = f"migrations: {table} is locked; a migration may be running"
        asker.problems.append(FactProblem(part="migrations", code="timeout", message=message))
        return {}
    if state and state[0]["there"]:
        applied = asker.ask("migrations", f"select {column} from {table} order by 1 limit 10000")
        if len(asker.problems) > noted:
            return {}
    names = applied_names(applied, column)
    return {"migrations": [migrations(spec.migrations, files, names)]}


_TABLE_STATE = """
select to_regclass(%s) is not null as there,
       exists (select from pg_catalog.pg_locks where relation = to_regclass(%s)::oid
                  and mode = 'AccessExclusiveLock') as locked
"""
