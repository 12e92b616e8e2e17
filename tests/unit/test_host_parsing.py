"""The kernel's text files, from recorded ones and from anything at all."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opsctl.facts.host import Filesystem
from opsctl.probes import host_filesystems as filesystems
from opsctl.probes import host_parsing as parsing
from opsctl.probes.host import of_the_stack, unit_of

DATA = Path(__file__).parent / "data" / "host"


def recorded(name: str) -> str:
    return (DATA / name).read_text()


def test_memory_is_in_bytes() -> None:
    memory = parsing.meminfo(recorded("meminfo.txt"))
    assert memory["MemTotal"] % 1024 == 0
    assert 0 < memory["MemAvailable"] < memory["MemTotal"]
    assert memory["HugePages_Total"] == 0


def test_statistics_know_cores_boot_and_processes() -> None:
    statistics = parsing.statistics(recorded("stat.txt"), 100)
    assert [core.cpu for core in statistics.cpus] == ["0", "1"]
    assert set(statistics.cpus[0].seconds) == set(parsing.CPU_MODES)
    assert statistics.boot_time is not None
    assert statistics.running is not None
    assert statistics.blocked is not None


def test_vmstat_counts_kills() -> None:
    assert "oom_kill" in parsing.counters(recorded("vmstat.txt"))


def test_idle_loop_devices_are_left_out() -> None:
    (disk,) = parsing.disks(recorded("diskstats.txt"))
    assert disk.device == "vda"
    assert disk.read_bytes is not None
    assert disk.read_bytes > 0


def test_pressure() -> None:
    some = "some avg10=12.50 avg60=3.00 avg300=0.16 total=17216475"
    text = f"{some}\nfull avg10=1.00 avg60=2.00 avg300=0 total=1\n"
    pressure = parsing.pressure("io", text)
    assert pressure is not None
    assert (pressure.some, pressure.full) == (3.0, 1.0)
    assert parsing.pressure("io", "") is None


def test_mounts() -> None:
    mounts = {mount.mountpoint: mount for mount in parsing.mounts(recorded("mountinfo.txt"))}
    assert mounts["/mnt/share of all"].fstype == "nfs4"
    assert mounts["/backup"].readonly
    assert not mounts["/"].readonly


def test_only_real_file_systems_are_looked_at_and_each_once() -> None:
    mounts = parsing.mounts(recorded("mountinfo.txt"))
    chosen = [mount.mountpoint for mount in filesystems.choose(mounts, [], [])]
    assert chosen == ["/", "/backup", "/mnt/share of all", "/var/lib/postgresql"]


def test_what_the_stack_writes_to_is_looked_at_whatever_it_is() -> None:
    mounts = parsing.mounts(recorded("mountinfo.txt"))
    assert "/run" in [mount.mountpoint for mount in filesystems.choose(mounts, [], ["/run/app/log"])]
    assert [mount.mountpoint for mount in filesystems.choose(mounts, ["/run"], [])] == ["/run"]


def test_home_is_the_deepest_mount_point() -> None:
    mounts = parsing.mounts(recorded("mountinfo.txt"))
    assert filesystems.home("/var/lib/postgresql/15/main", mounts) == "/var/lib/postgresql"
    assert filesystems.home("/var/lib/postgresql-old", mounts) == "/"


def test_fstab() -> None:
    text = "# comment\nUUID=1 / ext4 errors=remount-ro 0 1\n/dev/sr0 /media iso9660 ro 0 0\n"
    text += "/dev/b /b ext4 ro,noatime 0 2\n"
    assert parsing.writable_by_fstab(text) == {"/"}


def test_df_and_opsctl_agree_on_the_share_in_use() -> None:
    disk = Filesystem(device="d", fstype="ext4", mountpoint="/", size=100, free=20, available=15)
    assert disk.used_ratio == pytest.approx(80 / 95)


@pytest.mark.parametrize(
    ("values", "loss"),
    [
        ([100, 90, 80], 10.0),
        ([100, 50, 50], 0.0),
        ([100, 101, 90], 0.0),
        ([100, None, 90], None),
        ([1], None),
    ],
)
def test_filling_is_the_smaller_of_two_losses(values: list[int | None], loss: float | None) -> None:
    assert filesystems.steady_loss(values, [0.0, 1.0, 2.0]) == loss


@pytest.mark.parametrize(
    ("text", "cores"), [("max 100000", None), ("50000 100000", 0.5), ("-1 100000", None), ("", None)]
)
def test_a_quota_is_cores(text: str, cores: float | None) -> None:
    assert parsing.quota_cores(text) == cores


def test_the_limit_of_open_files() -> None:
    text = "Limit   Soft Limit  Hard Limit  Units\nMax open files       1024          524288        files\n"
    assert parsing.open_files_limit(text) == 1024
    assert parsing.open_files_limit("Max open files            unlimited  unlimited files") is None


def kernel_log() -> list[tuple[float, str]]:
    lines = [parsing.kernel_record(line) for line in recorded("kernel_log.txt").splitlines()]
    return [line for line in lines if line is not None]


def test_kills_say_who_where_and_why() -> None:
    unit, machine, container = parsing.oom_kills(kernel_log())
    assert (unit.process, unit.pid, unit.limit) == ("python3", 4242, "/system.slice/app.service")
    assert unit.resident_bytes == 40120 * 1024
    assert machine.whole_machine
    assert machine.limit == ""
    assert container.cgroup == "/docker/3f2a"


def test_only_kills_that_concern_the_stack_are_its_own() -> None:
    ours, elsewhere = of_the_stack(parsing.oom_kills(kernel_log()), {"app"})
    assert [(kill.process, kill.unit) for kill in ours] == [("python3", "app.service"), ("postgres", "")]
    assert elsewhere == 1


def test_a_unit_is_a_whole_part_of_the_path() -> None:
    assert unit_of("/a/app.service/b", {"app.service"}) == "app.service"
    assert unit_of("/a/my-app.service", {"app.service"}) == ""


def test_a_process_may_be_called_anything() -> None:
    lines = [(1.0, "Out of memory: Killed process 7 (a) b (c) total-vm:1kB, anon-rss:2kB, x")]
    (kill,) = parsing.oom_kills(lines)
    assert kill.pid == 7


def test_journal_lines() -> None:
    line = "1795234894.000503 host kernel: Out of memory: Killed process 5 (x)"
    assert parsing.journal_short_unix(line) == (1795234894.000503, "Out of memory: Killed process 5 (x)")
    assert parsing.journal_short_unix("-- No entries --") is None


@given(st.text(max_size=400))
def test_no_text_makes_a_parser_raise(text: str) -> None:
    parsing.meminfo(text)
    parsing.counters(text)
    parsing.loads(text)
    parsing.statistics(text, 100)
    parsing.pressure("cpu", text)
    parsing.disks(text)
    parsing.mounts(text)
    parsing.writable_by_fstab(text)
    parsing.quota_cores(text)
    parsing.open_files_limit(text)
    parsing.kernel_record(text)
    parsing.journal_short_unix(text)
    assert len(parsing.oom_kills([(0.0, text)])) <= 1


@given(
    st.lists(
        st.tuples(
            st.floats(0, 1e9),
            st.sampled_from(
                ["oom-kill:constraint=", "Out of memory: Killed process ", "pid=1", "task=", "(", ")"]
            ).flatmap(lambda head: st.text(max_size=60).map(lambda tail: head + tail)),
        ),
        max_size=20,
    )
)
def test_no_kernel_log_makes_it_raise(lines: list[tuple[float, str]]) -> None:
    for kill in parsing.oom_kills(lines):
        assert len(kill.process) <= 64
        assert len(kill.cgroup) <= 300


@given(st.text(alphabet="rwo,-: /0123456789\n\\", max_size=300))
def test_no_mount_table_makes_it_raise(text: str) -> None:
    for mount in filesystems.choose(parsing.mounts(text), [], ["/x"]):
        assert isinstance(mount.mountpoint, str)


def test_only_what_is_scarce_is_watched_filling_up() -> None:
    every = parsing.mounts(
        "24 1 8:1 / / rw - ext4 /dev/sda1 rw\n"
        "25 24 8:2 / /data rw - ext4 /dev/sdb1 rw\n"
        "26 24 8:3 / /odd rw - ext4 /dev/sdc1 rw\n"
    )
    read = [
        Filesystem(device="/dev/sda1", fstype="ext4", mountpoint="/", size=100, free=75, available=75),
        Filesystem(device="/dev/sdb1", fstype="ext4", mountpoint="/data", size=100, free=10, available=10),
        Filesystem(device="/dev/sdc1", fstype="ext4", mountpoint="/odd"),
    ]
    assert [item.mountpoint for item in filesystems.scarce_mounts(every, read)] == ["/data"]
    assert filesystems.scarce_mounts(every, read[:1]) == []
