"""YAML of stack files: lines of keys, and nothing hostile gets through."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from opsctl.stack.errors import StackError
from opsctl.stack.yaml_reader import MAX_BYTES, MAX_DEPTH, MAX_NODES, read


def problems(data: bytes) -> str:
    """Return every problem of a file as one text."""
    try:
        document = read(data, "f.yml")
    except StackError as error:
        return str(error)
    return "\n".join(f"f.yml:{problem.line}: {problem.message}" for problem in document.problems)


def test_values_and_the_lines_of_their_keys() -> None:
    document = read(b"name: shop\nservices:\n  db:\n    tables: [a, b]\n    on: yes\n", "f.yml")
    assert document.value == {"name": "shop", "services": {"db": {"tables": ["a", "b"], "on": True}}}
    assert document.line(("services", "db", "tables")) == 4
    assert document.line(("services", "db", "tables", 1)) == 4
    assert document.line(("services", "cache", "unknown")) == 2
    assert not document.problems


@pytest.mark.parametrize(
    ("data", "line", "words"),
    [
        (b"a: 1\nb: 2\na: 3\n", 3, "written twice; first on line 1"),
        (b"a: &x [1]\nb: *x\n", 2, "aliases are not accepted"),
        (b"a: 1\n---\nb: 2\n", 2, "a second document"),
        (b"\x00\x01\x02\xff\xfe", 1, "not UTF-8"),
        (b"ok: 1\nbad: \xff\n", 2, "not UTF-8"),
        (b"a: [1, 2\n", 2, "not YAML"),
        (b"a: b: c\n", 1, "not YAML"),
        (b"\ta: 1\n", 1, "not YAML"),
        (b"[1]: x\n", 1, "cannot be a key"),
        (b"a: !!python/object/apply:os.system [id]\n", 1, ""),
        (b"a: !!int hello\n", 1, "not a value of type"),
        (b"a: " + b"[" * 200 + b"]" * 200, 1, f"deeper than {MAX_DEPTH}"),
        (b"a: [" + b"1," * (MAX_NODES + 5) + b"]", 1, f"more than {MAX_NODES} values"),
        (b"#" * (MAX_BYTES + 10), 1, "bytes; a stack file may have"),
    ],
)
def test_hostile_files_are_refused_with_their_line(data: bytes, line: int, words: str) -> None:
    text = problems(data)
    if words:
        assert f"f.yml:{line}: " in text
        assert words in text


def test_a_tag_that_makes_objects_makes_none() -> None:
    document = read(b"a: !!python/object/apply:os.system [id]\n", "f.yml")
    assert document.value == {"a": ["id"]}


def test_a_value_with_the_wrong_tag_is_not_quoted() -> None:
    assert "hunter2" not in problems(b"a: !!int hunter2\n")


@settings(max_examples=300, deadline=None)
@given(
    st.one_of(
        st.binary(max_size=300), st.text(max_size=300).map(lambda text: text.encode("utf-8", "replace"))
    )
)
def test_any_bytes_give_a_value_or_a_clear_error(data: bytes) -> None:
    text = problems(data)
    assert len(text) < 60_000


YAML_BITS = st.lists(
    st.sampled_from(
        [
            "a",
            "b: ",
            "- ",
            "\n",
            "\n  ",
            "{",
            "}",
            "[",
            "]",
            ", ",
            ": ",
            "? ",
            "&x ",
            "*x",
            "!!int ",
            "'",
            '"',
            "|\n",
            "#",
            "---\n",
            "1",
            "~",
        ]
    ),
    max_size=40,
).map("".join)


@settings(max_examples=300, deadline=None)
@given(YAML_BITS)
def test_pieces_of_yaml_give_a_value_or_a_clear_error(text: str) -> None:
    problems(text.encode())
