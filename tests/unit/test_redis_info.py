"""What INFO, CONFIG GET and SLOWLOG GET answer, read as a well-known library reads it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opsctl.probes.redis_parsing import config_fields, info_fields, slow_entries

DATA = Path(__file__).parent / "data" / "redis"
VALUES = st.one_of(
    st.sampled_from(
        ["", "1", "-1", "1.5", "nan.", "7.0.15", "ok", "1_0", "a=1", "a=1,b=2.5,c=x", "a,b=1", "a=b=2", "=1,"]
    ),
    st.text(st.characters(codec="ascii", exclude_characters=","), max_size=10),
)
NAMES = st.text("abdm_|:#=0", max_size=6) | st.sampled_from(
    ["db0", "cmdstat_host:", "cmdstat_get", "errorstat_OOM"]
)


def reference(text: str) -> dict[str, Any]:
    """Return INFO as redis-py reads it, without what no field comes from."""
    from redis._parsers import helpers

    parse: Any = helpers.parse_info
    return {
        name: value for name, value in parse(text).items() if name not in ("__raw__", "modules", "module")
    }


@pytest.mark.parametrize("path", sorted(DATA.glob("*.txt")), ids=lambda path: path.stem)
def test_stored_texts(path: Path) -> None:
    fields = info_fields(path.read_text())
    assert fields["redis_version"]
    assert fields == reference(path.read_text())


@given(st.lists(st.tuples(NAMES, VALUES), max_size=6))
def test_any_text(lines: list[tuple[str, str]]) -> None:
    text = "\r\n".join(["# Section", "no colon", *(f"{name}:{value}" for name, value in lines)])
    assert repr(info_fields(text)) == repr(reference(text))  # repr: nan is not equal to itself


@pytest.mark.parametrize("reply", [None, 1, [], ["x"]])
def test_what_is_no_text_has_no_fields(reply: Any) -> None:
    assert info_fields(reply) == {}


def test_config() -> None:
    assert config_fields(["bind", "* -::*", "save", ""]) == {"bind": "* -::*", "save": ""}
    assert config_fields(None) == config_fields([]) == config_fields(["bind"]) == {}


def test_slow_log() -> None:
    command = ["KEYS", "*"]
    entry = {"id": 3, "start_time": 1795236000, "duration": 12_000, "command": "KEYS *"}
    short, long = [3, 1795236000, 12_000, command], [3, 1795236000, 12_000, command, "127.0.0.1:5", "app"]
    with_complexity = [3, 1795236000, 12_000, "N:10", command, "127.0.0.1:5", "app"]
    assert slow_entries([short, long, with_complexity]) == [entry] * 3
    assert slow_entries([None, [], [1, 2, 3], [1, 2, "x", []], "x"]) == []
    assert slow_entries(None) == []
