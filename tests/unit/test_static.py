"""Static pages: files for pages, counts, ages, and what the checks make of facts."""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opsctl.facts.base import FactProblem
from opsctl.facts.static import Page, PageCount, StaticFacts
from opsctl.judge import judge
from opsctl.model import Finding, Reading, Snapshot, StackSummary, Status, Target
from opsctl.probes import static_files
from opsctl.probes.static import http_time, probe
from opsctl.stack import reader
from opsctl.stack.errors import StackError
from opsctl.stack.specs import StaticSpec
from tests.unit.contexts import context_for

NOW = datetime(2026, 11, 21, 7, 0, tzinfo=UTC)
AT = NOW.timestamp()


@pytest.mark.parametrize(
    ("page", "files"),
    [
        ("/", ("index.html",)),
        ("/about/", ("about/index.html",)),
        ("/404.html", ("404.html",)),
        ("/about", ("about", "about.html", "about/index.html")),
        ("about?x=1", ("about", "about.html", "about/index.html")),
    ],
)
def test_the_file_of_a_page(page: str, files: tuple[str, ...]) -> None:
    assert static_files.files_for(page) == files


@given(st.text(max_size=60))
def test_any_page_has_a_file(page: str) -> None:
    assert all(
        name and not name.startswith("/") for name in static_files.files_for(page) if page.strip("/? ")
    )


@pytest.mark.parametrize(
    ("text", "seconds"), [("30m", 1800), ("12h", 43200), ("7d", 604800), ("2w", 1209600), ("", None)]
)
def test_ages(text: str, seconds: float | None) -> None:
    assert static_files.age_seconds(text) == seconds


def test_http_dates() -> None:
    assert http_time("Sat, 21 Nov 2026 07:00:00 GMT") == AT
    assert http_time("") is None


@given(st.text(max_size=60))
def test_any_date_is_survived(text: str) -> None:
    http_time(text)


@pytest.fixture
def build(tmp_path: Path) -> Path:
    root = tmp_path / "dist"
    for page in ("", "about", "catalog/beams", "catalog/pipes"):
        (root / page).mkdir(parents=True, exist_ok=True)
        (root / page / "index.html").write_text("<!doctype html>")
    (root / "404.html").write_text("<!doctype html>")
    return root


def facts_of(build: Path, **more: Any) -> StaticFacts:
    values = {"root": str(build), "pages": ["/", "/about/", "/404.html"], "at_least": {"/catalog/*/": 2}}
    return probe(context_for("static", StaticSpec(**(values | more)), build.parent, 60))


def judged(facts: StaticFacts, at: datetime = NOW) -> list[Finding]:
    snapshot = Snapshot(
        schema=1,
        opsctl_version="0",
        stack=StackSummary(name="x", flow="systemd", origin="", services={}),
        taken_at=at,
        duration_seconds=0,
        deadline_seconds=10,
        readings=(
            Reading(
                target=Target(kind="static", service="pages"), taken_at=at, duration_seconds=0, facts=facts
            ),
        ),
    )
    return judge(snapshot)


def failing(facts: StaticFacts, at: datetime | None = None) -> dict[str, str]:
    found = judged(facts, at or datetime.now(UTC))
    return {item.id.partition("/")[2]: item.summary for item in found if item.status.failing}


def test_a_whole_build_yields_nothing(build: Path) -> None:
    facts = facts_of(build, max_age="1d", sources=[str(build / "404.html")])
    assert failing(facts) == {}
    assert {item.status for item in judged(facts)} == {Status.OK}


def test_a_page_is_missing(build: Path) -> None:
    (build / "about" / "index.html").unlink()
    assert failing(facts_of(build)) == {
        "page-missing": f"/about/ is not in the build: {build}/about/index.html: no such file"
    }


def test_an_empty_page_is_missing(build: Path) -> None:
    (build / "404.html").write_text("")
    assert "is empty" in failing(facts_of(build))["page-missing"]


def test_too_few_pages_of_a_pattern(build: Path) -> None:
    (build / "catalog" / "beams" / "index.html").unlink()
    assert failing(facts_of(build)) == {
        "page-missing": "the build holds 1 of at least 2 pages /catalog/*/; catalog/beams/ has no index.html"
    }


def test_no_build_at_all(build: Path, tmp_path: Path) -> None:
    found = judged(facts_of(tmp_path / "gone"))
    assert [(item.id, item.status) for item in found] == [
        ("static/page-missing", Status.CRITICAL),
        ("static/build-stale", Status.BLOCKED),
    ]
    (tmp_path / "empty").mkdir()
    assert "is empty" in failing(facts_of(tmp_path / "empty"))["page-missing"]


def age(path: Path, seconds: float) -> None:
    then = time.time() - seconds
    for item in [path, *path.rglob("*")]:
        os.utime(item, (then, then))


def test_a_build_older_than_is_allowed(build: Path) -> None:
    age(build, 3 * 86400)
    assert failing(facts_of(build, max_age="2d")) == {"build-stale": "the build is 3 d old, 2 d are allowed"}
    assert failing(facts_of(build, max_age="4d")) == {}


def test_a_build_older_than_its_sources(build: Path, tmp_path: Path) -> None:
    source = tmp_path / "templates" / "page.html"
    source.parent.mkdir()
    source.write_text("x")
    (source.parent / "node_modules").mkdir()
    (source.parent / "node_modules" / "x.js").write_text("x")
    age(build, 86400)
    assert failing(facts_of(build, sources=[str(source.parent)])) == {}  # it may still be built
    os.utime(source, (time.time() - 3600,) * 2)
    (source.parent / "node_modules" / "x.js").touch()
    assert failing(facts_of(build, sources=[str(source.parent)])) == {
        "build-stale": f"{source} changed 60 min ago, the build is 23 h older"
    }


def test_sources_that_are_not_there_are_unknown(build: Path) -> None:
    found = judged(facts_of(build, sources=["/nowhere/at/all"]))
    assert found[-1].status is Status.UNKNOWN


def page(**change: Any) -> Page:
    values: dict[str, Any] = {
        "page": "/about/",
        "exists": True,
        "file": "/d/about/index.html",
        "served_status": 200,
    }
    return Page(**(values | {"changed_at": AT - 3600, "served_changed_at": AT - 3600} | change))


@pytest.mark.parametrize(
    ("facts", "slug"),
    [
        ({"pages": [page()]}, ""),
        ({"pages": [page(served_status=404)]}, "page-missing"),
        ({"pages": [page(served_status=403)]}, "page-missing"),
        ({"pages": [page(served_status=502, served_changed_at=None)]}, ""),
        ({"pages": [page(served_changed_at=AT - 7200)]}, "build-stale"),
        ({"pages": [page(changed_at=AT - 5, served_changed_at=AT - 7200)]}, ""),
        ({"counts": [PageCount(pattern="/c/*/", found=650, wanted=650)]}, ""),
        ({"counts": [PageCount(pattern="/c/*/", found=649, wanted=650)]}, "page-missing"),
    ],
)
def test_judging(facts: dict[str, Any], slug: str) -> None:
    assert list(failing(StaticFacts(root="/d", url="http://s", **facts), NOW)) == ([slug] if slug else [])


def test_a_walk_that_was_cut_short_is_unknown() -> None:
    problems = [FactProblem(part="build", code="unsupported", message="cut")]
    found = judged(StaticFacts(root="/d", max_age=60.0, built_at=AT - 9999, problems=problems))
    assert found[-1].status is Status.UNKNOWN


@pytest.mark.parametrize("text", ["{pages: [/]}", "{root: d, max_age: 1y}", "{root: d, url: ftp://x}"])
def test_what_is_refused(text: str) -> None:
    with pytest.raises(StackError):
        reader.parse(f"name: x\nservices:\n  pages:\n    static: {text}\n".encode(), "f.yml", Path("/"))
