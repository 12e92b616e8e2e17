"""The machine: what its processes wait for, by the kernel's own averages."""

from __future__ import annotations

from typing import TYPE_CHECKING

from opsctl.checks.base import CheckContext, Limits, check

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from opsctl.facts.host import HostFacts, Pressure
    from opsctl.model import Finding


def _pressure(
    facts: HostFacts, context: CheckContext, resource: str, pick: Callable[[Pressure], float | None]
) -> float:
    """Return a pressure share in per cent, or raise NotObserved."""
    item = facts.pressure_of(resource)
    hint = "the kernel keeps it with CONFIG_PSI and psi=1"
    value = pick(item) if item is not None else None
    return context.need(value, f"/proc/pressure/{resource}", hint)


@check(
    "host/memory-pressure",
    needs="/proc/pressure/memory",
    limits=Limits(20, 40, "%", source="systemd-oomd kills at 60 % over 30 s; users notice well before"),
)
def memory_pressure(facts: HostFacts, context: CheckContext) -> Iterator[Finding]:
    """Every process waits for memory a large part of the time.

    The smaller of the ten-second and the one-minute average counts, so neither a burst nor
    something that is over is reported.
    """
    value = _pressure(facts, context, "memory", lambda item: item.full)
    yield context.judge(
        value,
        f"everything waited for memory {value:.0f} % of the last minute",
        source="cat /proc/pressure/memory",
        fix="Memory is too small for what runs: find the largest process, restart it, limit it.",
        commands=["cat /proc/pressure/memory", "ps -eo pid,rss,comm --sort=-rss | head -15"],
    )


@check(
    "host/cpu-saturated",
    needs="/proc/loadavg, /proc/pressure/cpu",
    limits=Limits(
        8,
        20,
        "load per core",
        source="that many times slower than alone; busy build machines stay below, so they are quiet",
    ),
)
def cpu_saturated(facts: HostFacts, context: CheckContext) -> Iterator[Finding]:
    """Far more processes want the CPU than there are cores, and everything gets slow.

    Load counts waiting for disks too, and it decays slowly: it is judged only while somebody
    waited for a core in 70 % of the last ten seconds and 30 % of the last minute.
    """
    load = context.need(facts.load1, "/proc/loadavg")
    cores = context.need(facts.cores, "the number of cores")
    waiting = _pressure(facts, context, "cpu", lambda item: item.some_10)
    lasting = _pressure(facts, context, "cpu", lambda item: item.some_60)
    per_core = load / max(cores, 0.01)
    words = f"load {load:.1f} on {cores:g} cores; {waiting:.0f} % of the last 10 s somebody waited for one"
    if waiting < 70 or lasting < 30:
        yield context.ok(words)
        return
    yield context.judge(
        round(per_core, 2),
        words,
        source="cat /proc/loadavg /proc/pressure/cpu",
        fix="Find who uses the CPU before adding cores: a query, a loop, a job that was started twice.",
        commands=["ps -eo pid,pcpu,etime,comm --sort=-pcpu | head -15", "cat /proc/pressure/cpu"],
    )


@check(
    "host/io-pressure",
    needs="/proc/pressure/io",
    limits=Limits(60, 85, "%", source="so much of the time nobody works; a backup stays below"),
)
def io_pressure(facts: HostFacts, context: CheckContext) -> Iterator[Finding]:
    """Every process waits for the disk a large part of the time.

    The smaller of the ten-second and the one-minute average counts.
    """
    value = _pressure(facts, context, "io", lambda item: item.full)
    yield context.judge(
        value,
        f"everything waited for disks {value:.0f} % of the last minute",
        source="cat /proc/pressure/io",
        fix="Find who reads or writes; look whether the disk itself is failing or throttled by the provider.",
        commands=[
            "cat /proc/pressure/io",
            "ps -eo pid,stat,wchan:25,comm | awk '$2 ~ /^D/'",
            "dmesg -T | tail -20",
        ],
    )
