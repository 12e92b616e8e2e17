"""What discovery only guesses is called a guess, and explains nothing away as proven."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest

from opsctl.diagnose import diagnose
from opsctl.discovery.found import Discovered, FoundService, assemble, guessed_postgres
from opsctl.discovery.writing import stack_file_text
from opsctl.facts.base import Connection
from opsctl.facts.http import HttpFacts
from opsctl.model import Diagnosis, Problem, Snapshot
from opsctl.render.diagnosis import render
from opsctl.stack.stack import Stack
from tests.unit.snapshots import redis, snapshot

NO_LOGIN = Problem(
    code="permission",
    message="PostgreSQL answers on 127.0.0.1:5432, but no login is known",
    hint="name it in a stack file (opsctl stack init)",
)


def discovered() -> Stack:
    found = [
        FoundService(name="postgresql", role="postgres", postgres=(guessed_postgres("127.0.0.1", 5432),)),
        FoundService(name="api", role="http", unit="api.service"),
    ]
    spec, notes = assemble([Discovered(services=found)])
    return Stack(spec, "discovered", Path("/"), tuple(notes))


def test_a_guessed_dependency_is_marked_in_the_stack_its_file_and_its_summary() -> None:
    stack = discovered()
    assert stack.spec.services["api"].depends_on == ["postgresql"]
    assert stack.spec.services["api"].depends_on_guessed
    assert not stack.spec.services["postgresql"].depends_on_guessed
    assert stack.summary().services["api"].guessed
    assert "depends_on_guessed: true" in stack_file_text(stack)
    assert stack.notes == ()


def broken_page() -> HttpFacts:
    return HttpFacts(
        up=True,
        connection=Connection(state="ok", address="127.0.0.1:8000"),
        url="http://127.0.0.1:8000/",
        status_code=500,
        expected_status=[200],
    )


def with_guess(taken: Snapshot, guessed: bool) -> Snapshot:
    services = {
        name: msgspec.structs.replace(item, guessed=guessed and bool(item.depends_on))
        for name, item in taken.stack.services.items()
    }
    return msgspec.structs.replace(taken, stack=msgspec.structs.replace(taken.stack, services=services))


def judged(guessed: bool) -> Diagnosis:
    down = redis("refused", "Connection refused")
    taken = snapshot({"cache/redis": down, "api/http": broken_page()}, {"api": ["cache"]})
    return diagnose(with_guess(taken, guessed))


def test_what_a_guessed_dependency_explains_is_probable() -> None:
    result = judged(guessed=True)
    assert [cause.finding.id for cause in result.root_causes] == ["redis/down"]
    assert result.root_causes[0].chain, "this test needs an effect"
    text = " ".join(render(result, "text", width=100).split())
    assert "└─ probably http/" in text
    assert "which probably explains" in text
    assert "Probably explains (who leans on whom was guessed" in render(result, "markdown")
    (item,) = json.loads(render(result, "json"))["root_causes"][0]["chain"]
    assert item["probable"] is True


def test_what_a_declared_dependency_explains_is_not_called_probable() -> None:
    result = judged(guessed=False)
    assert "robabl" not in render(result, "text") + render(result, "markdown")
    assert json.loads(render(result, "json"))["root_causes"][0]["chain"][0]["probable"] is False


@pytest.mark.parametrize("output", ["text", "markdown"])
def test_an_unknown_login_is_said_once_and_no_check_of_it_is_a_suspect_of_its_own(output: str) -> None:
    taken = snapshot({"db/postgres": NO_LOGIN, "api/http": broken_page()}, {"api": ["db"]})
    result = diagnose(with_guess(taken, True))
    text = " ".join(render(result, output, width=100).split())
    suspects = text.partition("Suspects that could not be looked at")[2].partition("No cause proven")[0]
    assert text.count("checks on db:") + text.count("checks | db |") == 1 or "postgres/" not in suspects
    assert text.count("but no login is known") <= 2, (
        "once as a suspect, once as what would raise the coverage"
    )


def test_a_refused_guess_says_where_it_answers_and_what_to_do() -> None:
    from opsctl.facts.postgres import PostgresFacts
    from opsctl.look import _refused_guess
    from opsctl.stack.targets import assignments

    item = next(item for item in assignments(discovered()) if item.target.kind == "postgres")
    refused = PostgresFacts(up=False, connection=Connection(state="auth-failed", address="127.0.0.1:5432"))
    assert _refused_guess(item.target, item.spec, refused) == NO_LOGIN
    down = PostgresFacts(up=False, connection=Connection(state="refused", address="127.0.0.1:5432"))
    assert _refused_guess(item.target, item.spec, down) is None
