"""The kernel's counters for dashboards, from recorded files and from anything at all."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from opsctl.facts.host import HostFacts
from opsctl.facts.host_counters import DiskActivity, HostCounters, Stalls
from opsctl.facts.host_memory import HostMemory
from opsctl.facts.host_network import NetworkDevice, NetworkProtocols, Sockets
from opsctl.metrics import exposition, samples
from opsctl.probes import host_counters
from opsctl.probes import host_counters_parsing as parsing
from opsctl.probes import host_network_parsing as network
from opsctl.probes.host_named import every, fields_of, metrics_of, named
from opsctl.probes.host_parsing import is_disk

DATA = Path(__file__).parent / "data" / "host"
FILES = {
    "/etc/os-release": "os_release.txt",
    "/proc/diskstats": "diskstats.txt",
    "/proc/meminfo": "meminfo.txt",
    "/proc/net/arp": "arp.txt",
    "/proc/net/dev": "net_dev.txt",
    "/proc/net/netstat": "netstat.txt",
    "/proc/net/snmp": "snmp.txt",
    "/proc/net/snmp6": "snmp6.txt",
    "/proc/net/sockstat": "sockstat.txt",
    "/proc/net/sockstat6": "sockstat6.txt",
    "/proc/net/softnet_stat": "softnet_stat.txt",
    "/proc/net/udp": "udp.txt",
    "/proc/pressure/io": "pressure_io.txt",
    "/proc/stat": "stat_whole.txt",
    "/proc/vmstat": "vmstat.txt",
}
PROTOCOLS = metrics_of(NetworkProtocols)


def recorded(name: str) -> str:
    return (DATA / name).read_text()


def test_statistics() -> None:
    found = parsing.statistics(recorded("stat_whole.txt"))
    assert set(found) == {"node_context_switches_total", "node_forks_total", "node_intr_total"}
    assert all(value > 0 for value in found.values())
    assert parsing.statistics("intr 12 0 9 3\nctxt x\n") == {"node_intr_total": 12}


def test_time_of_virtual_machines() -> None:
    text = "cpu  1 1 1 1 1 1 1 1 9 9\ncpu0 1 1 1 1 1 1 1 1 250 50\ncpu1 1 1 1\nintr 5\n"
    (guest,) = parsing.guests(text, 100)
    assert (guest.cpu, guest.seconds) == ("0", {"user": 2.5, "nice": 0.5})
    assert [item.cpu for item in parsing.guests(recorded("stat_whole.txt"), 100)] == ["0", "1"]


def test_memory_is_named_by_rule() -> None:
    text = "Active(anon):   12 kB\nHugePages_Total:    3\nBroken: x kB\nOf_Tomorrow: 1 kB\n"
    values = parsing.memory(text)
    assert values == {
        "node_memory_Active_anon_bytes": 12 * 1024,
        "node_memory_HugePages_Total": 3,
        "node_memory_Of_Tomorrow_bytes": 1024,
    }
    memory = named(HostMemory, values)
    assert memory is not None
    assert (memory.active_anonymous, memory.huge_pages_total, memory.slab) == (12 * 1024, 3, None)


def test_every_recorded_field_of_memory_is_declared() -> None:
    judged = {f"node_memory_{name}_bytes" for name in ("MemTotal", "MemFree", "MemAvailable")}
    judged |= {f"node_memory_{name}_bytes" for name in ("Buffers", "Cached", "SwapTotal", "SwapFree")}
    assert parsing.memory(recorded("meminfo.txt")).keys() <= metrics_of(HostMemory) | judged


def test_paging() -> None:
    values = parsing.paging(recorded("vmstat.txt"))
    assert {"node_vmstat_pgfault", "node_vmstat_pgpgin", "node_vmstat_pgpgout"} <= values.keys()


def test_disks() -> None:
    columns = "1 2 3 4000 5 6 7 8000 9 10000 11000 12 13 14 15000 16 17000"
    text = f"8 0 sda {columns}\n8 1 sda1 {columns}\n7 0 loop0 {columns}\n8 16 sdb 1 2 3 4 5 6 7 8 9 10 11\n"
    first, second = every(DiskActivity, parsing.disks(text), "device")
    assert first == DiskActivity(
        device="sda",
        reads_merged=2,
        read_seconds=4.0,
        writes_merged=6,
        write_seconds=8.0,
        in_flight=9,
        weighted_seconds=11.0,
        discards=12,
        discards_merged=13,
        discarded_sectors=14,
        discard_seconds=15.0,
        flushes=16,
        flush_seconds=17.0,
    )
    assert (second.device, second.in_flight, second.flushes) == ("sdb", 9, None)
    assert list(parsing.disks(recorded("diskstats.txt"))) == ["vda"]


@pytest.mark.parametrize(
    ("device", "disk"),
    [
        ("sda", True),
        ("sda1", False),
        ("vda", True),
        ("xvda2", False),
        ("nvme0n1", True),
        ("nvme0n1p2", False),
        ("dm-0", True),
        ("md127", True),
        ("loop7", False),
        ("ram0", False),
        ("zram0", False),
        ("fd0", False),
        ("sr0", False),
    ],
)
def test_partitions_and_what_is_no_disk_are_left_out(device: str, disk: bool) -> None:
    assert is_disk(device) is disk


def test_time_lost_waiting() -> None:
    text = "some avg10=0.79 avg60=2.08 avg300=1.76 total=2500000\nfull avg10=0.00 total=500000\n"
    values = parsing.stalls("io", text)
    assert named(Stalls, values) == Stalls(io_waiting=2.5, io_stalled=0.5)
    assert parsing.stalls("io", recorded("pressure_io.txt")).keys() == values.keys()
    assert parsing.stalls("cpu", "") == {}


def test_the_clock() -> None:
    state = SimpleNamespace(
        freq=-655360, esterror=250, status=0x2001, constant=7, tick=10000, ppsfreq=0, jitter=1_000_000_000
    )
    state.__dict__.update(shift=0, stabil=0, jitcnt=1, calcnt=2, errcnt=3, stbcnt=4, tai=37)
    values = parsing.clock(state)
    assert values["node_timex_frequency_adjustment_ratio"] == pytest.approx(1 - 10e-6, abs=1e-12)
    assert values["node_timex_estimated_error_seconds"] == 250e-6
    assert values["node_timex_pps_jitter_seconds"] == 1.0
    assert values["node_timex_tick_seconds"] == 0.01
    state.status = 1
    assert parsing.clock(state)["node_timex_pps_jitter_seconds"] == 1000.0


def test_the_operating_system() -> None:
    system = parsing.operating_system(recorded("os_release.txt"))
    assert system is not None
    assert (system.id, system.name, system.version_id) == ("debian", "Debian GNU/Linux", "12")
    (version,) = parsing.system_versions(system)
    assert (version.id, version.id_like, version.number) == ("debian", "", 12.0)
    assert parsing.assignments("A='it''s'\nB=\"say \\\"hi\\\"\"\n#C=1\nd=2\n") == {
        "a": "it''s",
        "b": 'say "hi"',
    }
    assert parsing.operating_system("") is None
    assert parsing.system_versions(parsing.operating_system("ID=arch\n")) == []


def test_traffic_and_state_of_devices() -> None:
    rows = network.traffic(recorded("net_dev.txt"))
    assert list(rows) == ["lo", "ifb0", "ifb1", "eth0"]
    files = {"operstate": "up\n", "carrier": "1\n", "mtu": "1500\n", "speed": "1000\n"}
    (device,) = every(NetworkDevice, {"eth0": rows["eth0"] | network.device_state(files)}, "device")
    assert (device.up, device.carrier, device.mtu_bytes, device.speed_bytes) == (True, 1, 1500, 125_000_000)
    assert device.received_bytes == 1477859348
    assert device.transmitted_packets == 27791
    assert network.device_state({"operstate": "down\n", "speed": "-1\n"}) == {"node_network_up": False}


def test_columns_of_traffic_are_not_mixed_up() -> None:
    numbers = " ".join(str(number) for number in range(1, 17))
    (device,) = every(NetworkDevice, network.traffic(f"a\nb\n eth0:{numbers}\n"), "device")
    values = {metric: getattr(device, field) for metric, field in fields_of(NetworkDevice)}
    received = ["bytes", "packets", "errs", "drop", "fifo", "frame", "compressed", "multicast"]
    sent = ["bytes", "packets", "errs", "drop", "fifo", "colls", "carrier", "compressed"]
    assert [values[f"node_network_receive_{name}_total"] for name in received] == list(range(1, 9))
    assert [values[f"node_network_transmit_{name}_total"] for name in sent] == list(range(9, 17))


def test_a_device_cannot_name_another_folder() -> None:
    numbers = "1 " * 16
    assert network.traffic(f"a\nb\n ../x:{numbers}\n ..:{numbers}\n :{numbers}\n") == {}


def test_protocols() -> None:
    values = network.protocols(recorded("snmp.txt"), PROTOCOLS)
    values |= network.protocols(recorded("netstat.txt"), PROTOCOLS)
    values |= network.protocols6(recorded("snmp6.txt"), PROTOCOLS)
    assert values.keys() == PROTOCOLS
    assert network.protocols("Tcp: CurrEstab InErrs\nTcp: 4 -1\n", PROTOCOLS) == {
        "node_netstat_Tcp_CurrEstab": 4,
        "node_netstat_Tcp_InErrs": -1,
    }
    assert network.protocols("Tcp: CurrEstab\nUdp: 4\n", PROTOCOLS) == {}


def test_sockets() -> None:
    values = network.sockets(recorded("sockstat.txt"), 4096) | network.sockets(
        recorded("sockstat6.txt"), 4096
    )
    assert metrics_of(Sockets) == values.keys() & metrics_of(Sockets)
    assert values["node_sockstat_TCP_mem_bytes"] == values["node_sockstat_TCP_mem"] * 4096


def test_packet_queues() -> None:
    text = "0000000a 1 2 0 0 0 0 0 3 4 5 6 00000007 0 0\n00000001 0 0 0 0 0 0 0 0\n"
    rows = network.packet_queues(text)
    assert rows["7"] == {
        "node_softnet_processed_total": 10,
        "node_softnet_dropped_total": 1,
        "node_softnet_times_squeezed_total": 2,
        "node_softnet_cpu_collision_total": 3,
        "node_softnet_received_rps_total": 4,
        "node_softnet_flow_limit_count_total": 5,
        "node_softnet_backlog_len": 6,
    }
    assert rows["1"]["node_softnet_processed_total"] == 1  # an older kernel: the line's number is the core's
    assert list(network.packet_queues(recorded("softnet_stat.txt"))) == ["0", "1"]


def test_udp_queues() -> None:
    queues = network.udp_queues("v4", recorded("udp.txt"))
    assert queues is not None
    assert (queues.ip, queues.waiting) == ("v4", {"tx": 0, "rx": 0x340})
    assert network.udp_queues("v6", "") is None


def test_neighbours() -> None:
    assert network.neighbours(recorded("arp.txt")) == {"eth0": 1}


def test_all_of_it_from_recorded_files() -> None:
    opened: list[str] = []

    def read(path: str) -> str:
        opened.append(path)
        return recorded(FILES[path]) if path in FILES else ""

    counters = host_counters.counters(read)
    assert len(opened) == len(set(opened)), "a file is read twice"
    assert [item.device for item in counters.network] == ["lo", "ifb0", "ifb1", "eth0"]
    assert counters.entropy_bits is None
    assert counters.stalls is not None
    assert counters.stalls.cpu_waiting is None
    assert len(exposition(samples(HostFacts(counters=counters)))) > 1000


def test_a_machine_that_says_nothing() -> None:
    counters = host_counters.counters(lambda _path: "")
    assert msgspec.structs.replace(counters, clock=None, time_zone={}) == HostCounters()


LINES = st.sampled_from([line for name in FILES.values() for line in recorded(name).splitlines()])
WORDS = st.one_of(st.text(max_size=20), st.integers(-(10**25), 10**25).map(str), LINES)
ANYTHING = st.one_of(st.text(max_size=300), st.lists(WORDS, max_size=12).map(" ".join))
TEXTS = st.lists(st.one_of(LINES, ANYTHING), max_size=8).map("\n".join)


@given(TEXTS)
def test_nothing_in_a_file_can_break_the_reading(text: str) -> None:
    facts = HostFacts(counters=host_counters.counters(lambda _path: text))
    assert msgspec.convert(msgspec.to_builtins(facts), HostFacts) == facts
    exposition(samples(facts))
    assert all(len(item.device) <= network.MAX_NAME for item in facts.counters.network)  # type: ignore[union-attr]
    network.device_state(dict.fromkeys(network.DEVICE_FILES, text))
    parsing.assignments(text)
