"""docs/metrics.md says what the declarations say, and why standard names are left out."""

from __future__ import annotations

from exporters.reference import entries
from tests.unit.metrics_page import COMMAND, PAGE, left_out, page_text, queried


def test_the_page_is_that_of_the_declarations() -> None:
    assert PAGE.read_text() == page_text(), COMMAND


def test_nineteen_of_twenty_standard_names_that_are_asked_for_are_there() -> None:
    names, wanted = {item.name for item in entries()}, queried()
    assert len(wanted) > 350
    assert sum(name in names for name in wanted) >= 0.95 * len(wanted)


def test_every_name_that_is_asked_for_is_there_or_left_out_with_a_reason() -> None:
    names = {item.name for item in entries()}
    assert {name for name in queried() if name not in names} == set(left_out())
    page = PAGE.read_text()
    for item in entries():
        assert f"| `{item.name}` |" in page


def test_the_page_names_every_path() -> None:
    lines = PAGE.read_text().splitlines()
    for path in {path for item in entries() for path in item.paths}:
        assert f"## {path}" in lines
