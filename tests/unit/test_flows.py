"""Walking a tree: every branch that holds, deeper trees below, nothing invented."""

from __future__ import annotations

import msgspec
import pytest

from opsctl.checks import all_checks
from opsctl.flows import walk
from opsctl.model import Finding
from opsctl.runbooks import Flow, load_flow
from tests.unit.findings import finding

TREES = {
    "entry": {
        "flow": "entry",
        "title": "Entry",
        "start": "status",
        "steps": {
            "status": {
                "question": "Check container status",
                "answers": [
                    {"answer": "one down", "when": ["container/exited"], "flow": "deep", "action": "restart"},
                    {"answer": "all running"},
                ],
                "next": "logs",
            },
            "logs": {
                "question": "Check logs",
                "answers": [
                    {"answer": "connection errors", "when": ["logs/connection-errors"]},
                    {"answer": "database errors", "when": ["logs/database-errors@backend/*"]},
                    {"answer": "clean"},
                ],
            },
        },
    },
    "deep": {
        "flow": "deep",
        "title": "Deep",
        "start": "why",
        "steps": {
            "why": {
                "question": "Why?",
                "answers": [{"answer": "killed", "when": ["container/oom-killed"]}, {"answer": "not known"}],
                "next": "why",
            }
        },
    },
}


def load(name: str) -> Flow:
    return msgspec.convert(TREES[name], Flow)


def walked(*findings: Finding) -> list[tuple[str, str, int]]:
    return [(step.question, step.answer, step.depth) for step in walk("entry", findings, load)]


def test_the_healthy_path() -> None:
    assert walked(
        finding("container/exited", "db", "ok"),
        finding("logs/connection-errors", "db", "ok"),
        finding("container/oom-killed", "db", "ok"),
    ) == [("Check container status", "all running", 0), ("Check logs", "clean", 0)]


def test_every_branch_that_holds_is_followed_and_a_deeper_tree_hangs_below() -> None:
    path = walked(
        finding("container/exited", "db"),
        finding("container/oom-killed", "db"),
        finding("logs/connection-errors", "backend"),
        finding("logs/database-errors", "backend"),
    )
    assert path == [
        ("Check container status", "one down", 0),
        ("Why?", "killed", 1),
        ("Check logs", "connection errors", 0),
        ("Check logs", "database errors", 0),
    ]


def test_a_pattern_may_name_the_target() -> None:
    path = walked(finding("logs/database-errors", "bot"), finding("logs/connection-errors", "bot", "ok"))
    assert path == [("Check logs", "clean", 0)]


def test_what_the_stack_does_not_have_is_not_asked() -> None:
    assert walked(finding("postgres/down", "db")) == []


def test_what_could_not_be_seen_is_never_called_good() -> None:
    assert walked(finding("container/exited", "db", "unknown")) == [
        ("Check container status", "could not look", 0)
    ]


def test_the_answer_names_its_evidence() -> None:
    steps = walk("entry", [finding("container/exited", "db")], load)
    assert steps[0].because == ("container/exited:db",)
    assert steps[0].action == "restart"


PAGES = {
    "entry": {
        "flow": "entry",
        "title": "Entry",
        "start": "static",
        "steps": {
            "static": {
                "question": "static page",
                "subject": ["http/*@*.html"],
                "answers": [
                    {"answer": "does not come", "when": ["http/*@*.html"]},
                    {"answer": "files missing", "when": ["nginx/static-missing"]},
                    {"answer": "comes"},
                ],
                "next": "through",
            },
            "through": {
                "question": "through nginx",
                "answers": [
                    {"answer": "does not come", "when": ["http/*@*/product/* proxied"]},
                    {"answer": "comes"},
                ],
                "next": "direct",
            },
            "direct": {
                "question": "directly",
                "answers": [
                    {"answer": "does not come", "when": ["http/*@*/product/* direct"]},
                    {"answer": "comes"},
                ],
                "next": "unit",
            },
            "unit": {
                "question": "its unit",
                "answers": [
                    {"answer": "down", "when": ["systemd/failed@* beside postgres"]},
                    {"answer": "runs"},
                ],
                "next": "rest",
            },
            "rest": {
                "question": "the rest",
                "rest": True,
                "answers": [
                    {"answer": "not running", "when": ["systemd/*"]},
                    {"answer": "not well", "when": ["*"]},
                ],
            },
        },
    }
}


def asked(*findings: Finding, proxied: tuple[str, ...] = ()) -> list[tuple[str, str]]:
    def of_pages(name: str) -> Flow:
        return msgspec.convert(PAGES[name], Flow)

    return [(step.question, step.answer) for step in walk("entry", findings, of_pages, proxied)]


def page(path: str, status: str, service: str = "shop", slug: str = "http/status") -> Finding:
    return msgspec.structs.replace(
        finding(slug, service, status), target_id=f"{service}/http/http://h{path}", subject=path
    )


def test_a_page_that_nobody_asked_for_does_not_come() -> None:
    assert asked(finding("nginx/static-missing", "proxy", "ok")) == []
    assert asked(finding("nginx/static-missing", "proxy")) == [("the rest", "not well")]


def test_the_good_answer_about_a_page_needs_the_page() -> None:
    unseen, fine = page("/a.html", "unknown"), finding("nginx/static-missing", "proxy", "ok")
    assert asked(unseen, fine) == [("static page", "could not look")]
    assert asked(page("/a.html", "ok"), fine) == [("static page", "comes")]


def test_what_is_asked_through_a_proxy_and_what_directly_are_two_questions() -> None:
    through, direct = page("/product/1", "critical", "site"), page("/product/1", "ok", "zebra")
    assert asked(through, direct, proxied=(through.target_id,)) == [
        ("through nginx", "does not come"),
        ("directly", "comes"),
    ]


def test_a_unit_is_known_by_what_else_its_service_has() -> None:
    assert asked(finding("systemd/failed", "zebra"), finding("postgres/down", "zebra", "ok")) == [
        ("its unit", "down")
    ]
    assert asked(finding("systemd/failed", "zebra")) == [("the rest", "not running")]


def test_the_good_answer_says_what_could_not_be_seen() -> None:
    assert walked(finding("container/exited", "db", "ok"), finding("container/exited", "b", "unknown")) == [
        (
            "Check container status",
            "all running, as far as could be seen (container/exited on b could not be looked at)",
            0,
        )
    ]


@pytest.mark.parametrize("entry", ["containers", "systemd"])
@pytest.mark.parametrize("slug", [check.slug for check in all_checks()])
def test_every_finding_of_any_service_is_reached(entry: str, slug: str) -> None:
    name = "/http://192.0.2.7:7777/some/path" if slug.startswith("http/") else ""
    found = finding(slug, "zebra")
    found = msgspec.structs.replace(found, target_id=f"{found.target_id}{name}")
    path = walk(entry, [found], load_flow)
    named = [step for step in path if f"{slug}:zebra" in step.because]
    assert named
    assert any(step.depth or step.step != "rest" for step in named), "the net below the tree says nothing"
