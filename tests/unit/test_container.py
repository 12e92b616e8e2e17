"""Judging containers: what is current, what is over, what is meant to be."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from opsctl.checks import checks_for
from opsctl.checks.base import CheckContext, Limits, NotObserved
from opsctl.checks.container_exit import exit_meaning
from opsctl.facts.base import FactProblem
from opsctl.facts.container import ContainerFacts, Instance
from opsctl.metrics import exposition, facts_from_series, parse_exposition, samples
from opsctl.model import HOST_SERVICE, Finding, Status, Target
from opsctl.probes.base import ProbeContext, Shared
from opsctl.probes.container_listing import own_containers, speaker
from opsctl.redact import Redactor
from opsctl.secrets import Secrets
from opsctl.stack.specs import ComposeSpec, ServiceSpec, StackSpec
from opsctl.stack.stack import Stack

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
AT = NOW.timestamp()
TARGET = Target(kind="container", service="backend", address="backend")


def instance(**values: Any) -> Instance:
    base: dict[str, Any] = {
        "name": "shop_backend_1",
        "image": "shop/backend:1",
        "id": "ab" * 32,
        "state": "running",
        "started_at": AT - 3600,
        "restart_count": 0,
        "restart_policy": "always",
        "memory_limit": 0,
        "cpu_limit": 0.0,
        "log_driver": "local",
    }
    return Instance(**(base | values))


def facts(*instances: Instance, **values: Any) -> ContainerFacts:
    running = sum(1 for item in instances if item.state == "running")
    base: dict[str, Any] = {
        "up": running > 0,
        "service": "backend",
        "project": "shop",
        "running": running,
        "wanted": len(instances) or 1,
        "project_services": 3,
        "project_services_running": 2,
        "instances": list(instances),
    }
    return ContainerFacts(**(base | values))


def judge(slug: str, value: ContainerFacts) -> list[Finding]:
    check = next(item for item in checks_for("container") if item.slug == slug)
    return list(check.function(value, CheckContext(check, TARGET, check.limits or Limits(), NOW)))


def status(slug: str, value: ContainerFacts) -> str:
    return max((item.status for item in judge(slug, value)), key=lambda item: item.rank).value


@pytest.mark.parametrize("check", checks_for("container"), ids=lambda check: check.slug)
def test_a_healthy_container_is_ok_in_every_respect(check: Any) -> None:
    found = judge(check.slug, facts(instance(health="healthy", health_every_seconds=60.0)))
    assert found
    assert {item.status for item in found} == {Status.OK}


@pytest.mark.parametrize("check", checks_for("container"), ids=lambda check: check.slug)
def test_reachability_checks_have_an_answer_without_any_container(check: Any) -> None:
    if check.reachability:
        assert judge(check.slug, facts())


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (0, "without an error"),
        (1, "gave up"),
        (125, "Docker itself"),
        (126, "cannot be executed"),
        (127, "not found"),
        (137, "SIGKILL"),
        (139, "segmentation"),
        (143, "SIGTERM"),
        (129, "signal 1"),
        (42, "own error code"),
        (None, "not known"),
    ],
)
def test_exit_codes_in_words(code: int | None, words: str) -> None:
    assert words in exit_meaning(code)


def test_one_exited_replica_of_several_is_a_warning() -> None:
    both = facts(instance(), instance(name="shop_backend_2", state="exited", exit_code=1))
    assert status("container/exited", both) == "warning"
    assert status("container/exited", facts(instance(state="exited", exit_code=1))) == "critical"


def test_a_job_that_ended_well_is_ok_and_one_that_failed_is_not() -> None:
    assert status("container/exited", facts(instance(state="exited", exit_code=0), one_shot=True)) == "ok"
    assert (
        status("container/exited", facts(instance(state="exited", exit_code=1), one_shot=True)) == "critical"
    )


def test_a_container_that_could_not_be_started_says_why() -> None:
    created = instance(state="created", exit_code=128, error="port is already allocated", started_at=None)
    assert "port is already allocated" in judge("container/exited", facts(created))[0].summary


def test_a_crash_loop_is_seen_between_two_crashes() -> None:
    flapping = instance(restart_count=5, started_at=AT - 4, deaths=[AT - 40, AT - 20, AT - 5])
    assert status("container/restarting", facts(flapping)) == "critical"


def test_a_crash_loop_is_told_by_its_window_and_its_lifetime_apart() -> None:
    moments = [AT - 40, AT - 20, AT - 5]
    waiting = instance(state="restarting", exit_code=3, restart_count=812, deaths=moments, deaths_read=True)
    (found,) = judge("container/restarting", facts(waiting))
    assert found.summary == (
        "shop_backend_1 waits to be started again: it exited with 3 (the application's own error code) "
        "5.0 s ago, 3 ends in the last 40 s (812 restarts in its lifetime)"
    )
    assert found.evidence[0].value == 3
    running = instance(restart_count=812, started_at=AT - 4, deaths=moments, death_exit_code=1)
    (found,) = judge("container/restarting", facts(running))
    assert "started 4.0 s ago; before that it exited with 1 (the application gave up" in found.summary
    unseen = instance(state="restarting", exit_code=1, restart_count=812, finished_at=AT - 2)
    (found,) = judge("container/restarting", facts(unseen))
    assert "it exited with 1" in found.summary
    assert found.evidence[0].value is None
    (found,) = judge("container/restarting", facts(instance(restart_count=812)))
    assert found.summary.endswith("812 restarts in its lifetime, not in a loop")


def test_restarts_that_are_over_are_not_current() -> None:
    assert status("container/restarting", facts(instance(restart_count=900))) == "ok"
    assert status("container/restarting", facts(instance(restart_count=2, started_at=AT - 4))) == "ok"
    settled = instance(restart_count=9, started_at=AT - 4, health="healthy")
    assert status("container/restarting", facts(settled)) == "ok"


def test_slow_crashes_are_a_loop_as_well() -> None:
    slow = instance(restart_count=4, started_at=AT - 90, deaths=[AT - 300, AT - 195, AT - 91])
    assert status("container/restarting", facts(slow)) == "critical"
    recovered = instance(restart_count=4, started_at=AT - 250, deaths=[AT - 460, AT - 355, AT - 251])
    assert status("container/restarting", facts(recovered)) == "ok"


def test_a_kill_of_long_ago_is_over() -> None:
    old = instance(oom_kills=3, oom_at=AT - 900, oom_record="dmesg | grep oom-kill")
    assert status("container/oom-killed", facts(old)) == "ok"
    none_on_record = instance(oom_kills=3, oom_record="dmesg | grep oom-kill")
    assert status("container/oom-killed", facts(none_on_record)) == "ok"


def test_a_kill_of_unknown_time_is_unknown() -> None:
    with pytest.raises(NotObserved, match="when is not known"):
        judge("container/oom-killed", facts(instance(oom_kills=1)))


def test_a_kill_before_a_restart_by_hand_is_over() -> None:
    again = instance(oom_at=AT - 60, started_at=AT - 30, restart_count=0)
    assert status("container/oom-killed", facts(again)) == "ok"
    by_policy = instance(oom_at=AT - 31, started_at=AT - 30, restart_count=1)
    assert status("container/oom-killed", facts(by_policy)) == "warning"


def test_an_unhealthy_that_nobody_renews_is_stale() -> None:
    values = {"health": "unhealthy", "health_every_seconds": 60.0, "failing_streak": 3}
    fresh = facts(instance(health_checked_at=AT - 20, **values))
    assert status("container/unhealthy", fresh) == "critical"
    assert status("container/stale-unhealthy", fresh) == "ok"
    old = facts(instance(health_checked_at=AT - 600, **values))
    assert status("container/stale-unhealthy", old) == "warning"
    with pytest.raises(NotObserved):
        judge("container/unhealthy", old)


def test_an_unhealthy_from_before_the_start_is_stale() -> None:
    kept = instance(
        health="unhealthy", health_every_seconds=60.0, health_checked_at=AT - 40, started_at=AT - 20
    )
    assert status("container/stale-unhealthy", facts(kept)) == "warning"


def test_all_down_is_said_once_and_of_the_machine() -> None:
    down = instance(state="exited", exit_code=137)
    values = {"project_services_running": 0, "speaks_for_project": True}
    found = judge("container/all-down", facts(down, **values))
    assert [(item.status, item.target) for item in found] == [(Status.CRITICAL, HOST_SERVICE)]
    assert status("container/all-down", facts(down, **(values | {"speaks_for_project": False}))) == "ok"
    assert status("container/all-down", facts(down, **(values | {"project_services_failed": 1}))) == "warning"
    assert status("container/all-down", facts(down, **(values | {"project_services": 1}))) == "ok"


def test_image_names_are_compared_as_docker_reads_them() -> None:
    same = instance(image="postgres", wanted_image="docker.io/library/postgres:latest")
    assert status("container/image-drift", facts(same)) == "ok"
    other = instance(image="postgres:15", wanted_image="postgres:16")
    assert status("container/image-drift", facts(other)) == "warning"
    newer = instance(image="a:1", wanted_image="a:1", image_id="sha256:1", wanted_image_id="sha256:2")
    assert status("container/image-drift", facts(newer)) == "warning"


def test_an_unbounded_log_whose_size_may_not_be_read_is_unknown() -> None:
    hint = FactProblem(part="log-file", code="permission", message="may not be read", hint="run as root")
    with pytest.raises(NotObserved, match="may not be read"):
        judge("container/log-unbounded", facts(instance(log_driver="json-file"), problems=[hint]))
    rotated = instance(log_driver="json-file", log_max_size="10m")
    assert status("container/log-unbounded", facts(rotated, problems=[hint])) == "ok"


def test_memory_and_cpu_limits() -> None:
    full = instance(memory_limit=100, memory_usage=99, memory_working_set=95)
    assert status("container/memory-near-limit", facts(full)) == "warning"
    cached = instance(memory_limit=100, memory_usage=99, memory_working_set=40)
    assert status("container/memory-near-limit", facts(cached)) == "ok"
    slow = instance(cpu_limit=0.5, cpu_throttled_ratio=0.8)
    assert status("container/cpu-throttled", facts(slow)) == "warning"


def test_facts_survive_the_way_through_metrics() -> None:
    one = instance(
        health="healthy",
        failing_streak=0,
        oom_kills=2,
        memory_usage=5,
        cpu_periods=7,
        log_bytes=9,
        exit_code=None,
    )
    before = facts(one, instance(name="shop_backend_2", id="cd" * 32, state="exited", exit_code=3))
    series = parse_exposition(exposition(samples(before, {"target": "backend/container"})))
    after = facts_from_series(ContainerFacts, series, {"target": "backend/container"})
    assert after.running == before.running
    instances = sorted(after.instances, key=lambda item: item.name)
    assert [(item.name, item.state, item.exit_code) for item in instances] == [
        ("shop_backend_1", "running", None),
        ("shop_backend_2", "exited", 3),
    ]
    assert instances[0].oom_kills == 2
    assert instances[0].started_at == one.started_at


def test_restarts_of_long_ago_do_not_make_a_loop() -> None:
    deployed = instance(restart_count=900, started_at=AT - 4, deaths=[AT - 5], deaths_read=True)
    assert status("container/restarting", facts(deployed)) == "ok"
    unread = instance(restart_count=900, started_at=AT - 4)
    assert status("container/restarting", facts(unread)) == "unknown"


def test_a_limit_is_blamed_only_with_the_kernels_record() -> None:
    values: dict[str, Any] = {"state": "exited", "oom_killed": True, "memory_limit": 64 * 1024**2}
    (found,) = judge("container/oom-killed", facts(instance(**values)))
    assert "for want of memory" in found.summary
    assert "limit" not in found.summary
    by_engine = instance(oom_at=AT - 5, oom_record="docker events --filter event=oom", **values)
    assert "limit" not in judge("container/oom-killed", facts(by_engine))[0].summary
    by_kernel = instance(oom_at=AT - 5, oom_record="dmesg | grep oom-kill", **values)
    assert "its limit of 64" in judge("container/oom-killed", facts(by_kernel))[0].summary


def shop(**options: Any) -> ProbeContext:
    services = {
        "db": ServiceSpec(container="db"),
        "backend": ServiceSpec(container="backend"),
        "bot": ServiceSpec(container="bot", project="other"),
    }
    spec = StackSpec(name="shop", compose=ComposeSpec(project="shop"), services=services)
    stack = Stack(spec=spec, origin="x", directory=Path("/"))
    redactor = Redactor()
    return ProbeContext(
        target=TARGET,
        spec=services["backend"],
        service=services["backend"],
        stack=stack,
        secrets=Secrets(stack, redactor),
        redactor=redactor,
        shared=Shared(),
        ends=0.0,
        options=options,
    )


def listed(identity: str, project: str, service: str, one_off: str = "False") -> dict[str, Any]:
    names = ("project", "service", "oneoff")
    labels = dict(
        zip((f"com.docker.compose.{name}" for name in names), (project, service, one_off), strict=True)
    )
    return {"Id": identity, "Names": [f"/{identity}"], "Labels": labels, "State": "exited"}


def test_containers_of_the_services_own_project_without_one_off_runs() -> None:
    every = [
        listed("one", "shop", "bot"),
        listed("two", "other", "bot"),
        listed("run", "other", "bot", "True"),
        listed("three", "shop", "backend"),
    ]
    context = shop()
    found = own_containers(context, context.stack.spec.services["bot"], every)
    assert [item["Id"] for item in found] == ["two"]
    found = own_containers(context, context.service, every)
    assert [item["Id"] for item in found] == ["three"]


def test_the_first_service_that_is_looked_at_speaks_for_the_project() -> None:
    lasting = {"db": "db", "backend": "backend"}
    assert speaker(shop(), lasting) == "db"
    assert speaker(shop(wanted=lambda target: target.id == "backend/container"), lasting) == "backend"
