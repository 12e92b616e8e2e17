"""What people and programs read: every format, with harmless and with hostile words in it."""

from __future__ import annotations

import json
import re
from typing import Any
from xml.etree import ElementTree

import msgspec
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from opsctl.diagnose import diagnose
from opsctl.health import health
from opsctl.model import (
    Candidate,
    Coverage,
    Diagnosis,
    Evidence,
    Finding,
    Remediation,
    RootCause,
    RuledOut,
    Status,
    Step,
)
from opsctl.render import diagnosis as render
from opsctl.render import health as render_health
from opsctl.render.junit import findings_junit
from opsctl.render.markdown import code, inline
from opsctl.render.page import Page, columns, printable
from opsctl.render.text import path_tree, summary_line
from tests.unit.snapshots import AT, redis, snapshot

FORMATS = ("text", "json", "yaml", "markdown", "junit", "nagios")
COMMAND = (
    'psql -h 127.0.0.1 -d shop -c "select pid, state, left(query, 60) from pg_stat_activity '
    "where state <> 'idle' order by 1\""
)
HOSTILE = st.text(max_size=40) | st.sampled_from(
    [
        "a\x00b",
        "\x1b[31mred\x1b[0m",
        "]]>",
        "<b>&",
        "a|b",
        "a\nb",
        "```",
        "\ud800",
        "\u202eevil",
        "- x",
        "'",
        '"',
        "\x85",
    ]
)


def finding(
    text: str = "100 of 100 connections are in use", command: str = COMMAND, **values: Any
) -> Finding:
    given: dict[str, Any] = {
        "id": "postgres/connections",
        "target": "db",
        "target_id": "db/postgres",
        "status": Status.CRITICAL,
        "summary": text,
        "evidence": (
            Evidence(text=text, value=100, threshold=95, unit="connections", source=command, at=AT),
            Evidence(text=f"of these idle: {text}", value=0.5, unit="ratio"),
        ),
        "remediation": Remediation(text=f"Close what leaks. {text}", commands=(command,)),
        "at": AT,
    }
    return Finding(**(given | values))


def diagnosis(text: str = "100 of 100 connections are in use", command: str = COMMAND) -> Diagnosis:
    cause = finding(text, command)
    effect = finding(
        text, command, id="http/body", target="backend", target_id="backend/http/x", subject=text
    )
    unseen = finding(text, command, id="redis/down", target="cache", status=Status.UNKNOWN, hint=text)
    return Diagnosis(
        stack="shop",
        taken_at=AT,
        duration_seconds=0.84,
        status=Status.CRITICAL,
        root_causes=(RootCause(finding=cause, chain=(effect,)),),
        unproven=(RootCause(finding=effect, chain=(), proven=False),),
        also=(finding(text, command, id="host/rebooted", status=Status.WARNING),),
        candidates=(Candidate(id="redis/down", target="cache", because=text, next_probe=command),),
        path=(
            Step(
                flow="containers",
                step="status",
                question="Check container status:",
                answer=text,
                because=("http/body:backend",),
            ),
            Step(flow="postgres", step="a", question=text, answer="full", action=text, depth=1),
        ),
        findings=(effect, cause, unseen),
        ruled_out=(RuledOut(id="host/disk-full", target="host", because=text),),
        coverage=Coverage(checks=41, ran=38, blocked=2, unknown=1, hints=(text,)),
    )


def test_no_line_of_text_is_wider_than_asked_but_those_to_copy() -> None:
    for width in (60, 80, 100):
        text = render.render(diagnosis(), "text", width=width, stack_argument=" --stack shop")
        for line in text.splitlines():
            assert columns(line) <= width or COMMAND in line or "opsctl verify" in line, line
        assert f"      {COMMAND}\n" in text, "a command is one line"
        assert "opsctl verify postgres/connections --target db/postgres --stack shop\n" in text


def test_the_last_line_sums_up_and_the_cause_stands_before_it() -> None:
    text = render.render(diagnosis(), "text", width=80)
    sections = [
        "Path walked",
        "Ruled out",
        "Also noticed",
        "Coverage:",
        "No cause proven",
        "Root cause",
        "Evidence",
        "Explains",
        "Fix",
        "Verify",
    ]
    places = [text.rindex(section) for section in sections]
    assert places == sorted(places)
    assert text.splitlines()[-1].startswith("CRITICAL  postgres/connections on db")
    assert "\033" not in text


def test_of_two_causes_the_worse_is_last() -> None:
    two = msgspec.structs.replace(
        diagnosis(),
        root_causes=(
            RootCause(finding=finding("the worse"), chain=()),
            RootCause(finding=finding("the lesser", status=Status.WARNING), chain=()),
        ),
    )
    text = render.render(two, "text", width=80)
    assert text.index("Root cause 2 of 2") < text.index("the lesser") < text.index("Root cause 1 of 2")


def test_hundreds_of_causes_stay_on_the_screen_and_json_has_them_all() -> None:
    causes = tuple(
        RootCause(finding=finding(f"disk {number} is full", target_id=f"db{number}/postgres"), chain=())
        for number in range(400)
    )
    noticed = tuple(finding(f"noticed {number}", status=Status.WARNING) for number in range(300))
    many = msgspec.structs.replace(diagnosis(), root_causes=causes, unproven=causes, also=noticed)
    text = render.render(many, "text", width=80)
    assert len(text.splitlines()) < 400
    assert "and 385 more causes; --output json lists all" in text
    assert "and 395 more symptoms without a proven cause; --output json lists all" in text
    assert "and 290 more; --output json lists all" in text
    for number in range(5):
        assert f"Root cause {number + 1} of 400" in text
    last = text.splitlines()[-1]
    assert "and 397 more causes" in " ".join(text.splitlines()[-4:])
    assert len(last) <= 80
    plain = json.loads(render.render(many, "json"))
    assert len(plain["root_causes"]) == len(plain["unproven"]) == 400
    assert len(render.render(many, "nagios")) < 1500


def test_the_headline_is_as_severe_as_the_last_line() -> None:
    weak = RootCause(finding=finding("lines in the log", status=Status.WARNING), chain=(finding("a 500"),))
    text = render.render(msgspec.structs.replace(diagnosis(), root_causes=(weak,)), "text", width=80)
    headline = next(line for line in text.splitlines() if "postgres/connections on db" in line)
    assert headline.split()[0] == "CRITICAL"
    assert (
        json.loads(render.render(msgspec.structs.replace(diagnosis(), root_causes=(weak,)), "json"))[
            "root_causes"
        ][0]["status"]
        == "critical"
    )


def test_colour_only_where_asked_and_the_status_is_always_a_word() -> None:
    coloured = render.render(diagnosis(), "text", color=True, width=80)
    assert "\033[31;1mCRITICAL\033[0m" in coloured
    assert re.sub(r"\033\[[\d;]*m", "", coloured) == render.render(diagnosis(), "text", width=80)


def test_json_is_that_of_the_design() -> None:
    plain = json.loads(render.render(diagnosis(), "json", stack_argument=" --stack shop"))
    assert {
        "schema",
        "stack",
        "taken_at",
        "duration_seconds",
        "status",
        "root_causes",
        "path",
        "findings",
        "ruled_out",
        "coverage",
    } <= set(plain)
    assert plain["schema"] == 1
    assert plain["taken_at"] == "2026-11-21T04:10:02.500Z"
    cause = plain["root_causes"][0]
    assert cause["id"] == "postgres/connections"
    assert cause["target"] == "db"
    assert cause["evidence"][0] == {
        "text": "100 of 100 connections are in use",
        "value": 100,
        "threshold": 95,
        "unit": "connections",
        "source": COMMAND,
        "at": "2026-11-21T04:10:02.500Z",
    }
    assert cause["chain"][0]["id"] == "http/body"
    assert cause["remediation"] == {
        "text": "Close what leaks. 100 of 100 connections are in use",
        "commands": [COMMAND],
    }
    assert cause["verify"] == "opsctl verify postgres/connections --target db/postgres --stack shop"
    assert cause["runbook"] == "runbooks/postgres/connections.md"
    assert plain["path"][0]["because"] == ["http/body:backend"]
    assert plain["coverage"] == {
        "checks": 41,
        "ran": 38,
        "blocked": 2,
        "unknown": 1,
        "hints": ["100 of 100 connections are in use"],
    }


@settings(max_examples=150, deadline=None)
@given(HOSTILE, HOSTILE)
def test_every_format_is_valid_whatever_the_words(text: str, command: str) -> None:
    shown = diagnosis(text, command)
    results = {name: render.render(shown, name) for name in FORMATS}
    for name, result in results.items():
        assert result.endswith("\n"), name
        result.encode("utf-8")
        if name not in ("json", "junit"):  # those escape in their own way
            assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e]", result), name
    json.loads(results["json"])
    assert yaml.safe_load(results["yaml"])["stack"] == "shop"
    suite = ElementTree.fromstring(results["junit"])[0]
    assert suite.get("failures") == "2"
    assert suite.get("skipped") == "1"
    assert results["nagios"].count("\n") == 1
    assert results["nagios"].count("|") == 1
    rows = [line for line in results["markdown"].splitlines() if line.startswith("| ")]
    assert rows


@settings(max_examples=150, deadline=None)
@given(HOSTILE, HOSTILE)
def test_a_cell_cannot_break_a_markdown_table(first: str, second: str) -> None:
    for cell in (inline(first), code(first), inline(second), code(second)):
        assert "\n" not in cell
        assert not re.search(r"(?<!\\)\|", cell.replace("\\\\", ""))


def test_nagios_line_and_performance_data() -> None:
    line = render.render(diagnosis(), "nagios")
    assert line.startswith("OPSCTL CRITICAL - postgres/connections on db: 100 of 100 connections")
    assert line.endswith("| checks=41;;;0 ran=38;;;0;41 blocked=2;;;0;41 unknown=1;;;0;41 time=0.840s;;;0\n")


def test_junit_names_ok_failed_and_unseen() -> None:
    fine = finding("all is well", status=Status.OK)
    unseen = finding("no permission", status=Status.UNKNOWN)
    suite = ElementTree.fromstring(findings_junit("shop", [fine, finding(), unseen], 1.0))[0]
    assert [[child.tag for child in case] for case in suite] == [[], ["failure"], ["skipped"]]
    assert suite[1].get("classname") == "db/postgres"
    failure = suite[1][0].text or ""
    assert COMMAND in failure
    assert "opsctl verify postgres/connections" in failure


def test_printable_keeps_words_and_drops_what_steers_a_terminal() -> None:
    assert printable("Привет, 世界 ✓\n") == "Привет, 世界 ✓\n"
    assert "\x1b" not in printable("\x1b]0;title\x07")


def down_stack() -> Any:
    return snapshot(
        {"cache/redis": redis("refused", "Connection refused"), "api/redis": redis(used_memory=1)},
        {"api": ["cache"]},
    )


@pytest.mark.parametrize("output", FORMATS)
def test_a_real_diagnosis_and_health_report_in_every_format(output: str) -> None:
    shown = render.render(diagnose(down_stack()), output)
    assert "redis/down" in shown
    if output != "junit":
        assert "redis/down" in render_health.render(health(down_stack()), output)


def test_health_text_groups_what_was_not_seen_and_ends_with_the_summary() -> None:
    text = render_health.render(health(down_stack()), "text", width=80)
    lines = text.splitlines()
    assert lines[-1] == "CRITICAL  1 finding on 1 of 2 services; `opsctl diagnose` names the cause"
    blocked = [line for line in lines if "BLOCKED" in line and "checks on cache:" in line]
    assert len(blocked) == 1
    assert re.search(r"\d+ checks on cache: not asked: redis/down on cache", blocked[0])
    assert all(columns(line) <= 80 for line in lines)


def test_a_question_with_several_answers_is_printed_once() -> None:
    def step(name: str, answer: str, depth: int = 0, flow: str = "entry") -> Step:
        return Step(flow=flow, step=name, question=f"{name}?", answer=answer, because=("a/b:c",), depth=depth)

    shown = Page(80)
    path_tree(
        shown,
        [
            step("parts", "db"),
            step("up", "no", 1, "postgres"),
            step("parts", "redis"),
            step("up", "no", 1, "redis"),
            step("next", "yes"),
        ],
    )
    assert shown.text().splitlines() == [
        "  parts?",
        "  ├─ db",
        "  │  (a/b on c)",
        "  │  up?",
        "  │  └─ no",
        "  │     (a/b on c)",
        "  └─ redis",
        "     (a/b on c)",
        "     up?",
        "     └─ no",
        "        (a/b on c)",
        "  next?",
        "  └─ yes",
        "     (a/b on c)",
    ]


@pytest.mark.parametrize(
    ("names", "words"),
    [
        ("a", "x/y on a, which explains 1 other finding"),
        ("ab", "x/y on a and x/y on b, which explain 2 other findings"),
        ("abc", "x/y on a, x/y on b and x/y on c, which explain 3 other findings"),
        ("abcd", "x/y on a, x/y on b, x/y on c and 1 more cause, which explain 4 other findings"),
        ("abcde", "x/y on a, x/y on b, x/y on c and 2 more causes, which explain 5 other findings"),
    ],
)
def test_the_last_line_counts_rightly(names: str, words: str) -> None:
    causes = tuple(
        RootCause(
            finding=finding(id="x/y", target=name), chain=(finding(id="http/slow", target_id=f"{name}/http"),)
        )
        for name in names
    )
    found = msgspec.structs.replace(diagnosis(), root_causes=causes, unproven=())
    assert summary_line(found) == words


def test_the_nagios_line_of_health_begins_with_the_root_cause() -> None:
    down = redis("refused", "Connection refused")
    report = health(snapshot({f"{name}/redis": down for name in "abc"}))
    causes = [item.key for item in report.findings if item.target == "b"]
    line = render_health.render(report, "nagios", causes=causes)
    assert line.startswith("OPSCTL CRITICAL - redis/down on b: ")
