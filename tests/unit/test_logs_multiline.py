"""What spans lines is one entry, and the exception that led to the others names it."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opsctl.logs.analysis import MAX_TEMPLATES, MAX_TEXT, Analysis
from opsctl.logs.classes import meaning
from opsctl.logs.entries import MAX_BODY_LINES, Assembly, Entry, Line, assemble
from opsctl.logs.formats import READERS
from opsctl.logs.stores import file_lines
from opsctl.logs.templates import MAX_GROUPS

DATA = Path(__file__).parent / "data" / "logs"
FORMATS = sorted(READERS)


def assembled(name: str, format: str) -> Assembly:
    return assemble(file_lines((DATA / name).read_bytes()), format)


def errors(name: str, format: str) -> list[Entry]:
    return [entry for entry in assembled(name, format).entries if entry.is_error]


def counted(result: Assembly) -> int:
    return sum(1 + entry.quiet_before for entry in result.entries)


def test_postgres_writes_one_entry_with_its_hint_context_and_statement() -> None:
    result = assembled("postgres-multiline.log", "postgres")
    heads = (DATA / "postgres-multiline.log").read_text().count("LOG: ")
    assert counted(result) == heads + 7
    found = [entry for entry in result.entries if entry.is_error]
    assert [entry.message[:16] for entry in found] == [
        'column "nope" do',
        "syntax error at ",
        "division by zero",
        "function lowerr(",
        'null value in co',
        "duplicate key va",
        "invalid input sy",
    ]  # fmt: skip
    assert found[4].detail == "Failing row contains (1, null)."
    assert result.unparsed == 0


def test_a_statement_below_a_quiet_entry_is_no_entry() -> None:
    head = "2026-11-21 07:17:14.054 GMT [452] app@app "
    lines = ["LOG:  duration: 1204.112 ms", "DETAIL:  parameters: $1 = '1'", "STATEMENT:  select 1"]
    result = assemble([Line(head + line) for line in lines * 200], "postgres")
    assert counted(result) == 200


def test_laravel_writes_one_entry_whatever_its_lines_begin_with() -> None:
    result = assembled("laravel-multiline.log", "laravel")
    assert counted(result) == 4
    broken, memory = [entry for entry in result.entries if entry.is_error]
    assert broken.lines == 17
    assert meaning(f"{broken.message} {broken.detail}").category == "database"
    assert memory.message.startswith("Allowed memory size")
    assert result.unparsed == 3  # the end of an entry that was cut


def test_an_exception_group_is_one_entry_named_by_what_it_holds() -> None:
    result = assembled("uvicorn-group.log", "uvicorn")
    assert counted(result) == 3
    failed = result.entries[1]
    assert failed.exception == "KeyError: 'price'"
    assert failed.message == "Exception in ASGI application"


def test_json_exceptions_are_named_by_what_led_to_them() -> None:
    found = errors("json-nested.log", "json")
    assert [entry.exception or entry.message for entry in found] == [
        "OperationalError: connection to server at 127.0.0.1, port 5432 failed: Connection refused",
        "PDOException: SQLSTATE[08006] [7] connection refused",
        "KeyError: 'price'",
        "redis.exceptions.ConnectionError: Error 111 connecting to redis:6379. Connection refused.",
        "Error: connect ECONNREFUSED 127.0.0.1:5432",
        "MemoryError: out of memory",
    ]
    assert [entry.time for entry in found] == [1795234150 + number + [0, 0.123456][number == 1]
                                               for number in range(6)]  # fmt: skip
    kinds = [meaning(f"{entry.exception} {entry.detail}").category for entry in found]
    assert kinds == ["connection", "connection", "application", "connection", "connection", "application"]


def test_a_java_trace_is_named_by_its_cause() -> None:
    lines = [
        "2026-11-21 04:09:14 ERROR request failed",
        "java.lang.RuntimeException: order not saved",
        "\tat app.Order.save(Order.java:12)",
        "Caused by: java.net.ConnectException: Connection refused",
        "\t... 23 more",
    ]
    (entry,) = assemble([Line(line) for line in lines], "plain").entries
    assert entry.exception == "java.net.ConnectException: Connection refused"


def test_every_address_that_a_driver_tried_belongs_to_the_error() -> None:
    lines = [
        "ERROR:    health: connection failed: connection to server at \"::1\", port 5432 failed: refused",
        "Multiple connection attempts failed. All failures were:",
        "- host: 'localhost', port: 5432, hostaddr: '::1': connection failed: refused",
    ]  # fmt: skip
    assert [entry.lines for entry in assemble([Line(line) for line in lines], "uvicorn").entries] == [3]


HEADS = {
    "plain": "2026-11-21 04:09:14 ERROR ",
    "uvicorn": "ERROR:    ",
    "json": '{"level":"error","message":"x"}',
    "laravel": "[2026-11-21 04:09:14] production.ERROR: ",
    "postgres": "2026-11-21 04:09:14.123 UTC [42] app@shop ERROR:  ",
    "nginx-error": "2026/11/21 04:09:14 [error] 7#7: *1 ",
}
BODY = st.sampled_from(
    ["\tat x", "  File", "Traceback (most recent call last):", "KeyError: 'x'", "#1 {main}", "", '"} ']
)


@given(
    st.sampled_from(sorted(HEADS)), st.lists(st.lists(BODY, max_size=6), min_size=1, max_size=12), st.data()
)
def test_entries_do_not_depend_on_where_a_log_is_cut_between_them(
    format: str, bodies: list[list[str]], data: st.DataObject
) -> None:
    head = HEADS[format]
    written = [[Line(f"{head}{number}" if head[0] != "{" else head), *map(Line, body)]
               for number, body in enumerate(bodies)]  # fmt: skip
    cut = data.draw(st.integers(0, len(written)))
    whole = assemble(itertools.chain.from_iterable(written), format).entries
    parts = [
        entry
        for part in (written[:cut], written[cut:])
        for entry in assemble(itertools.chain.from_iterable(part), format).entries
    ]
    assert [(entry.message, entry.exception, entry.lines) for entry in parts] == [
        (entry.message, entry.exception, entry.lines) for entry in whole
    ]


@given(st.binary(max_size=600), st.sampled_from(FORMATS), st.floats(0, 1e4))
def test_any_bytes_give_bounded_facts(data: bytes, format: str, ago: float) -> None:
    analysis = Analysis(format, 1_795_234_200.0, str)
    analysis.add(file_lines(data * 3), 1_795_234_200.0 - ago)
    values = analysis.values()
    assert len(values["templates"]) <= MAX_TEMPLATES
    assert all(len(item.text) <= MAX_TEXT and len(item.example) <= MAX_TEXT for item in values["templates"])


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(
        st.sampled_from(["message", "error", "exception", "level", "time", "record", "context", "cause",
                         "type", "stack", "status", "path", "log", "timestamp", "level_name"]),
        inner, max_size=5,
    ),
    max_leaves=20,
)  # fmt: skip


@given(st.dictionaries(st.sampled_from(["message", "error", "exception", "level", "time", "record", "context",
                                        "status", "path", "log", "level_name"]), JSON))  # fmt: skip
def test_no_json_makes_its_reader_raise(value: dict[str, object]) -> None:
    import json

    head = READERS["json"](json.dumps(value))
    assert head is not None
    assert len(head.message) < 50_000


@pytest.mark.timeout(60)
@pytest.mark.parametrize("format", FORMATS)
def test_what_is_kept_of_a_hostile_log_is_bounded(format: str) -> None:
    analysis = Analysis(format, 1_795_234_200.0, str)
    head = HEADS.get(format, "ERROR ")
    words = [f"{head}{'abcdefghij'[number % 10] * (number % 97)}{number:x} failed" for number in range(3000)]
    analysis.add([Line(text) for text in words] + [Line("  File x")] * 5000, 1_795_234_199.0)
    assert len(analysis._templates.groups) <= MAX_GROUPS
    (entry,) = assemble([Line(head + "x"), *[Line("\tat x")] * (MAX_BODY_LINES + 50)], format).entries[:1]
    assert len(entry.exception) <= 1000
