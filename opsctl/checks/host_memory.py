"""The machine: how much memory is left, and whom the kernel killed for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from opsctl.checks.base import CheckContext, Limits, check
from opsctl.checks.wording import bytes_text, count_text, seconds_text
from opsctl.model import Status

if TYPE_CHECKING:
    from collections.abc import Iterator

    from opsctl.facts.host import HostFacts, OomKill
    from opsctl.model import Finding


@check(
    "host/memory-exhausted",
    needs="/proc/meminfo, the container's limit",
    limits=Limits(0.93, 0.97, "ratio", source="node-exporter mixin: 90 %; below 3 % left the kernel kills"),
)
def memory_exhausted(facts: HostFacts, context: CheckContext) -> Iterator[Finding]:
    """Hardly any memory is left; the kernel will start to kill.

    Page cache that can be dropped counts as free. Inside a container its own limit is judged too.
    """
    total = context.need(facts.memory_total, "MemTotal")
    available = context.need(facts.memory_available, "MemAvailable")
    inside = "cat /sys/fs/cgroup/memory.current"
    rows = [("", total, total - available, "grep -E 'MemTotal|MemAvailable' /proc/meminfo")]
    if facts.memory_limit and facts.memory_limit_used is not None:
        rows.append(("container limit", facts.memory_limit, facts.memory_limit_used, inside))
    for subject, whole, used, source in rows:
        where = "of the container's limit of " if subject else "of "
        yield context.judge(
            round(used / max(whole, 1), 4),
            f"{bytes_text(used)} {where}{bytes_text(whole)} memory in use",
            subject=subject,
            source=source,
            fix="Find the process that grew, restart it, and give it a limit or the machine more memory.",
            commands=["free -m", "ps -eo pid,rss,etime,comm --sort=-rss | head -15"],
        )


@check(
    "host/oom-kills",
    needs="the kernel's log of the last 10 minutes, /proc/vmstat",
    permission="reading /dev/kmsg or the journal (root, group adm)",
    limits=Limits(1, 1, "kills", source="one is too many"),
)
def oom_kills(facts: HostFacts, context: CheckContext) -> Iterator[Finding]:
    """The kernel killed a process within the last ten minutes because memory ran out.

    Critical where the whole machine had none left; a warning where a unit of the stack hit its
    own limit. Kills at the limits of containers are the container's own finding.
    """
    if facts.oom_kills is None:
        context.need_part(facts, "kernel log")
    kills = context.need(facts.oom_kills, "the kernel's log", "run as root")
    if not kills:
        others = facts.oom_kills_elsewhere
        more = f"; {count_text(others, 'kill')} at limits of other groups" if others else ""
        yield context.ok(f"no process of the stack was killed for want of memory in 10 minutes{more}")
        return
    for subject in sorted({_victim(kill) for kill in kills}):
        group = [kill for kill in kills if _victim(kill) == subject]
        yield _killed(context, subject, group)


def _victim(kill: OomKill) -> str:
    return kill.unit if kill.limit and kill.unit else kill.process


def _killed(context: CheckContext, subject: str, kills: list[OomKill]) -> Finding:
    last = kills[-1]
    everywhere = not last.limit
    status = context.limits.status(len(kills))
    if status is Status.CRITICAL and not everywhere:
        status = Status.WARNING
    ago = seconds_text(max(context.at.timestamp() - last.at, 0))
    size = f" holding {bytes_text(last.resident_bytes)}" if last.resident_bytes else ""
    reason = "the machine had no memory left" if everywhere else f"its limit was reached ({last.limit})"
    return context.finding(
        status,
        f"{last.process} (pid {last.pid}){size} was killed {ago} ago: {reason}",
        subject=subject,
        value=len(kills),
        threshold=context.limits.limit_for(status),
        unit="kills in 10 minutes",
        source="dmesg -T | grep -i 'killed process' | tail",
        fix="Find out why memory grew; give the victim's unit or container a limit that fits, or the machine "
        "more memory. The victim is often not the culprit: look at the table that the kernel logged "
        "with the kill.",
        commands=[
            "dmesg -T | grep -iE 'oom|killed process' | tail -20",
            "ps -eo pid,rss,etime,comm --sort=-rss | head -15",
        ],
    )


@check(
    "host/swap-thrashing",
    needs="/proc/vmstat twice, a second apart, where swap is in use",
    limits=Limits(
        500, 5000, "pages/s", source="node-exporter mixin: 500 major faults a second; ten times that stalls"
    ),
)
def swap_thrashing(facts: HostFacts, context: CheckContext) -> Iterator[Finding]:
    """Processes wait while their memory is read back from swap, over and over."""
    if facts.swap_total == 0:
        yield context.ok("there is no swap")
        return
    rate = context.need(facts.swapped_in_per_second, "pswpin in /proc/vmstat")
    yield context.judge(
        round(rate, 1),
        f"{rate:.0f} pages a second are read back from swap" if rate else "nothing is read back from swap",
        source="grep pswpin /proc/vmstat; sleep 1; grep pswpin /proc/vmstat",
        fix="More runs than fits into memory: stop or restart the largest process, then limit it.",
        commands=["vmstat 1 5", "grep -H VmSwap /proc/[0-9]*/status | sort -k2 -rn | head"],
    )
