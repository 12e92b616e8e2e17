"""What a target is called or says never fails a page: quotes, line breaks, any alphabet, nothing, twice."""

from __future__ import annotations

from typing import Any, cast

import msgspec
import pytest

from exporters.exposition import LabelTexts
from exporters.pages import PAGES
from opsctl.facts import facts_class
from opsctl.facts.base import Connection, Facts, Info
from opsctl.facts.container import ContainerFacts, Instance
from opsctl.facts.postgres import PostgresFacts
from opsctl.facts.postgres_relations import Database
from opsctl.metrics import declaration, declared_metrics
from opsctl.redact import Redactor
from opsctl.stack.targets import Assignment
from tests.unit.exporter import LONG, ask, lookout, serving, stack
from tests.unit.exporter_golden import families, kinds_page
from tests.unit.strict import strictly

HOSTILE: tuple[Any, ...] = (
    'quote " in it',
    "back\\slash\\",
    "line\nbreak\r\n",
    "Größe 数据库 🐘 \u202e",
    '"} 1\n# TYPE pg_up counter\npg_up 1',
    "100%s %(name)s {0}",
    "\udcff",
    "\x00\x1b[31m",
    " ",
    "",
    None,
)


def hostile(record: Any, text: Any) -> Any:
    """Return the record with this as every text that is shown, and everything of a list twice."""
    own = declaration(type(record))
    changed: dict[str, Any] = {name: text for name, _ in (*own.labels, *own.infos)}
    for number in own.numbers:
        changed |= dict.fromkeys(number.metric.beside.values(), text)
        if number.mapping and number.metric.key != "le":
            changed[number.field] = {text: 1, f"{text} again": 2}
    for child in own.children:
        inner = getattr(record, child.field)
        if inner is not None:
            made = [hostile(item, text) for item in (inner if child.many else [inner])]
            changed[child.field] = made * 2 if child.many else made[0]
    return msgspec.structs.replace(record, **changed)


@pytest.mark.parametrize("text", HOSTILE, ids=ascii)
@pytest.mark.parametrize("name", PAGES)
def test_no_name_fails_a_page(name: str, text: Any) -> None:
    """Every number is there as if the names were nice."""
    kinds, _ = PAGES[name]
    page = kinds_page(kinds, lambda facts: cast("Facts", hostile(facts, text)), LabelTexts(Redactor().text))
    nice = kinds_page(kinds)
    there, wanted = strictly(page), strictly(nice)
    infos = {
        metric.name
        for kind in kinds
        for metric, _ in declared_metrics(facts_class(kind))
        if isinstance(metric, Info)
    }
    assert wanted.keys() - (set() if text else infos) <= there.keys() <= wanted.keys()
    assert {family: kind for family, (kind, _) in families(page).items()}.items() <= {
        family: kind for family, (kind, _) in families(nice).items()
    }.items()


def database(name: Any) -> Database:
    return Database(datname=name, size=len(name or ""))


def instance(name: str, id: str) -> Instance:
    return Instance(name=name, image="shop", id=id, restart_count=int(id[-1]))


def test_databases_and_containers_with_names_of_their_own_are_all_on_the_page() -> None:
    names = [name for name in HOSTILE if name and name.isprintable()]

    def facts_of(item: Assignment) -> Facts | None:
        if item.target.kind == "postgres":
            databases = [database(name) for name in (*names, names[0], None)]
            return PostgresFacts(connection=Connection(state="ok"), databases=databases)
        if item.target.kind == "container":
            return ContainerFacts(
                service="app",
                instances=[instance("app", "id1"), instance("app", "id2"), instance("app", "id1")],
            )
        return None

    services = {
        "app": {
            "container": "app",
            "project": "shop",
            "postgres": {"dsn": "postgresql://app@127.0.0.1:5432/app"},
        }
    }
    with serving(application(services, facts_of)) as server:
        status, _, body = ask(server.port, "/metrics/postgres")
        assert status == 200
        databases = strictly(body.decode())["pg_database_size_bytes"]
        assert {labels["datname"] for labels in databases} == {*names, ""}
        status, _, body = ask(server.port, "/metrics/container")
        assert status == 200
        restarts = strictly(body.decode())["opsctl_container_restarts_total"]
        assert sorted((labels["name"], labels["id"]) for labels in restarts) == [
            ("app", "id1"),
            ("app", "id2"),
        ]


def application(services: dict[str, Any], facts_of: Any) -> Any:
    from exporters.application import Application

    return Application(lookout(stack(services, compose={"project": "shop"}), facts_of), LONG).answer
