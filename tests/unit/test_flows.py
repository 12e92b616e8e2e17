"""Walking a tree: every branch that holds, deeper trees below, nothing invented."""

from __future__ import annotations

import msgspec

from opsctl.flows import walk
from opsctl.model import Finding
from opsctl.runbooks import Flow
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
