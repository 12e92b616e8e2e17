"""The machine: each fault is made for real and is the first root cause; undone, it is gone.

Other tests run on the same machine at the same time, so faults stay inside control groups, memory
file systems and network name spaces; where only the machine as a whole has a number (open files,
memory, load), the limit is put just above it and the fault goes just beyond.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from opsctl.diagnose import diagnose
from opsctl.engine import collect
from opsctl.model import Diagnosis, Finding, Status
from opsctl.probes import host as probe
from opsctl.stack.reader import parse
from tests.servers import filesystem, pressure
from tests.servers.base import wait_until
from tests.servers.filesystem import MEBIBYTE, SmallFilesystem
from tests.servers.pressure import LimitedGroup, Worker

pytestmark = pytest.mark.live

needs_mounts = pytest.mark.skipif(bool(filesystem.unavailable()), reason=filesystem.unavailable())
needs_groups = pytest.mark.skipif(
    pressure.memory_groups() is None, reason="limiting memory needs root and a memory control group"
)


OFF = {"warning": None, "critical": None}
OF_NEIGHBOURS = (
    "host/cpu-saturated",
    "host/io-pressure",
    "host/memory-pressure",
    "host/memory-exhausted",
    "host/swap-thrashing",
    "host/open-files-exhausted",
)


def examine(host: dict[str, Any] | None = None, thresholds: Any = None, unit: str = "none") -> Diagnosis:
    """Diagnose a stack of this machine alone; the unit is only a name here.

    What the neighbouring tests do to load, memory, disk and files is switched off, unless asked for.
    """
    spec = {
        "name": "t",
        "flow": "resources",
        "host": host or {},
        "thresholds": {**dict.fromkeys(OF_NEIGHBOURS, OFF), **(thresholds or {})},
        "services": {"app": {"unit": f"{unit}.service"}},
    }
    stack = parse(json.dumps(spec).encode(), "test.yml", Path("/tmp"))
    return diagnose(collect(stack, wanted=lambda target: target.kind == "host"))


def first(diagnosis: Diagnosis) -> Finding:
    assert diagnosis.root_causes, [item.summary for item in diagnosis.findings if item.status.failing]
    return diagnosis.root_causes[0].finding


def status_of(diagnosis: Diagnosis, slug: str) -> set[Status]:
    return {item.status for item in diagnosis.findings if item.id == slug}


def failing(diagnosis: Diagnosis) -> list[str]:
    return [f"{item.id}: {item.summary}" for item in diagnosis.findings if item.status.failing]


def test_this_machine_is_healthy_and_nothing_crashes() -> None:
    diagnosis = examine()
    assert failing(diagnosis) == []
    assert [item.summary for item in diagnosis.findings if "crashed" in item.summary] == []
    assert status_of(diagnosis, "host/disk-full") == {Status.OK}


@needs_mounts
def test_a_full_disk() -> None:
    with SmallFilesystem() as disk:
        where = {"filesystems": [str(disk.folder)]}
        assert failing(examine(where)) == []
        disk.fill()
        found = first(examine(where))
        assert (found.id, found.subject, found.status) == (
            "host/disk-full",
            str(disk.folder),
            Status.CRITICAL,
        )
        assert "100 % full" in found.summary
        assert any("filling" in row.text for row in found.evidence), "the large file is shown"
        disk.empty()
        assert failing(examine(where)) == []


@needs_mounts
def test_a_full_disk_is_found_without_being_named_where_the_stack_writes_to_it() -> None:
    with SmallFilesystem() as disk:
        log = disk.fill(name="app.log")
        spec = {
            "name": "t",
            "flow": "resources",
            "services": {"app": {"logs": [{"path": str(log)}]}},
        }
        stack = parse(json.dumps(spec).encode(), "test.yml", Path("/tmp"))
        diagnosis = diagnose(collect(stack, wanted=lambda target: target.kind == "host"))
        (found,) = [
            item
            for item in diagnosis.findings
            if (item.id, item.subject) == ("host/disk-full", str(disk.folder))
        ]
        assert found.status is Status.CRITICAL
        assert found in [cause.finding for cause in diagnosis.root_causes]


@needs_mounts
def test_no_inodes() -> None:
    with SmallFilesystem(inodes=200) as disk:
        where = {"filesystems": [str(disk.folder)]}
        disk.use_all_inodes()
        found = first(examine(where))
        assert (found.id, found.subject, found.status) == (
            "host/inodes-full",
            str(disk.folder),
            Status.CRITICAL,
        )
        disk.empty()
        assert failing(examine(where)) == []


@needs_mounts
def test_a_disk_that_fills_up() -> None:
    with SmallFilesystem(size=64 * MEBIBYTE) as disk:
        where = {"filesystems": [str(disk.folder)]}
        ballast = disk.fill(0.82, "ballast")
        assert failing(examine(where)) == [], "a disk that is rather full but still is well"
        with Worker(pressure.writing_steadily(disk.folder / "log", 200_000)):
            found = first(examine(where))
            assert (found.id, found.subject) == ("host/disk-filling", str(disk.folder))
        assert failing(examine(where)) == []
        assert ballast.exists()


@needs_mounts
def test_a_read_only_file_system() -> None:
    with SmallFilesystem() as disk:
        where = {"filesystems": [str(disk.folder)]}
        disk.remount("ro")
        found = first(examine(where))
        assert (found.id, found.subject, found.status) == (
            "host/read-only-filesystem",
            str(disk.folder),
            Status.CRITICAL,
        )
        disk.remount("rw")
        assert failing(examine(where)) == []


@needs_mounts
def test_two_full_disks_are_two_causes() -> None:
    with SmallFilesystem() as one, SmallFilesystem(inodes=200) as other:
        one.fill()
        other.use_all_inodes()
        diagnosis = examine({"filesystems": [str(one.folder), str(other.folder)]})
        causes = {(item.finding.id, item.finding.subject) for item in diagnosis.root_causes}
        assert causes == {("host/disk-full", str(one.folder)), ("host/inodes-full", str(other.folder))}


def test_a_mount_point_that_is_not_there_is_unknown() -> None:
    diagnosis = examine({"filesystems": ["/nowhere-at-all"]})
    assert status_of(diagnosis, "host/disk-full") == {Status.UNKNOWN}
    assert failing(diagnosis) == []


def test_memory_is_used_up() -> None:
    size = min(800 * MEBIBYTE, probe.memory_values()["memory_available"] // 3)
    with Worker(pressure.holding_memory(size)):
        memory = probe.memory_values()
        limit = 1 - (memory["memory_available"] + 0.7 * size) / memory["memory_total"]
        limits = {"host/memory-exhausted": {"warning": limit, "critical": limit}}
        found = first(examine(thresholds=limits))
        assert (found.id, found.status) == ("host/memory-exhausted", Status.CRITICAL)
    wait_until(lambda: failing(examine(thresholds=limits)) == [], "memory to be free again", 90)


@needs_groups
def test_a_kill_for_want_of_memory() -> None:
    unit = f"opsctl-test-{secrets.token_hex(4)}"
    with LimitedGroup(f"{unit}.service", 40 * MEBIBYTE) as group:
        worker = group.start(pressure.holding_memory(200 * MEBIBYTE))
        assert worker.wait() == -9
        found = first(examine(unit=unit))
        assert (found.id, found.subject, found.status) == (
            "host/oom-kills",
            f"{unit}.service",
            Status.WARNING,
        )
        assert f"pid {worker.process.pid}" in found.summary
        innocent = examine(unit="another")
        assert status_of(innocent, "host/oom-kills") == {Status.OK}, "a neighbour's kill is not ours"
        ended = probe.time.time()
        wait_until(lambda: probe.time.time() > ended + 1.2, "a moment later")
        with group.start(pressure.holding_memory(1 * MEBIBYTE)):
            assert failing(examine(unit=unit)) == [], "started anew it is over"
        worker.__exit__()


@needs_groups
@pytest.mark.skipif(shutil.which("mkswap") is None, reason="mkswap is not installed")
def test_swap_thrashing() -> None:
    with (
        swap_file(128 * MEBIBYTE),
        LimitedGroup(f"opsctl-test-{secrets.token_hex(4)}", 24 * MEBIBYTE, swap=True) as group,
    ):
        limits = {"host/swap-thrashing": {"warning": 5, "critical": 10}}
        with group.start(pressure.touching_memory(64 * MEBIBYTE, 60)):
            found: list[Finding] = []

            def thrashes() -> bool:
                causes = examine(thresholds=limits).root_causes
                found[:] = [causes[0].finding] if causes else []
                return bool(found)

            wait_until(thrashes, "swap thrashing", 60)
            assert (found[0].id, found[0].status) == ("host/swap-thrashing", Status.CRITICAL)
        wait_until(lambda: failing(examine(thresholds=limits)) == [], "over", 30)


class swap_file:  # noqa: N801 - reads as what it makes
    """A swap file for as long as the block lasts."""

    def __init__(self, size: int) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="opsctl-swap-"))
        self.path, self.size = self.folder / "swap", size

    def __enter__(self) -> None:
        with self.path.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, self.size)
        self.path.chmod(0o600)
        for argv in (["mkswap", str(self.path)], ["swapon", str(self.path)]):
            result = subprocess.run(argv, capture_output=True, check=False)
            if result.returncode != 0:
                shutil.rmtree(self.folder)
                pytest.skip(f"{argv[0]}: {result.stderr.decode(errors='replace').strip()}")

    def __exit__(self, *_: object) -> None:
        subprocess.run(["swapoff", str(self.path)], check=True, capture_output=True)
        shutil.rmtree(self.folder)


def test_too_much_work_for_the_cores() -> None:
    limits = {"host/cpu-saturated": {"warning": 0.3, "critical": 0.4}}
    workers = [
        Worker(f"import os; os.nice(10)\n{pressure.using_cores(90)}") for _ in range(3 * os.cpu_count())
    ]  # type: ignore[operator]
    try:
        found: list[Finding] = []

        def saturated() -> bool:
            causes = examine(thresholds=limits).root_causes
            found[:] = [causes[0].finding] if causes else []
            return bool(found)

        wait_until(saturated, "a saturated processor", 80)
        assert (found[0].id, found[0].target) == ("host/cpu-saturated", "host")
    finally:
        for worker in workers:
            worker.__exit__()


def test_open_files_run_out() -> None:
    limits = {"host/open-files-exhausted": {"warning": 0.85, "critical": 0.95}}
    with Worker(pressure.holding_files(290, limit=300)) as worker:
        found = first(examine(thresholds=limits))
        assert (found.id, found.status) == ("host/open-files-exhausted", Status.CRITICAL)
        assert f"pid {worker.process.pid}" in found.summary
    assert failing(examine(thresholds=limits)) == []


@pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("iptables") is None or shutil.which("unshare") is None,
    reason="tracking connections needs root, iptables and unshare",
)
def test_the_table_of_connections_is_full(tmp_path: Path) -> None:
    if probe.kernel_values()["conntrack_limit"] is None:
        pytest.skip("the kernel does not track connections here")
    limit = 300 / probe.kernel_values()["conntrack_limit"]
    stack = tmp_path / "stack.yml"
    spec = {
        "name": "t",
        "flow": "resources",
        "services": {"app": {"unit": "none.service"}},
        "thresholds": {
            **dict.fromkeys(OF_NEIGHBOURS, OFF),
            "host/conntrack-full": {"warning": limit, "critical": limit},
        },
    }
    stack.write_text(json.dumps(spec))
    look = f"{sys.executable} -m opsctl diagnose --stack {stack} --output json --exit-zero > {tmp_path}"
    open_many = "import socket; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); "
    open_many += "[s.sendto(b'x', ('127.0.0.1', port)) for port in range(20000, 21000)]"
    script = (
        "set -e; ip link set lo up; iptables -A INPUT -m conntrack --ctstate NEW -j ACCEPT; "
        f'{look}/before.json; {sys.executable} -c "{open_many}"; {look}/after.json'
    )
    subprocess.run(
        ["unshare", "-n", "sh", "-c", script], check=True, timeout=60, cwd=Path(__file__).parents[2]
    )
    assert slugs(tmp_path / "before.json") == []
    assert slugs(tmp_path / "after.json")[:1] == ["host/conntrack-full"]


def slugs(path: Path) -> list[str]:
    return [cause["id"] for cause in json.loads(path.read_text())["root_causes"]]


def test_a_restart_is_found_where_the_stack_asks_for_it() -> None:
    assert status_of(examine(), "host/rebooted") == {Status.OK}
    uptime = probe.time.time() - probe.kernel_values()["boot_time"]
    found = first(examine(thresholds={"host/rebooted": {"warning": uptime + 600}}))
    assert (found.id, found.status) == ("host/rebooted", Status.WARNING)


def test_no_root_is_needed_and_nothing_is_written(tmp_path: Path) -> None:
    python = f"/usr/bin/python{sys.version_info.major}.{sys.version_info.minor}"
    if os.geteuid() != 0 or not Path(python).exists():
        pytest.skip(f"becoming somebody else needs root and {python}")
    code = (
        "from tests.live.test_host import examine, failing; d = examine(); print(failing(d), d.coverage.ran)"
    )
    folders = [str(Path(__file__).parents[2]), *(path for path in sys.path if "site-packages" in path)]
    result = subprocess.run(
        [python, "-c", code],
        capture_output=True,
        text=True,
        check=False,
        user="nobody",
        group="nogroup",
        env={"PYTHONPATH": ":".join(folders), "PYTHONDONTWRITEBYTECODE": "1", "HOME": "/"},
        cwd="/",
        timeout=60,
    )
    if "Permission denied" in result.stderr or "No module named" in result.stderr:
        pytest.skip("this checkout cannot be read by another user")
    assert result.stdout.startswith("[] "), result.stderr
    assert int(result.stdout.split()[-1]) >= 10


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    yield
    mounts = Path("/proc/self/mounts").read_text()
    assert "opsctl-filesystem-" not in mounts or "PYTEST_XDIST_WORKER" in os.environ
