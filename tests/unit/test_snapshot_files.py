"""Snapshots: there and back without loss, and one clear message for a damaged one."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from opsctl.diagnose import diagnose
from opsctl.errors import UserError
from opsctl.facts import facts_class
from opsctl.files import write_whole
from opsctl.kinds import KINDS
from opsctl.model import Problem, Snapshot
from opsctl.snapshot import MAX_BYTES, from_json, load, save, to_json
from tests.unit.snapshots import redis, snapshot
from tests.unit.structs import structs

SETTINGS = settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def small() -> Snapshot:
    return snapshot(
        {"cache/redis": redis(used_memory=5), "api/redis": Problem(code="timeout", message="late")}
    )


def outcome(data: bytes) -> str:
    """Return the error that judging these bytes ends with, empty where it can be done."""
    try:
        diagnose(from_json(data, "s.json"))
    except UserError as error:
        return str(error)
    return ""


def refusal(data: bytes) -> str:
    with pytest.raises(UserError) as caught:
        from_json(data, "s.json")
    return str(caught.value)


@pytest.mark.parametrize("kind", KINDS)
@SETTINGS
@given(data=st.data())
def test_facts_of_every_kind_come_back_as_they_went(kind: str, data: st.DataObject) -> None:
    facts = data.draw(structs(facts_class(kind)))
    taken = snapshot({f"db/{kind}": facts})
    assert from_json(to_json(taken)) == taken


def test_a_snapshot_comes_back_as_it_went() -> None:
    assert from_json(to_json(small())) == small()


def test_bytes_that_are_no_text_do_not_stop_it() -> None:
    taken = snapshot({"cache/redis": redis(detail="caf\udce9")})
    facts = from_json(to_json(taken)).readings[0].facts
    assert facts is not None
    assert facts.connection.detail == "caf?"  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (lambda value: value.update(schema=2), "schema 2; this opsctl reads schema 1"),
        (lambda value: value.pop("schema"), "no opsctl snapshot"),
        (lambda value: value.update(readings={}), "'readings' is not a list"),
        (lambda value: value.update(readings=[3]), "readings[0] is not an object"),
        (lambda value: value["readings"][0]["facts"].update(used_memory="much"), "used_memory"),
        (lambda value: value["readings"][0]["facts"].update(kind="postgres"), "readings[0]"),
        (lambda value: value["readings"][0]["target"].update(kind="mongo"), "no kind named 'mongo'"),
        (lambda value: value["readings"][0].pop("taken_at"), "readings[0]"),
        (lambda value: value["readings"][0].pop("target"), "readings[0]"),
        (lambda value: value.pop("stack"), "stack"),
        (lambda value: value.update(taken_at="yesterday"), "taken_at"),
        (lambda value: value.update(taken_at="2026-11-21T04:10:02"), "taken_at"),
        (lambda value: value["stack"].update(flow="no-such-tree"), "no flow named"),
        (lambda value: value["stack"].update(services={"a": 3}), "services"),
    ],
)
def test_an_edited_snapshot_is_refused_in_one_message(edit: Any, words: str) -> None:
    value = json.loads(to_json(small()))
    edit(value)
    with pytest.raises(UserError) as caught:
        diagnose(from_json(json.dumps(value).encode(), "s.json"))
    assert words in str(caught.value)
    assert "s.json" in str(caught.value) or "flow" in words
    assert "\n" not in str(caught.value)


def test_a_snapshot_that_was_cut_off_says_so() -> None:
    data = to_json(small())
    for length in (0, 1, 10, len(data) // 2, len(data) - 1):
        assert "not a whole snapshot" in refusal(data[:length])


@pytest.mark.parametrize(
    "data",
    [
        b"\x00\x01\xff",
        b"[" * 100_000,
        b'{"schema":' * 5000,
        b"NaN",
        b'{"schema": 1}',
        b'{"schema": 1, "readings": []}',
        b'{"schema": NaN}',
        b'{"schema": true, "readings": []}',
    ],
)
def test_what_is_no_snapshot_is_refused(data: bytes) -> None:
    text = refusal(data)
    assert text.startswith("s.json: ")
    assert len(text) < 500


@settings(max_examples=300, deadline=None)
@given(st.integers(0, 5000), st.binary(max_size=4), st.integers(0, 8))
def test_any_mutation_is_a_snapshot_or_a_clear_error(at: int, put: bytes, cut: int) -> None:
    data = to_json(small())
    at %= len(data)
    assert len(outcome(data[:at] + put + data[at + cut :])) < 1000


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_any_edit_of_a_value_is_a_snapshot_or_a_clear_error(data: st.DataObject) -> None:
    value = json.loads(to_json(small()))
    places: list[tuple[Any, Any]] = []

    def collect(inside: Any) -> None:
        items = (
            inside.items()
            if isinstance(inside, dict)
            else enumerate(inside)
            if isinstance(inside, list)
            else ()
        )
        for key, item in items:
            places.append((inside, key))
            collect(item)

    collect(value)
    holder, key = data.draw(st.sampled_from(places))
    holder[key] = data.draw(
        st.one_of(
            st.none(),
            st.booleans(),
            st.integers(),
            st.floats(allow_nan=False, allow_infinity=False),
            st.text(max_size=5),
            st.just([]),
            st.just({}),
            st.just([[]]),
            st.just({"a": 1}),
            st.just(10**30),
        )
    )
    assert len(outcome(json.dumps(value).encode("utf-8", "replace"))) < 1000


def test_saving_is_whole_private_and_replaces(tmp_path: Path) -> None:
    path = tmp_path / "s.json"
    path.write_text("old")
    save(small(), path)
    assert load(path) == small()
    assert path.stat().st_mode & 0o777 == 0o600
    assert [entry.name for entry in tmp_path.iterdir()] == ["s.json"]


def test_a_link_stays_a_link_and_a_device_a_device(tmp_path: Path) -> None:
    (tmp_path / "real.json").write_text("old")
    link = tmp_path / "link.json"
    link.symlink_to("real.json")
    save(small(), link)
    assert link.is_symlink()
    assert load(tmp_path / "real.json") == small()
    save(small(), Path("/dev/null"))
    assert Path("/dev/null").is_char_device()


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("none/s.json", "there is no folder"),
        ("", "it is a folder"),
        ("/dev/full", "No space left"),
        ("/proc/s.json", "cannot write"),
        ("a" * 300, "cannot write"),
        ("a\0b", "cannot write"),
    ],
)
def test_what_cannot_be_written_is_said_and_nothing_is_left(tmp_path: Path, path: str, words: str) -> None:
    with pytest.raises(UserError, match=words):
        save(small(), tmp_path / path)
    assert list(tmp_path.iterdir()) == []


def test_a_file_is_not_overwritten_unless_asked(tmp_path: Path) -> None:
    path = tmp_path / "f"
    write_whole(path, b"first", "file", replace=False)
    with pytest.raises(UserError, match="already"):
        write_whole(path, b"second", "file", replace=False)
    assert path.read_bytes() == b"first"
    assert [entry.name for entry in tmp_path.iterdir()] == ["f"]


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    huge = tmp_path / "huge"
    with huge.open("wb") as file:
        file.truncate(MAX_BYTES + 1)
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    for path, words in (
        (tmp_path / "no", "No such file"),
        (tmp_path, "not a file"),
        (huge, "larger than"),
        (fifo, "not a file"),
    ):
        with pytest.raises(UserError, match=words):
            load(path)
