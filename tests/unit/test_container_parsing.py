"""What the engine, the kernel and the compose file say, read from data; and that nothing makes it raise."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opsctl.facts.container import Instance
from opsctl.probes.container_cgroup import parse_membership, parse_number, parse_pairs, throttled_ratio
from opsctl.probes.container_compose import ComposeError, interpolate, parse_compose
from opsctl.probes.container_incidents import Incidents, add_events, add_kernel_record
from opsctl.probes.container_listing import Listing
from opsctl.probes.container_parsing import (
    ended_badly,
    environment,
    environment_differences,
    instance_values,
    log_lines,
    one_line,
    stats_values,
    unix_time,
    wanted_networks,
    wanted_ports,
)
from opsctl.probes.docker import info_values, project_values

DATA = Path(__file__).parent / "data" / "container"
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=12,
)
INSPECT_KEYS = ("State", "HostConfig", "Config", "NetworkSettings", "Name", "Id", "Image", "RestartCount")


def inspected(name: str) -> dict[str, Any]:
    value = json.loads((DATA / f"{name}.json").read_text())
    assert isinstance(value, dict)
    return value


def test_a_running_container_with_a_port() -> None:
    instance = Instance(**instance_values(inspected("web")))
    assert instance.state == "running"
    assert instance.exit_code is None
    assert instance.ports == ["8000/tcp"]
    assert instance.restart_policy == "unless-stopped"
    assert instance.log_driver == "json-file"
    assert instance.log_max_size == ""
    assert instance.memory_limit == 0
    assert instance.cpu_limit == 0
    assert instance.health == ""
    assert wanted_ports(inspected("web")) == ["8000/tcp"]
    assert wanted_networks(inspected("web")) == instance.networks


def test_an_unhealthy_container() -> None:
    instance = Instance(**instance_values(inspected("db")))
    assert instance.health == "unhealthy"
    assert instance.failing_streak == 5
    assert instance.health_exit_code == 1
    assert instance.health_every_seconds == 2
    assert instance.health_checked_at is not None
    assert instance.memory_limit == 64 * 1024 * 1024


def test_a_crash_loop_and_kills() -> None:
    crash = Instance(**instance_values(inspected("crash")))
    assert (crash.state, crash.exit_code) == ("restarting", 3)
    assert crash.restart_count
    main = Instance(**instance_values(inspected("oomm")))
    assert (main.state, main.exit_code, main.oom_killed) == ("exited", 137, True)
    worker = Instance(**instance_values(inspected("oomw")))
    assert (worker.state, worker.oom_killed) == ("running", False)


def test_no_value_of_the_environment_is_kept() -> None:
    values = environment(inspected("web"))
    assert values["DB_PASSWORD"] == "hunter2secret"
    assert "hunter2secret" not in repr(instance_values(inspected("web")))


@given(st.fixed_dictionaries({}, optional=dict.fromkeys(INSPECT_KEYS, JSON)))
def test_an_inspect_of_any_shape_never_raises(value: dict[str, Any]) -> None:
    instance = Instance(**instance_values(value))
    assert len(instance.error) <= 300
    assert len(instance.health_output) <= 300
    environment(value)
    wanted_networks(value)
    wanted_ports(value)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("2026-11-21T04:21:25.44194193Z", 1795234885.44194193),
        ("2026-11-21T06:21:25+02:00", 1795234885.0),
        ("0001-01-01T00:00:00Z", None),
        ("", None),
        (None, None),
        ("2026-99-21T04:21:25Z", None),
    ],
)
def test_the_engines_times(text: str | None, value: float | None) -> None:
    assert unix_time(text) == (pytest.approx(value) if value is not None else None)


@given(st.text())
def test_times_of_any_text(text: str) -> None:
    unix_time(text)


def frame(stream: int, text: bytes) -> bytes:
    return bytes([stream, 0, 0, 0]) + len(text).to_bytes(4, "big") + text


def test_log_frames() -> None:
    data = frame(1, b"started\n") + frame(2, b"\x1b[31mKeyError: X\x1b[0m\n") + frame(2, b"half")
    assert log_lines(data, framed=True) == ["started", "KeyError: X", "half"]
    assert log_lines(b"plain\n\nlines\n", framed=True) == ["plain", "lines"]
    assert log_lines(b"a\r\nb\r\n", framed=False) == ["a", "b"]
    assert log_lines(data[:-2], framed=True)[-1] == "ha"


@given(st.binary(max_size=2000), st.booleans())
def test_logs_of_any_bytes(data: bytes, framed: bool) -> None:
    lines = log_lines(data, framed)
    assert len(lines) <= 8
    assert all(0 < len(line) <= 300 for line in lines)


@given(st.text())
def test_one_line_is_one_line(text: str) -> None:
    assert len(one_line(text).splitlines()) <= 1


def test_environment_differences_are_names() -> None:
    running = {"A": "1", "B": "two", "Q": "x", "DATABASE_URL": "old", "PATH": "/bin"}
    from_file = {"A": "1", "B": "2", "Q": "'x'", "NEW": "3", "DOLLAR": "$A"}
    wanted: dict[str, str | None] = {"DATABASE_URL": "new", "UNKNOWN": None}
    assert environment_differences(running, wanted, from_file, passed=True) == [
        "B",
        "DATABASE_URL",
        "DOLLAR",
        "NEW",
    ]
    assert environment_differences(running, {}, from_file, passed=False) == ["B"]
    assert environment_differences(running, {"B": "two"}, from_file, passed=False) == []


def test_control_groups_of_both_versions() -> None:
    first = parse_membership((DATA / "cgroup_v1.txt").read_text())
    assert first["memory"].startswith("/docker/b8c437dd")
    second = parse_membership((DATA / "cgroup_v2.txt").read_text())
    assert second[""].endswith(".scope/init")
    assert parse_membership("1:memory:/docker/../../etc") == {}


def test_control_group_numbers() -> None:
    assert parse_pairs("nr_periods 10\nnr_throttled 4\nbad line here\n") == {
        "nr_periods": 10,
        "nr_throttled": 4,
    }
    assert parse_number("41943040\n") == 41943040
    assert parse_number("max\n") is None
    assert throttled_ratio((100, 10), (110, 19)) == 0.9
    assert throttled_ratio((100, 10), (100, 10)) == 0
    assert throttled_ratio((100, 10), (3, 1)) is None


@given(st.text())
def test_control_group_files_of_any_text(text: str) -> None:
    parse_membership(text)
    parse_pairs(text)
    parse_number(text)


def test_kills_in_the_kernels_log() -> None:
    identity = "b8c437dd2bab8a288979d8afeadee64dec508123b9e895b04a95f93b53d30755"
    record = (
        "6,1,3165216134,-;oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=x,mems_allowed=0,"
        f"oom_memcg=/docker/{identity},task_memcg=/docker/{identity},task=python3,pid=924,uid=0"
    )
    found = Incidents()
    add_kernel_record(found, record, booted=1000.0, since=4000.0)
    kill = found.kills[identity]
    assert kill.process == "python3 (pid 924)"
    assert kill.at == pytest.approx(4165.216134)
    late = Incidents()
    add_kernel_record(late, record, booted=1000.0, since=5000.0)
    assert late.kills == {}


def test_events_and_the_kernels_log_agree_on_one_kill() -> None:
    identity = "ab" * 32
    found = Incidents()
    lines = [
        {"id": identity, "Action": "oom", "timeNano": 4_165_300_000_000},
        {
            "id": identity,
            "Action": "die",
            "timeNano": 4_166_000_000_000,
            "Actor": {"Attributes": {"exitCode": "137"}},
        },
        {"id": identity, "Action": "exec_die"},
    ]
    add_events(found, "\n".join(json.dumps(line) for line in lines) + "\n{cut o")
    record = (
        f"6,1,3165216134,-;oom-kill:oom_memcg=/system.slice/docker-{identity}.scope,task=gunicorn,pid=7,uid=0"
    )
    add_kernel_record(found, record, booted=1000.0, since=0.0)
    assert found.kills[identity].process == "gunicorn (pid 7)"
    assert found.deaths[identity] == [4166.0]
    assert found.exit_codes[identity] == 137


@given(st.text())
def test_incidents_of_any_text(text: str) -> None:
    found = Incidents()
    add_events(found, text)
    add_kernel_record(found, text, 0.0, 0.0)
    add_kernel_record(found, f"6,1,99,-;oom_memcg={text}", 0.0, 0.0)


@given(JSON)
def test_engine_answers_of_any_shape(value: Any) -> None:
    info_values(value)
    stats_values(value)
    ended_badly(value)


def test_the_engines_info() -> None:
    info = {"ServerVersion": "20.10.24", "Driver": "overlay2", "ContainersRunning": 3, "ContainersPaused": 0}
    assert info_values(info)["containers"] == {"running": 3, "paused": 0}
    assert info_values(info)["images"] is None


@pytest.mark.parametrize(
    ("status", "bad"),
    [
        ("Exited (1) 2 minutes ago", True),
        ("Restarting (3) 5 seconds ago", True),
        ("Exited (0) 2 minutes ago", False),
        ("Exited (137) 2 minutes ago", False),
        ("Up 3 hours (unhealthy)", False),
    ],
)
def test_the_status_column(status: str, bad: bool) -> None:
    assert ended_badly(status) is bad


def labelled(project: str, service: str, name: str, one_off: str = "False") -> dict[str, Any]:
    labels = {
        "com.docker.compose.project": project,
        "com.docker.compose.service": service,
        "com.docker.compose.oneoff": one_off,
    }
    return {"Id": name, "Names": [f"/{name}"], "Labels": labels, "State": "running"}


def test_containers_of_a_service() -> None:
    listed = [
        labelled("shop", "db", "shop_db_1"),
        labelled("shop", "db", "shop_db_run_1", "True"),
        labelled("other", "db", "other_db_1"),
        {"Id": "x", "Names": ["/wishlist-backend"], "Labels": None},
    ]
    listing = Listing(listed)
    assert [item["Id"] for item in listing.of_service("shop", "db")] == ["shop_db_1"]
    assert [item["Id"] for item in listing.of_service("shop", "wishlist-backend")] == ["x"]
    assert listing.of_service("shop", "bot") == []
    assert project_values(listed, "shop") == {"project_containers": 2, "project_running": 2}


VARIABLES = {"TAG": "7", "DB_PASSWORD": "s3cret", "EMPTY": ""}


def test_a_compose_file() -> None:
    file = parse_compose((DATA / "compose.yml").read_bytes(), "shop", VARIABLES)
    backend = file.services["backend"]
    assert backend.image == "registry.example/shop/backend:7"
    assert backend.builds
    assert backend.ports == ("8000/tcp", "9000/udp", "9100/tcp")
    assert backend.networks == ("shop_default", "shop_back")
    assert backend.env_files == (".env",)
    assert backend.replicas == 3
    assert backend.environment == {
        "DATABASE_URL": "postgresql://app:s3cret@db:5432/app",
        "DEBUG": None,
        "WORKERS": "4",
        "FROM_SHELL": None,
    }
    assert file.services["db"].image == "postgres:15"
    assert file.one_shots == {"migrate"}
    assert file.services["migrate"].environment == {"A": "1", "B": None}
    assert file.services["migrate"].env_files == ("one.env", "two.env")
    assert file.services["sidecar"].networks is None
    assert file.services["scaled"].networks == ("shared_net",)
    assert file.services["scaled"].replicas == 2


def test_an_image_with_an_unknown_variable_is_not_known() -> None:
    file = parse_compose((DATA / "compose.yml").read_bytes(), "shop", {})
    assert file.services["backend"].image is None
    assert file.services["backend"].environment["DATABASE_URL"] is None


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("$TAG-${TAG}", "7-7"),
        ("$$TAG", "$TAG"),
        ("${NO:-x}", "x"),
        ("${EMPTY:-x}", "x"),
        ("${EMPTY-x}", ""),
        ("${TAG:+set}", "set"),
        ("${NO:+set}", ""),
        ("${NO:?must be set}", None),
        ("$NO", None),
        ("100%", "100%"),
    ],
)
def test_variables_in_a_compose_file(text: str, value: str | None) -> None:
    assert interpolate(text, VARIABLES) == value


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"services: []",
        b"\xff\xfe",
        b"services: {a: {image: [}",
        b"[" * 5000,
        b"a: *nothing",
        b"x" * (1024 * 1024 + 1),
        b"? [a, b]\n: c",
    ],
)
def test_what_is_no_compose_file(data: bytes) -> None:
    with pytest.raises(ComposeError):
        parse_compose(data, "shop", {})


SERVICE = st.dictionaries(
    st.sampled_from(
        [
            "image",
            "ports",
            "networks",
            "env_file",
            "environment",
            "deploy",
            "scale",
            "depends_on",
            "network_mode",
        ]
    ),
    JSON,
    max_size=6,
)


@given(st.dictionaries(st.text(max_size=8), SERVICE, max_size=3), JSON)
def test_a_compose_file_of_any_shape_never_raises(services: dict[str, Any], networks: Any) -> None:
    text = (
        json.dumps({"services": services, "networks": networks}, allow_nan=False, default=str)
        if _finite([services, networks])
        else "{}"
    )
    with contextlib.suppress(ComposeError):
        parse_compose(text.encode("utf-8", "replace"), "shop", {"A": "b"})


def _finite(value: Any) -> bool:
    if isinstance(value, float):
        return value == value and abs(value) != float("inf")
    if isinstance(value, dict):
        return all(_finite(item) for item in value.values())
    return all(_finite(item) for item in value) if isinstance(value, list) else True


@given(st.binary(max_size=400))
def test_a_compose_file_of_any_bytes(data: bytes) -> None:
    with contextlib.suppress(ComposeError):
        parse_compose(data, "shop", {})
