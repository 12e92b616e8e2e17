"""What the machine's checks make of facts that cannot be produced here without hurting others."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from opsctl.facts.base import FactProblem
from opsctl.facts.host import Filesystem, HostFacts, OomKill, Pressure, ProcessFiles
from opsctl.judge import judge
from opsctl.metrics import exposition, facts_from_series, parse_exposition, samples
from opsctl.model import Finding, Reading, Snapshot, StackSummary, Status, Target
from opsctl.probes.host_parsing import service_of

NOW = datetime(2026, 11, 21, 4, 0, tzinfo=UTC)
GIBIBYTE = 1024**3

HEALTHY = HostFacts(
    hostname="lab",
    now=NOW.timestamp(),
    boot_time=NOW.timestamp() - 86400,
    filesystems=[
        Filesystem(
            device="/dev/vda",
            fstype="ext4",
            mountpoint="/",
            size=100 * GIBIBYTE,
            free=50 * GIBIBYTE,
            available=45 * GIBIBYTE,
            files=1000,
            files_free=900,
            readonly=False,
        )
    ],
    pressure=[
        Pressure(resource=name, some_10=1, some_60=1, full_10=0, full_60=0)
        for name in ("cpu", "memory", "io")
    ],
    cores=2,
    load1=1.5,
    memory_total=8 * GIBIBYTE,
    memory_available=4 * GIBIBYTE,
    swap_total=0,
    swapped_in_per_second=0,
    oom_kills=[],
    oom_kills_elsewhere=0,
    files_open=1000,
    files_most=100000,
    conntrack_entries=10,
    conntrack_limit=1000,
    clock_synchronised=True,
    clock_offset_seconds=0.001,
    clock_daemon="chronyd",
)


def findings(slug: str, limits: dict[str, float | None] | None = None, **changes: Any) -> list[Finding]:
    facts = msgspec.structs.replace(HEALTHY, **changes)
    stack = StackSummary(
        name="t", flow="resources", origin="t", services={}, thresholds={slug: limits} if limits else {}
    )
    reading = Reading(
        target=Target(kind="host", service="host"), taken_at=NOW, duration_seconds=0.1, facts=facts
    )
    snapshot = Snapshot(
        schema=1,
        opsctl_version="0",
        stack=stack,
        taken_at=NOW,
        duration_seconds=0.1,
        deadline_seconds=1,
        readings=(reading,),
    )
    return [finding for finding in judge(snapshot) if finding.id == slug]


def status(slug: str, limits: dict[str, float | None] | None = None, **changes: Any) -> Status:
    return findings(slug, limits, **changes)[0].status


def disk(size: float, left: float) -> list[Filesystem]:
    return [
        msgspec.structs.replace(
            HEALTHY.filesystems[0],
            size=int(size * GIBIBYTE),
            free=int(left * GIBIBYTE),
            available=int(left * GIBIBYTE),
        )
    ]


def test_a_healthy_machine_has_only_ok() -> None:
    from opsctl.checks import checks_for

    for check in checks_for("host"):
        assert {finding.status for finding in findings(check.slug)} == {Status.OK}, check.slug


@pytest.mark.parametrize(
    ("size", "left", "expected"),
    [
        (100, 50, Status.OK),
        (100, 8, Status.WARNING),
        (100, 2, Status.CRITICAL),
        (4000, 30, Status.OK),  # under 1 % left, but 30 GiB
        (1000, 10, Status.WARNING),  # 1 % left, but 10 GiB
        (10, 0, Status.CRITICAL),
        (0.01, 0.0, Status.CRITICAL),
    ],
)
def test_a_large_disk_is_not_full_because_of_a_share(size: float, left: float, expected: Status) -> None:
    assert status("host/disk-full", filesystems=disk(size, left)) is expected


def test_own_thresholds_count_as_written() -> None:
    limits = {"warning": 0.4, "critical": 0.99}
    assert status("host/disk-full", limits, filesystems=disk(1000, 500)) is Status.WARNING


def test_a_hung_mount_is_unknown_and_hides_no_other() -> None:
    hung = Filesystem(
        device="server:/x",
        fstype="nfs4",
        mountpoint="/mnt",
        device_error=True,
        error="no answer within 1.0 s",
    )
    both = findings("host/disk-full", filesystems=[hung, *disk(10, 0)])
    assert [finding.status for finding in both] == [Status.UNKNOWN, Status.CRITICAL]


@pytest.mark.parametrize(
    ("ratio", "expected"), [(0.5, Status.OK), (0.94, Status.WARNING), (0.98, Status.CRITICAL)]
)
def test_memory(ratio: float, expected: Status) -> None:
    left = int(8 * GIBIBYTE * (1 - ratio))
    assert status("host/memory-exhausted", memory_available=left) is expected


def test_the_limit_of_a_container_counts_too() -> None:
    every = findings("host/memory-exhausted", memory_limit=1000, memory_limit_used=990)
    assert [finding.status for finding in every] == [Status.OK, Status.CRITICAL]


def pressed(resource: str, **values: float) -> list[Pressure]:
    return [
        *(item for item in HEALTHY.pressure if item.resource != resource),
        Pressure(resource=resource, **values),
    ]


@pytest.mark.parametrize("slug", ["host/memory-pressure", "host/io-pressure"])
def test_pressure_must_be_now_and_for_a_minute(slug: str) -> None:
    name = slug.removeprefix("host/").removesuffix("-pressure")
    over = pressed(name, some_10=0.0, some_60=90.0, full_10=0.0, full_60=90.0)
    burst = pressed(name, some_10=95.0, some_60=5.0, full_10=95.0, full_60=5.0)
    lasting = pressed(name, some_10=95.0, some_60=90.0, full_10=95.0, full_60=90.0)
    assert status(slug, pressure=over) is Status.OK
    assert status(slug, pressure=burst) is Status.OK
    assert status(slug, pressure=lasting) is Status.CRITICAL
    assert status(slug, pressure=[]) is Status.UNKNOWN


def test_load_hurts_only_where_somebody_waits_for_a_core() -> None:
    busy = pressed("cpu", some_10=95.0, some_60=90.0, full_10=0.0, full_60=0.0)
    assert status("host/cpu-saturated", load1=40.0) is Status.OK, "load of processes that wait for a disk"
    assert status("host/cpu-saturated", load1=6.0, pressure=busy) is Status.OK, "a busy build machine"
    assert status("host/cpu-saturated", load1=18.0, pressure=busy) is Status.WARNING
    assert status("host/cpu-saturated", load1=40.0, pressure=busy) is Status.CRITICAL


def test_a_machine_out_of_memory_is_critical_and_a_limit_a_warning() -> None:
    whole = OomKill(process="postgres", pid=7, at=NOW.timestamp() - 60)
    limited = OomKill(process="python3", pid=8, at=NOW.timestamp() - 60, limit="/x", unit="app.service")
    assert status("host/oom-kills", oom_kills=[whole]) is Status.CRITICAL
    (finding,) = findings("host/oom-kills", oom_kills=[limited])
    assert (finding.status, finding.subject) == (Status.WARNING, "app.service")


def test_an_unreadable_kernel_log_is_unknown() -> None:
    problem = FactProblem(part="kernel log", code="permission", message="no", hint="run as root")
    (finding,) = findings("host/oom-kills", oom_kills=None, problems=[problem])
    assert (finding.status, finding.hint) == (Status.UNKNOWN, "run as root")


def test_swap_in_use_is_no_thrashing() -> None:
    assert status("host/swap-thrashing", swap_total=100, swapped_in_per_second=20.0) is Status.OK
    assert status("host/swap-thrashing", swap_total=100, swapped_in_per_second=900.0) is Status.WARNING
    assert status("host/swap-thrashing", swap_total=100, swapped_in_per_second=None) is Status.UNKNOWN


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"clock_offset_seconds": 0.5}, Status.WARNING),
        ({"clock_offset_seconds": -30.0}, Status.CRITICAL),
        ({"clock_synchronised": False}, Status.WARNING),
        ({"clock_synchronised": False, "clock_daemon": ""}, Status.UNKNOWN),
        ({"clock_synchronised": False, "boot_time": NOW.timestamp() - 60}, Status.UNKNOWN),
        ({"clock_synchronised": None}, Status.UNKNOWN),
    ],
)
def test_the_clock(changes: dict[str, Any], expected: Status) -> None:
    assert status("host/clock-skew", **changes) is expected


def test_full_tables() -> None:
    assert status("host/open-files-exhausted", files_open=99000) is Status.CRITICAL
    leaking = ProcessFiles(process="app", pid="7", files_open=900, files_most=1024)
    every = findings("host/open-files-exhausted", process_files=[leaking])
    assert [finding.status for finding in every] == [Status.OK, Status.WARNING]
    assert status("host/conntrack-full", conntrack_entries=850) is Status.WARNING
    assert status("host/conntrack-full", conntrack_limit=None) is Status.OK


def test_a_restart_counts_only_where_it_is_asked_for() -> None:
    started = NOW.timestamp() - 30
    assert status("host/rebooted", boot_time=started) is Status.OK
    assert status("host/rebooted", {"warning": 600}, boot_time=started) is Status.WARNING


def test_a_disk_that_ext4_turned_read_only() -> None:
    broken = msgspec.structs.replace(
        HEALTHY.filesystems[0],
        readonly=True,
        must_be_writable=True,
        kernel_errors=3,
        writable_because="/etc/fstab mounts it writable",
    )
    (finding,) = findings("host/read-only-filesystem", filesystems=[broken])
    assert finding.status is Status.CRITICAL
    assert "3 errors" in finding.summary
    by_design = msgspec.structs.replace(broken, must_be_writable=False)
    assert status("host/read-only-filesystem", filesystems=[by_design]) is Status.OK


def test_facts_survive_their_metrics() -> None:
    back = facts_from_series(HostFacts, parse_exposition(exposition(samples(HEALTHY))))
    assert list(samples(back)) == list(samples(HEALTHY))


@pytest.mark.parametrize("slug", ["host/disk-full", "host/inodes-full", "host/disk-filling"])
def test_a_mount_that_is_not_there_hides_no_other(slug: str) -> None:
    mistyped = FactProblem(part="filesystem /date", code="missing", message="/date is no mount point")
    both = findings(slug, problems=[mistyped], filesystems=disk(10, 0))
    assert (both[0].status, both[0].subject, both[0].summary) == (
        Status.UNKNOWN,
        "/date",
        "/date is no mount point",
    )
    assert len(both) == 2
    if slug == "host/disk-full":
        assert both[1].status is Status.CRITICAL


def test_the_files_of_one_process_are_a_matter_of_its_service() -> None:
    own = ProcessFiles(process="app", pid="7", files_open=1000, files_most=1024, service="backend")
    alien = ProcessFiles(process="other", pid="8", files_open=1000, files_most=1024)
    found = findings("host/open-files-exhausted", process_files=[own, alien])
    assert [item.target for item in found] == [found[0].target, "backend", found[0].target]
    groups = "0::/system.slice/app.service\n"
    assert service_of(groups, {"db.service": "db", "app.service": "backend"}) == "backend"
    assert service_of("0::/user.slice\n", {"app.service": "backend"}) == ""
