"""All units for metrics: texts of systemctl, and who tells them."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from opsctl.facts.base import FactProblem
from opsctl.facts.systemd import SystemdFacts, Unit
from opsctl.facts.systemd_details import SystemdDetails
from opsctl.metrics import exposition, facts_from_series, parse_exposition, samples
from opsctl.probes import systemd_details as details
from opsctl.probes.systemd_parsing import blocks, unit_from
from opsctl.stack.specs import ServiceSpec
from tests.unit.contexts import context_for

CALM = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
"""The machine may be busy."""

DATA = Path(__file__).parent / "data" / "systemd"


def test_units_are_counted_by_state() -> None:
    assert details.counted((DATA / "list_units.txt").read_text()) == {
        "active": 6,
        "activating": 1,
        "deactivating": 0,
        "failed": 1,
        "inactive": 1,
    }
    assert details.counted("") == {}


def test_every_type_of_unit_has_its_own_figures() -> None:
    found = {unit.name: unit for unit in details.any_units(blocks((DATA / "show_all.txt").read_text()))}
    assert set(found) == {"cron.service", "products.service", "sshd.socket", "apt-daily.timer", "never.timer"}
    cron, products = found["cron.service"], found["products.service"]
    assert (cron.type, cron.tasks, cron.tasks_max, cron.restarts) == ("service", 1, 4915, 0)
    assert cron.states == {"active": 1, "activating": 0, "deactivating": 0, "failed": 0, "inactive": 0}
    assert (products.tasks, products.tasks_max, products.restarts) == (None, None, 5)
    socket = found["sshd.socket"]
    assert (socket.accepted, socket.connections, socket.refused, socket.restarts) == (117, 3, 2, None)
    assert found["apt-daily.timer"].last_trigger == 1795241942.0
    assert found["never.timer"].last_trigger is None


def test_one_value_has_the_names_of_both_exporters() -> None:
    units = details.any_units(blocks((DATA / "show_all.txt").read_text()))
    facts = SystemdFacts(details=SystemdDetails(counted={"active": 5}, units=units))
    text = exposition(samples(facts))
    for line in (
        'systemd_unit_state{name="cron.service",state="active",type="service"} 1',
        'systemd_unit_state{name="products.service",state="failed",type="service"} 1',
        'systemd_unit_tasks_max{name="cron.service",type="service"} 4915',
        'systemd_unit_tasks_current{name="cron.service"} 1',
        'systemd_service_restart_total{name="products.service"} 5',
        'systemd_socket_current_connections{name="sshd.socket"} 3',
        'node_systemd_socket_current_connections{name="sshd.socket"} 3',
        'systemd_socket_refused_connections_total{name="sshd.socket"} 2',
        'node_systemd_socket_accepted_connections_total{name="sshd.socket"} 117',
        'systemd_timer_last_trigger_seconds{name="apt-daily.timer"} 1795241942.0',
        'node_systemd_units{state="active"} 5',
    ):
        name, labels = line.split("{")[0], set(line.split("{")[1].split("}")[0].split(","))
        assert any(
            row.startswith(f"{name}{{")
            and set(row.split("{")[1].split("}")[0].split(",")) == labels
            and row.split()[-1] == line.split()[-1]
            for row in text.splitlines()
        ), line
    assert facts_from_series(SystemdFacts, parse_exposition(text)).details == facts.details


def test_the_unit_of_the_stack_names_its_type() -> None:
    unit = unit_from({"Id": "app.service", "ActiveState": "active", "Type": "simple"})
    found = [dict(item.labels) for item in samples(unit) if item.metric.name == "node_systemd_unit_state"]
    assert {labels["type"] for labels in found} == {"simple"}
    without = [dict(item.labels) for item in samples(Unit(name="x.timer", states={"active": 1}))]
    assert without == [{"name": "x.timer", "state": "active"}, {"name": "x.timer"}]


@pytest.mark.parametrize(("service", "asked"), [("x", "metrics"), ("y", "metrics"), ("x", "")])
def test_one_service_tells_it_and_only_for_metrics(
    service: str, asked: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "systemctl").write_text(
        f'#!/bin/sh\ncase "$1" in list-units) cat {DATA}/list_units.txt;; *) cat {DATA}/show_all.txt;; esac\n'
    )
    (tmp_path / "systemctl").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    context = context_for("systemd", ServiceSpec(unit="app"), tmp_path, 60.0)
    services = context.stack.spec.services
    services.clear()
    services |= {"plain": ServiceSpec(), "x": ServiceSpec(unit="app"), "y": ServiceSpec(unit="other")}
    target = msgspec.structs.replace(context.target, service=service)
    context = dataclasses.replace(context, target=target, options={"detail": asked})
    problems: list[FactProblem] = []
    shown = blocks((DATA / "show_all.txt").read_text())
    found = details.details(context, shown, problems)
    assert problems == []
    if (service, asked) != ("x", "metrics"):
        assert found is None
    else:
        assert found is not None
        assert found.counted["active"] == 6
        assert len(found.units) == 5


def test_a_systemd_that_does_not_answer_is_a_problem_and_no_zero(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "systemctl").write_text("#!/bin/sh\necho 'Failed to connect to bus' >&2\nexit 1\n")
    (tmp_path / "systemctl").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    context = context_for("systemd", ServiceSpec(unit="app"), tmp_path, 60.0)
    context.stack.spec.services["x"] = ServiceSpec(unit="app")
    problems: list[FactProblem] = []
    found = details.details(dataclasses.replace(context, options={"detail": "metrics"}), [], problems)
    assert found is not None
    assert not list(samples(found))
    assert [problem.part for problem in problems] == ["units of the machine"]


def test_one_question_is_for_the_machine_and_the_stack_and_each_unit_comes_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "systemctl").write_text(
        f'#!/bin/sh\necho "$@" >>{tmp_path}/asked\n'
        "printf 'Id=a.service\\nActiveState=active\\n\\nId=b.target\\n\\n'\n"
        "printf 'Id=a.service\\nActiveState=failed\\n'\n"
    )
    (tmp_path / "systemctl").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    context = context_for("systemd", ServiceSpec(unit="app"), tmp_path, 60.0)
    found = details.shown_units(context, ["a", "b.target"])
    assert [(unit["Id"], unit.get("ActiveState")) for unit in found] == [
        ("a.service", "active"),
        ("b.target", None),
    ]
    (asked,) = (tmp_path / "asked").read_text().splitlines()
    assert asked.endswith("-- *.service *.socket *.timer a.service b.target")


def test_the_logs_of_a_sick_unit_are_read_again_when_it_has_changed(tmp_path: Path) -> None:
    context = context_for("systemd", ServiceSpec(unit="app"), tmp_path)
    context = dataclasses.replace(context, options={"detail": "metrics", "kept": {}})
    sick = Unit(name="app.service", states={"failed": 1}, restarts=1)
    reads = 0
    problems: list[FactProblem] = []

    def look(unit: Unit) -> Unit:
        def read(new: list[FactProblem]) -> Unit:
            nonlocal reads
            reads += 1
            new.append(FactProblem(part="journal", code="permission", message="no"))
            return msgspec.structs.replace(unit, restarts_lately=reads, log=["out of luck"])

        return details.kept_history(unit, context, problems, read)

    assert look(sick).restarts_lately == 1
    again = look(msgspec.structs.replace(sick, tasks=7))
    assert (again.restarts_lately, again.tasks, again.log) == (1, 7, ["out of luck"])
    assert len(problems) == 1
    assert look(msgspec.structs.replace(sick, restarts=2)).restarts_lately == 2


@CALM
@given(st.text(max_size=300) | st.text("abc.= \nIdLoadStateActiv", max_size=300))
def test_no_text_breaks_anything(text: str) -> None:
    units = details.any_units(blocks(f"Id=a.service\nLoadState=loaded\n{text}"))
    list(samples(SystemdDetails(counted=details.counted(text), units=units)))
    assert len({unit.name for unit in units}) == len(units)
