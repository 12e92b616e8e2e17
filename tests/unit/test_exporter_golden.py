"""What a page of the exporter can hold is what the golden files say; a change of it is seen in review."""

from __future__ import annotations

import pytest

from exporters.reference import entries
from tests.unit.exporter_golden import COMMAND, GOLDEN, families, golden, lines, pages
from tests.unit.strict import strictly

PAGES = pages()


@pytest.mark.parametrize("name", PAGES)
def test_a_page_holds_what_its_golden_file_says(name: str) -> None:
    assert (GOLDEN / f"{name}.txt").read_text() == lines(PAGES[name]), COMMAND


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_read_strictly(name: str) -> None:
    assert set(strictly(PAGES[name])) == set(golden(name))


@pytest.mark.parametrize("name", PAGES)
def test_a_page_with_everything_holds_every_metric_of_the_reference(name: str) -> None:
    path = {"probe": "/probe", "exporter": "/metrics"}.get(name, f"/metrics/{name}")
    there = families(PAGES[name])
    assert {item.name: item.type for item in entries() if path in item.paths} == {
        family: kind for family, (kind, _) in there.items()
    }
    for item in entries():
        if path in item.paths:
            own = {label for label in item.labels if label in there[item.name][1]}
            assert own == set(item.labels), item.name


def test_there_is_no_golden_file_without_a_page() -> None:
    assert {path.stem for path in GOLDEN.glob("*")} == set(PAGES)
