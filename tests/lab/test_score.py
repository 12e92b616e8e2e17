"""What a diagnosis is worth; pure, no machine is booted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from opsctl.checks import all_checks
from tests.lab.__main__ import compare
from tests.lab.faults import all_faults
from tests.lab.faults.base import SPECIALS
from tests.lab.runner import Run, chosen, table
from tests.lab.score import (
    LOOKS_BACK_SECONDS,
    RECOVERED_SECONDS,
    Result,
    broken_gates,
    control,
    differences,
    judge,
    percentile,
    plain,
    result_from,
    summary,
)
from tests.lab.stacks import SYSTEMS
from tests.lab.test_lab import sample


def diagnosis(
    *roots: str, unproven: tuple[str, ...] = (), chain: tuple[str, ...] = (), found: tuple[str, ...] = ()
) -> dict[str, Any]:
    """Return a diagnosis as `opsctl diagnose --output json` gives it; names are SLUG@TARGET."""

    def item(name: str) -> dict[str, Any]:
        slug, _, target = name.partition("@")
        return {"id": slug, "target": target, "status": "critical", "summary": "so it is"}

    hops = [item(name) for name in chain]
    return {
        "root_causes": [
            {**item(name), "chain": hops if not index else []} for index, name in enumerate(roots)
        ],
        "unproven": [item(name) for name in unproven],
        "also": [],
        "path": [{"flow": "systemd", "step": "status", "answer": "one down"}],
        "findings": [item(name) for name in (*roots, *unproven, *chain, *found)],
    }


def result(system: str = "rostferrum", kind: str = "postgres", **more: Any) -> Result:
    return Result(f"{system}/{more.pop('name', 'a-fault')}", system, kind, ["postgres/down@db"], **more)


def judged(
    value: dict[str, Any],
    expect: tuple[tuple[tuple[str, ...], str], ...] = ((("postgres/down",), "db"),),
    shows: tuple[tuple[tuple[str, ...], str], ...] = (),
    abstain: bool = False,
) -> Result:
    one = result(may_abstain=abstain)
    judge(one, value, expect, shows, (), abstain)
    return one


def test_the_injected_cause_first_and_alone_is_right() -> None:
    one = judged(diagnosis("postgres/down@db", chain=("http/status@api",)), shows=((("http/*",), "api"),))
    assert one.right
    assert one.got == ["postgres/down@db"]


@pytest.mark.parametrize(
    ("value", "first", "exact", "path"),
    [
        (diagnosis("postgres/down@db", "redis/down@cache"), True, False, True),
        (diagnosis("redis/down@cache", "postgres/down@db"), False, False, False),
        (diagnosis("postgres/down@db", unproven=("http/slow@api",)), True, False, True),
        (diagnosis("postgres/down@other"), False, False, False),
        (diagnosis(unproven=("http/slow@api",)), False, False, False),
        (diagnosis(), False, False, False),
    ],
)
def test_what_is_less_than_right(value: dict[str, Any], first: bool, exact: bool, path: bool) -> None:
    one = judged(value)
    assert (one.first, one.exact, one.path) == (first, exact, path)


def test_a_symptom_that_hangs_below_nothing_breaks_the_path() -> None:
    one = judged(diagnosis("postgres/down@db"), shows=((("http/status",), "api"),))
    assert one.first
    assert not one.path


def test_a_control_with_any_finding_is_a_false_alarm() -> None:
    one = judged(diagnosis(found=("host/swap@host",)), expect=())
    assert one.false_alarms == ["host/swap@host"]
    assert not one.right
    assert not one.abstained, "nothing was there to be named"


def test_abstaining_is_right_only_where_the_evidence_is_missing() -> None:
    assert judged(diagnosis(), abstain=True).right
    assert judged(diagnosis("postgres/down@db"), abstain=True).right
    wrong = judged(diagnosis("redis/down@cache"), abstain=True)
    assert not wrong.right
    assert wrong.wrong_names == ["redis/down@cache"]
    assert not judged(diagnosis()).right
    assert judged(diagnosis()).abstained


def test_an_early_look_is_no_control() -> None:
    assert control("rostferrum", "between", diagnosis(), None, RECOVERED_SECONDS - 0.1) is None


def test_a_late_look_counts_whatever_it_says() -> None:
    quiet = control("rostferrum", "idle", diagnosis(), None, RECOVERED_SECONDS)
    assert quiet is not None
    assert not quiet.found
    loud = control("rostferrum", "idle", diagnosis(found=("host/swap@host",)), None, RECOVERED_SECONDS)
    assert loud is not None
    assert loud.found == ["host/swap@host: so it is"]
    assert not loud.echo


def test_an_echo_is_only_what_the_fault_itself_had_shown_and_only_for_a_while() -> None:
    fault = judged(diagnosis("postgres/down@db"))
    again = diagnosis(found=("postgres/down@db",))
    other = diagnosis(found=("postgres/down@db", "redis/down@cache"))
    for value, since, echo in (
        (again, RECOVERED_SECONDS, True),
        (again, LOOKS_BACK_SECONDS, False),
        (other, RECOVERED_SECONDS, False),
    ):
        look = control("rostferrum", "between", value, fault, since)
        assert look is not None
        assert look.echo is echo


def test_gates() -> None:
    good = [result(name=f"f{number}", first=True, exact=True, path=True) for number in range(19)]
    elsewhere = result(name="x", first=True, exact=True, path=True)
    elsewhere.system = "wishlins"
    assert not broken_gates(summary([*good, elsewhere, result(exact=True, path=True)], []))
    assert "AC@1 0.9" in broken_gates(summary([*good, elsewhere, result(), result()], []))[0]
    assert not broken_gates(summary([*good, result(), result()], [])), "of one system: 2 of 21 may be wrong"
    assert "AC@1 0.864" in broken_gates(summary([*good, *[result() for _ in range(3)]], []))[0]
    alarm = control("rostferrum", "load", diagnosis(found=("host/swap@host",)), None, RECOVERED_SECONDS)
    assert alarm is not None
    assert "false alarm" in broken_gates(summary(good, [alarm]))[0]
    blind = judged(diagnosis("redis/down@cache"), abstain=True)
    assert any("wrong name" in line for line in broken_gates(summary([*good * 3, blind], [])))


def test_percentile_is_the_nearest_rank() -> None:
    assert percentile([], 0.95) is None
    assert percentile([3.0], 0.95) == 3.0
    assert percentile([float(number) for number in range(1, 21)], 0.95) == 19.0
    assert percentile([float(number) for number in range(1, 22)], 0.95) == 20.0


def test_results_survive_the_report() -> None:
    one = judged(diagnosis("postgres/down@db"))
    assert result_from(json.loads(json.dumps(plain(one)))) == one


def test_an_empty_run_has_a_table() -> None:
    assert "control looks: 0" in table(Run().report())


def test_compare(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one, other = judged(diagnosis("postgres/down@db")), judged(diagnosis("redis/down@cache"))
    reports = []
    for index, results in enumerate(([one], [one], [other], [])):
        reports.append(tmp_path / f"{index}.json")
        reports[-1].write_text(json.dumps({"faults": [plain(item) for item in results]}))
    assert compare(reports[0], reports[1]) == 0
    assert compare(reports[0], reports[2]) == 1
    assert compare(reports[0], reports[3]) == 1
    told = capsys.readouterr().out
    assert "the same verdicts" in told
    assert "rostferrum/a-fault: right: postgres/down@db | wrong: redis/down@cache" in told
    assert differences({"faults": []}, {"faults": []}) == []


# -- the catalogue -----------------------------------------------------------------------------------


def test_every_expected_cause_is_a_check() -> None:
    known = {check.slug for check in all_checks()}
    for fault in all_faults():
        for slugs, _ in fault.expect:
            assert set(slugs.split("|")) <= known, f"{fault.id} expects {slugs}"


def test_the_catalogue_is_large_enough_on_every_system() -> None:
    faults = all_faults()
    assert len(faults) >= 100
    assert {fault.system for fault in faults} == set(SYSTEMS)
    for special in SPECIALS:
        assert sum(fault.special == special for fault in faults) >= 5, special
    assert len({fault.id for fault in faults}) == len(faults), "names are used once on each system"


def test_faults_are_chosen_by_name_slug_kind_and_system() -> None:
    everything = chosen([], [])
    assert everything == chosen(["*"], [])
    assert {fault.kind for fault in chosen(["redis"], [])} == {"redis"}
    assert {fault.system for fault in chosen([], ["rostferrum"])} == {"rostferrum"}
    by_slug = chosen(["rostferrum/postgres-connections"], [])
    assert by_slug
    assert all(("postgres/connections", "db") in fault.expect for fault in by_slug)
    assert chosen(["nothing/at-all"], []) == []


def test_a_sample_has_every_kind_of_every_system() -> None:
    everything = chosen([], [])
    some = sample(everything, 4)
    assert {(fault.system, fault.kind) for fault in some} == {
        (fault.system, fault.kind) for fault in everything
    }
    assert len(some) < len(everything)
    assert sample(everything, 1) == everything
