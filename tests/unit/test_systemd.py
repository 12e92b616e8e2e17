"""Units: texts of systemctl and journalctl, and what is made of them."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from opsctl.checks import systemd_words as words
from opsctl.facts.base import FactProblem
from opsctl.facts.systemd import SystemdFacts, Unit
from opsctl.judge import judge
from opsctl.metrics import exposition, facts_from_series, parse_exposition, samples
from opsctl.model import Finding, Reading, Snapshot, StackSummary, Status, Target
from opsctl.probes import systemd_parsing as parsing
from opsctl.probes.host_parsing import KernelKill
from opsctl.probes.systemd import is_up, with_history
from opsctl.stack.specs import ServiceSpec
from tests.unit.contexts import context_for

NOW = datetime(2026, 11, 21, 4, 31, tzinfo=UTC)
SHOWN = parsing.blocks((Path(__file__).parent / "data" / "systemd" / "show.txt").read_text())
RUNNING = Unit(
    name="app.service",
    states={"active": 1},
    sub_state="running",
    load_state="loaded",
    file_state="enabled",
    result="success",
    type="simple",
    restarts=0,
    needs_reload=False,
    started_at=NOW.timestamp() - 5000,
)


def judged(*units: Unit, problems: list[FactProblem] | None = None) -> list[Finding]:
    facts = SystemdFacts(
        up=is_up(list(units)), asked=units[0].name, units=list(units), problems=problems or []
    )
    reading = Reading(
        target=Target(kind="systemd", service="app"), taken_at=NOW, duration_seconds=0.1, facts=facts
    )
    snapshot = Snapshot(
        schema=1,
        opsctl_version="0",
        stack=StackSummary(name="t", flow="systemd", origin="t", services={}),
        taken_at=NOW,
        duration_seconds=0.1,
        deadline_seconds=1,
        readings=(reading,),
    )
    return judge(snapshot)


def failing(*units: Unit) -> dict[str, Status]:
    return {finding.id: finding.status for finding in judged(*units) if finding.status.failing}


def changed(**values: Any) -> Unit:
    return msgspec.structs.replace(RUNNING, **values)


def test_units_are_found_by_name_and_alias() -> None:
    assert parsing.Units(SHOWN).find("postgresql") is SHOWN[0]
    assert parsing.Units(SHOWN).find("products.service") is SHOWN[1]
    assert parsing.Units(SHOWN).find("nginx") is None


def test_what_systemctl_leaves_open_is_none() -> None:
    unit = parsing.unit_from(SHOWN[0])
    assert (unit.memory_current, unit.memory_max, unit.tasks, unit.stopped_at) == (None, None, None, None)
    assert unit.started_at == datetime(2026, 11, 21, 4, 30, 49, tzinfo=UTC).timestamp()
    assert parsing.unit_from(SHOWN[1]).memory_current is None
    assert parsing.unit_from(SHOWN[1]).memory_max == 536870912


def test_members_of_a_collective_unit() -> None:
    assert parsing.members(SHOWN[0]) == ["postgresql@15-main.service"]
    assert parsing.members(SHOWN[1]) == []


def test_environment_files_that_must_be_there() -> None:
    assert parsing.unit_from(SHOWN[1]).environment_files == ["/var/www/rostferrum/.env"]


def test_a_failed_unit_says_what_its_code_means() -> None:
    unit = parsing.unit_from(SHOWN[1])
    assert words.ending(unit) == "exit code 203: the program of ExecStart= is missing or cannot be executed"
    assert failing(unit)["systemd/failed"] is Status.CRITICAL
    lately = msgspec.structs.replace(unit, restarts_lately=5)
    assert failing(lately)["systemd/crash-looping"] is Status.CRITICAL


def test_a_missing_unit() -> None:
    assert failing(parsing.unit_from(SHOWN[2])) == {"systemd/unit-missing": Status.CRITICAL}


def test_a_healthy_unit_has_only_ok() -> None:
    assert {finding.status for finding in judged(RUNNING)} == {Status.OK}


@pytest.mark.parametrize(
    ("unit", "expected"),
    [
        (changed(states={"inactive": 1}), {"systemd/inactive": Status.CRITICAL}),
        (changed(states={"inactive": 1}, type="oneshot"), {}),
        (changed(states={"inactive": 1}, triggered_by=["app.timer"]), {}),
        (changed(states={"inactive": 1}, condition_failed=True), {"systemd/inactive": Status.CRITICAL}),
        (changed(states={"activating": 1}, changed_at=NOW.timestamp() - 5), {}),
        (
            changed(states={"activating": 1}, sub_state="start", changed_at=NOW.timestamp() - 500),
            {"systemd/inactive": Status.CRITICAL},
        ),
        (changed(load_state="masked", states={"inactive": 1}), {"systemd/masked": Status.CRITICAL}),
        (changed(file_state="masked"), {"systemd/masked": Status.WARNING}),
        (changed(file_state="disabled"), {"systemd/not-enabled": Status.WARNING}),
        (changed(file_state="disabled", triggered_by=["app.socket"]), {}),
        (changed(file_state="disabled", wanted_by=["multi-user.target"]), {}),
        (changed(file_state="static"), {}),
        (changed(file_state="enabled-runtime"), {}),
        (changed(needs_reload=True), {"systemd/reload-needed": Status.WARNING}),
        (
            changed(load_state="bad-setting", states={"inactive": 1}),
            {"systemd/unit-missing": Status.CRITICAL},
        ),
        (changed(load_state="not-found"), {"systemd/unit-missing": Status.WARNING}),
    ],
)
def test_states(unit: Unit, expected: dict[str, Status]) -> None:
    assert failing(unit) == expected


@pytest.mark.parametrize(
    ("unit", "expected"),
    [
        (changed(restarts=9, restarts_lately=9, started_at=NOW.timestamp() - 5), Status.CRITICAL),
        (changed(restarts=9, restarts_lately=0), Status.OK),  # long ago
        (changed(restarts=9, restarts_lately=9, started_at=NOW.timestamp() - 300), Status.OK),  # settled
        (
            changed(restarts=3, restarts_lately=3, started_at=NOW.timestamp() - 200),
            Status.CRITICAL,
        ),  # slow loop
        (changed(restarts=1, restarts_lately=1, started_at=NOW.timestamp() - 5), Status.OK),
        (changed(restarts=5, restarts_lately=0, started_at=NOW.timestamp() - 5), Status.OK),  # by hand since
        (changed(restarts=5, restarts_lately=None, started_at=NOW.timestamp() - 5), Status.UNKNOWN),
        (
            changed(states={"activating": 1}, sub_state="auto-restart", restarts=1, restarts_lately=1),
            Status.WARNING,
        ),
        (changed(states={"failed": 1}, restarts=5, restarts_lately=5, result="exit-code"), Status.CRITICAL),
        (changed(states={"failed": 1}, restarts=5, restarts_lately=0, result="exit-code"), Status.OK),
        (changed(states={"failed": 1}, restarts=1, restarts_lately=1, result="exit-code"), Status.OK),
        (changed(states={"failed": 1}, restarts=5, result="exit-code"), Status.UNKNOWN),
        (changed(states={"failed": 1}, restarts=0, result="start-limit-hit"), Status.CRITICAL),
        (changed(states={"activating": 1}, sub_state="auto-restart", restarts=40), Status.WARNING),
    ],
)
def test_crash_loops(unit: Unit, expected: Status) -> None:
    (finding,) = [item for item in judged(unit) if item.id == "systemd/crash-looping"]
    assert finding.status is expected


def test_kills_for_want_of_memory() -> None:
    dead = changed(states={"failed": 1}, result="oom-kill", exit_status=9, killed_by_signal=True)
    assert failing(dead)["systemd/oom-killed"] is Status.CRITICAL
    worker = changed(oom_kills_lately=1, last_oom_kill=NOW.timestamp() - 30)
    (finding,) = [item for item in judged(worker) if item.id == "systemd/oom-killed"]
    assert finding.status is Status.WARNING
    assert "main process still runs" in finding.summary
    kill = {"oom_kills_lately": 1, "last_oom_kill": NOW.timestamp() - 94}
    stopped_since = changed(states={"inactive": 1}, result="success", **kill)
    assert "systemd/oom-killed" not in failing(stopped_since)
    assert failing(stopped_since)["systemd/inactive"] is Status.CRITICAL
    for_good = changed(states={"failed": 1}, result="signal", **kill)
    assert failing(for_good)["systemd/oom-killed"] is Status.CRITICAL


def test_members_are_judged_instead_of_the_unit_that_stands_for_them() -> None:
    shell = parsing.unit_from(SHOWN[0])
    up = changed(name="postgresql@15-main.service", member=True)
    down = changed(name="postgresql@15-main.service", member=True, states={"inactive": 1})
    old = changed(name="postgresql@13-main.service", member=True, states={"inactive": 1})
    assert failing(shell, up) == {}
    assert failing(shell, up, old) == {}
    assert failing(shell, down) == {"systemd/inactive": Status.CRITICAL}


def line(kind: str, at: float = 1.0) -> str:
    return json.dumps({"MESSAGE_ID": kind, "__REALTIME_TIMESTAMP": str(int(at * 1e6))})


def test_a_start_by_hand_ends_what_was_before() -> None:
    restart, started, killed = parsing.RESTART_SCHEDULED, parsing.STARTED, parsing.OUT_OF_MEMORY
    looping = [line(started, 1), line(killed, 2), line(restart, 3), line(started, 4), line(restart, 5)]
    assert parsing.history("\n".join(looping)) == parsing.History(2, (2.0,), 1.0)
    mended = [*looping, line(started, 6), line(started, 9)]
    assert parsing.history("\n".join(mended)) == parsing.History(0, (), 9.0)


def test_the_line_that_says_most() -> None:
    log = [
        "Started app.service.",
        "Traceback: no such database",
        "app.service: Main process exited, code=exited, status=1/FAILURE",
        "app.service: Failed with result 'exit-code'.",
    ]
    assert words.telling_line(changed(log=log)) == "Traceback: no such database"
    step = "app.service: Failed at step EXEC spawning /x: No such file or directory"
    assert words.telling_line(changed(log=[*log, step])) == step
    assert words.telling_line(changed(log=[])) == ""


def test_a_loop_that_runs_just_now_still_says_why() -> None:
    log = ["app.service: Main process exited, code=exited, status=203/EXEC", "Started app.service."]
    unit = changed(restarts=5, restarts_lately=5, started_at=NOW.timestamp() - 1, log=log)
    (finding,) = [item for item in judged(unit) if item.id == "systemd/crash-looping"]
    assert "exit code 203: the program of ExecStart=" in finding.summary
    killed = changed(log=["app.service: Main process exited, code=killed, status=9/KILL"])
    assert words.logged_ending(killed) == "killed by SIGKILL"
    assert words.logged_ending(RUNNING) == ""


def test_moments() -> None:
    assert parsing.moment("n/a") is None
    assert parsing.moment("Sat 2026-02-31 04:30:49 UTC") is None
    assert parsing.moment("Sat 2026-11-21 04:30:49 UTC") == 1795235449.0


@given(st.text(max_size=500))
def test_no_text_makes_a_parser_raise(text: str) -> None:
    for values in parsing.blocks(text):
        parsing.unit_from(values)
        parsing.members(values)
    parsing.moment(text)
    parsing.number(text)
    parsing.history(text)
    assert all(len(entry) <= parsing.MAX_LINE for entry in parsing.log_lines(text))
    assert len(parsing.log_lines(text)) <= 20


@given(st.dictionaries(st.sampled_from(parsing.PROPERTIES), st.text(max_size=80)))
def test_no_properties_make_a_check_crash(values: dict[str, str]) -> None:
    unit = parsing.unit_from(values)
    assert not [finding for finding in judged(unit) if "crashed" in finding.summary]


@given(st.integers(0, 300), st.sampled_from(list(words.RESULT_MEANINGS)), st.booleans())
def test_every_ending_has_words(status: int, result: str, signal: bool) -> None:
    unit = changed(exit_status=status, result=result, killed_by_signal=signal)
    assert words.ending(unit)
    assert words.fix(unit)


def test_facts_survive_their_metrics() -> None:
    facts = SystemdFacts(units=[parsing.unit_from(values) for values in SHOWN])
    back = facts_from_series(SystemdFacts, parse_exposition(exposition(samples(facts))))
    assert sorted(map(str, samples(back))) == sorted(map(str, samples(facts)))


def test_kills_that_no_log_could_tell_of_are_unknown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # logs that root may not read cannot be had in a test
    monkeypatch.setattr("opsctl.probes.systemd._history", lambda *_: None)
    monkeypatch.setattr("opsctl.probes.systemd._log", lambda *_: [])
    monkeypatch.setattr("opsctl.probes.systemd.kernel_kills", lambda _: None)
    problems: list[FactProblem] = []
    context = context_for("systemd", ServiceSpec(unit="app"), tmp_path)
    down = changed(states={"failed": 1}, result="exit-code", restarts=0)
    unit = with_history(down, context, problems)
    assert unit.oom_kills_lately is None
    (finding,) = [item for item in judged(unit, problems=problems) if item.id == "systemd/oom-killed"]
    assert finding.status is Status.UNKNOWN
    monkeypatch.setattr("opsctl.probes.systemd.kernel_kills", lambda _: [])
    assert with_history(down, context, problems).oom_kills_lately == 0


@pytest.mark.parametrize(("entry", "kills"), [("systemd: Started app.service.", 1), ("", 0)])
def test_a_kill_from_before_the_journal_begins_is_nobodys(
    entry: str, kills: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What would tell of a start by hand since then was emptied; the kernel's log is what is left."""
    program = tmp_path / "journalctl"
    program.write_text(f'#!/bin/sh\ncase "$*" in *--until*) printf %s "{entry}";; esac\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    killed = KernelKill("app", 7, 1_790_000_000.0, "/system.slice/app.service", "", False, None)
    monkeypatch.setattr("opsctl.probes.systemd.kernel_kills", lambda _: [killed])
    context = context_for("systemd", ServiceSpec(unit="app"), tmp_path, 60.0)
    unit = with_history(changed(states={"failed": 1}, restarts=1), context, [])
    assert unit.oom_kills_lately == kills
