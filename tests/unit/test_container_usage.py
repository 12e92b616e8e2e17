"""Containers for metrics: control groups of both versions, network, filesystem, and the machine below."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from opsctl.facts.container import ContainerFacts, Instance
from opsctl.facts.container_usage import Device, Usage
from opsctl.facts.docker_machine import Machine
from opsctl.metrics import exposition, facts_from_series, parse_exposition, samples
from opsctl.probes import container_usage as usage
from opsctl.probes.container_cgroup import parse_number, parse_pairs
from opsctl.probes.docker_machine import identity, machine, total_memory

CALM = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
"""The machine may be busy."""

DATA = Path(__file__).parent / "data" / "container"
IDENTITY = "b8c437dd2bab8a288979d8afeadee64dec508123b9e895b04a95f93b53d30755"


def membership(version: int) -> str:
    return (DATA / f"cgroup_v{version}.txt").read_text()


def tree(version: int, root: Path) -> dict[str, Path]:
    """Return the folders of the stored control group, laid out as the kernel does."""
    if version == 1:
        for name in usage.CONTROLLERS:
            shutil.copytree(DATA / "usage" / "v1" / name, root / name / "docker" / IDENTITY)
    else:
        shutil.copytree(DATA / "usage" / "v2", root / "system.slice" / f"docker-{IDENTITY}.scope")
    return usage.folders(membership(version), IDENTITY, root)


def inspected(name: str = "db") -> dict[str, Any]:
    found: dict[str, Any] = json.loads((DATA / f"{name}.json").read_text())
    return found


def test_control_groups_v2(tmp_path: Path) -> None:
    groups = tree(2, tmp_path)
    assert set(groups) == {""}
    assert usage.group_values(groups) == {
        "cpu_seconds": 22697.802097,
        "cpu_user_seconds": 15307.790876,
        "cpu_system_seconds": 7390.01122,
        "cpu_throttled_seconds": 2.5,
        "memory_cache": 9957376,
        "memory_rss": 13230080,
        "memory_mapped": 4096,
        "memory_swap": 0,
        "memory_peak": 33554432,
    }
    counted = {"reads": 120, "writes": 30, "read_bytes": 983040, "written_bytes": 122880}
    assert usage.unified_devices((groups[""] / "io.stat").read_text()) == {"254:0": counted, "259:1": {}}


def test_control_groups_v1(tmp_path: Path) -> None:
    groups = tree(1, tmp_path)
    assert set(groups) == set(usage.CONTROLLERS)
    ticks = os.sysconf("SC_CLK_TCK")
    values = usage.group_values(groups)
    assert values["cpu_seconds"] == 22858.042461986
    assert values["cpu_user_seconds"] == 1550615 / ticks
    assert values["cpu_throttled_seconds"] == 2.5
    assert (values["memory_cache"], values["memory_rss"]) == (4227297280, 962498560)
    assert (values["memory_swap"], values["memory_peak"]) == (0, 5_000_000_000)
    counted = {"reads": 120, "writes": 30, "read_bytes": 983040, "written_bytes": 122880}
    names = ("blkio.throttle.io_serviced", "blkio.throttle.io_service_bytes")
    assert usage.legacy_devices(*((groups["blkio"] / name).read_text() for name in names)) == {
        "254:0": counted
    }


def test_another_container_s_group_is_not_taken_for_it(tmp_path: Path) -> None:
    tree(2, tmp_path)
    assert usage.folders(membership(2), "0" * 64, tmp_path) == {}
    assert usage.folders(membership(2), "", tmp_path) == {}
    assert usage.group_values({}) == dict.fromkeys(usage.group_values({}))


def test_network_of_a_real_machine() -> None:
    found = {item.interface: item for item in usage.interfaces((DATA / "usage" / "net_dev.txt").read_text())}
    assert "lo" not in found
    assert found["eth0"].received_bytes == 1481951134
    assert found["br-f8cd713feebe"].sent_bytes == 746
    assert found["br-f8cd713feebe"].send_drops == 2
    assert found["br-f8cd713feebe"].send_errors == 0


def test_limits_as_the_container_was_made_with() -> None:
    host = {"CpuPeriod": 50_000, "NanoCpus": 1_500_000_000, "MemoryReservation": 1024, "MemorySwap": -1}
    assert usage.spec_values({"HostConfig": host}) == {
        "cpu_period": 50_000,
        "cpu_quota": 75_000,
        "cpu_shares": 1024,
        "memory_reservation": 1024,
        "memory_swap_limit": 0,
    }
    unlimited = usage.spec_values(inspected())
    assert (unlimited["cpu_period"], unlimited["cpu_quota"]) == (100_000, None)


def test_a_container_of_another_machine_tells_its_limits_alone() -> None:
    found = usage.usage(usage.source({**inspected(), "State": {"Pid": os.getpid()}}, here=False))
    assert found.cpu_period == 100_000
    assert found.cpu_seconds is None
    assert found.interfaces == []
    assert found.last_seen is not None


def test_a_process_that_is_in_no_container_has_no_groups_but_a_network_and_a_filesystem(
    tmp_path: Path,
) -> None:
    seen = {
        "Id": IDENTITY,
        "State": {"Pid": os.getpid()},
        "GraphDriver": {"Data": {"UpperDir": str(tmp_path)}},
    }
    found = usage.usage(usage.source(seen, here=True))
    assert found.cpu_seconds is None
    (device,) = found.devices
    assert device.size == os.statvfs(tmp_path).f_blocks * os.statvfs(tmp_path).f_frsize
    assert device.reads is None
    shared = usage.usage(
        usage.source({**seen, "HostConfig": {"NetworkMode": "host"}, "GraphDriver": None}, here=True)
    )
    assert (shared.interfaces, shared.devices) == ([], [])


def test_names_and_labels_are_the_standard_ones(tmp_path: Path) -> None:
    groups = tree(2, tmp_path)
    own = Usage(
        last_seen=1.0,
        devices=[Device(device="/dev/vda", reads=1, inodes=5, inodes_free=4)],
        interfaces=usage.interfaces((DATA / "usage" / "net_dev.txt").read_text())[:1],
        **usage.group_values(groups),
        **usage.spec_values({"HostConfig": {"NanoCpus": 500_000_000}}),
    )
    facts = ContainerFacts(
        instances=[Instance(name="shop-db-1", image="postgres:15", id="1" * 64, usage=own)]
    )
    text = exposition(samples(facts))
    found = parse_exposition(text)
    base = {"name", "image", "id"}
    for name, labels in (
        ("container_cpu_usage_seconds_total", {"cpu"}),
        ("container_cpu_user_seconds_total", set()),
        ("container_fs_reads_total", {"device"}),
        ("container_fs_inodes_free", {"device"}),
        ("container_last_seen", set()),
        ("container_memory_cache", set()),
        ("container_memory_rss", set()),
        ("container_network_receive_bytes_total", {"interface"}),
        ("container_network_transmit_packets_dropped_total", {"interface"}),
        ("container_spec_cpu_quota", set()),
        ("container_spec_memory_reservation_limit_bytes", set()),
    ):
        ((own_labels, _),) = found[name]
        assert set(own_labels) == base | labels
    assert facts_from_series(ContainerFacts, found).instances == facts.instances


# -- the machine below --------------------------------------------------------------------------


def test_this_machine() -> None:
    found = machine()
    assert found.cores == os.cpu_count()
    assert found.memory
    assert found.memory > 2**20
    assert len(found.boot_id) == 36
    labels = {item.metric.name: dict(item.labels) for item in samples(found)}
    assert labels["machine_cpu_cores"] == labels["machine_memory_bytes"]
    assert set(labels["machine_cpu_cores"]) <= {"boot_id", "machine_id", "system_uuid"}


def test_a_machine_that_tells_nothing(tmp_path: Path) -> None:
    assert machine(tmp_path) == Machine(cores=os.cpu_count())


@pytest.mark.parametrize("text", [None, "", "a b", "x" * 65, "id\0"])
def test_what_is_no_number_of_a_machine_is_left_out(text: str | None) -> None:
    assert identity(text) == ""


# -- any text -----------------------------------------------------------------------------------

LINES = st.text(max_size=200) | st.text("0123456789: ReadWrite=rbyteswio\nTotal", max_size=200)


@CALM
@given(LINES, LINES)
def test_no_text_breaks_anything(first: str, second: str) -> None:
    for values in (
        usage.unified_values(parse_pairs(first), parse_pairs(second), parse_number(first), None),
        usage.legacy_values(
            parse_number(first),
            parse_pairs(first),
            parse_pairs(second),
            parse_pairs(first),
            parse_number(second),
        ),
    ):
        list(samples(Usage(**values)))
    for counts in (usage.unified_devices(first), usage.legacy_devices(first, second)):
        for number, fields in counts.items():
            list(samples(Device(device=number, **fields)))
    usage.interfaces(first)
    total_memory(first)
    assert len(identity(first)) <= 64
    usage.folders(first, second)


@CALM
@given(
    st.dictionaries(
        st.sampled_from(
            ["CpuPeriod", "CpuQuota", "NanoCpus", "CpuShares", "MemoryReservation", "MemorySwap"]
        ),
        st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    )
)
def test_no_configuration_breaks_anything(host: dict[str, Any]) -> None:
    list(samples(Usage(**usage.spec_values({"HostConfig": host}))))
