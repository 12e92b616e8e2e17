"""The machine: files, clock, connections, restarts.

Space, memory and pressure are judged in the files beside this one; importing them registers their
checks, in this order.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from opsctl.checks import host_filesystems, host_memory, host_pressure
from opsctl.checks.base import CheckContext, Limits, NotObserved, check
from opsctl.checks.wording import seconds_text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from opsctl.facts.host import HostFacts
    from opsctl.model import Finding

__all__ = ["host_filesystems", "host_memory", "host_pressure"]

CLOCK_HINT = "run systemd-timesyncd or chrony"


@check(
    "host/open-files-exhausted",
    needs="/proc/sys/fs/file-nr, /proc/PID/fd and limits",
    permission="counting other users' files (root)",
    limits=Limits(0.85, 0.95, "ratio", source="node-exporter mixin: 70 % and 90 % of the machine's limit"),
)
def open_files_exhausted(facts: HostFacts, context: CheckContext) -> Iterator[Finding]:
    """A process, or the machine, may soon open no more files and sockets ("Too many open files").

    Where systemd runs the machine's own limit is out of reach; each process has one of its own.
    """
    used = context.need(facts.files_open, "/proc/sys/fs/file-nr")
    most = context.need(facts.files_most, "/proc/sys/fs/file-nr")
    yield context.judge(
        round(used / max(most, 1), 6),
        f"{used} of {most} files are open on the machine",
        source="cat /proc/sys/fs/file-nr",
        fix="Find the process that leaks files and restart it; raise fs.file-max only if the need is real.",
        commands=[
            "for p in /proc/[0-9]*; do echo $(ls $p/fd 2>/dev/null | wc -l) $(cat $p/comm); done "
            "| sort -rn | head",
        ],
    )
    for item in facts.process_files:
        found = context.judge(
            round(item.files_open / max(item.files_most, 1), 4),
            f"{item.process} (pid {item.pid}) has {item.files_open} of its {item.files_most} files open",
            subject=item.process,
            source=f"ls /proc/{item.pid}/fd | wc -l; grep 'open files' /proc/{item.pid}/limits",
            fix="Look what it holds open: a leak ends only with a restart, real need asks for a higher "
            "LimitNOFILE= (systemd) or ulimits (Compose).",
            commands=[
                f"ls -l /proc/{item.pid}/fd | awk '{{print $NF}}' | sort | uniq -c | sort -rn | head",
                f"grep 'open files' /proc/{item.pid}/limits",
            ],
        )
        # of the process's own service where that is known: its limit stops nobody else
        yield msgspec.structs.replace(found, target=item.service or found.target)


@check(
    "host/clock-skew",
    needs="adjtimex, and which time daemon runs",
    limits=Limits(0.1, 5, "seconds", source="node-exporter mixin: 50 ms; TLS and tokens break at seconds"),
)
def clock_skew(facts: HostFacts, context: CheckContext) -> Iterator[Finding]:
    """The machine's clock is wrong, or nothing has corrected it although a time daemon runs.

    Without a daemon the kernel has nothing to compare with: that is `unknown`, not a fault.
    """
    context.need_part(facts, "clock")
    synchronised = context.need(facts.clock_synchronised, "adjtimex")
    if not synchronised:
        recent = facts.now is not None and facts.boot_time is not None and facts.now - facts.boot_time < 900
        if not facts.clock_daemon:
            raise NotObserved("no time daemon runs here, so the clock's error is not known", CLOCK_HINT)
        if recent:
            raise NotObserved(f"{facts.clock_daemon} has only just started", "look again in some minutes")
        yield context.warning(
            f"the clock is not synchronised although {facts.clock_daemon} runs",
            value="unsynchronised",
            source="timedatectl show -p NTPSynchronized",
            fix="Let UDP port 123 out, and look at the daemon's log.",
            commands=["timedatectl status", "chronyc tracking", "journalctl -u systemd-timesyncd -n 20"],
        )
        return
    offset = abs(context.need(facts.clock_offset_seconds, "adjtimex"))
    yield context.judge(
        offset,
        f"the clock is {seconds_text(offset)} off",
        source="adjtimex --print, or chronyc tracking",
        fix="Let the time daemon step the clock, and find out why it was off.",
        commands=["timedatectl status", "chronyc tracking"],
    )


@check(
    "host/conntrack-full",
    needs="/proc/sys/net/netfilter",
    limits=Limits(0.8, 0.95, "ratio", source="node-exporter mixin: 75 %"),
)
def conntrack_full(facts: HostFacts, context: CheckContext) -> Iterator[Finding]:
    """The firewall's table of connections is full: new connections are dropped without a word."""
    if facts.conntrack_limit is None:
        yield context.ok("connections are not tracked on this machine")
        return
    used = context.need(facts.conntrack_entries, "nf_conntrack_count")
    yield context.judge(
        round(used / max(facts.conntrack_limit, 1), 4),
        f"{used} of {facts.conntrack_limit} tracked connections",
        source="sysctl net.netfilter.nf_conntrack_count net.netfilter.nf_conntrack_max",
        fix="Find who opens so many connections; raise net.netfilter.nf_conntrack_max if the load is real.",
        commands=[
            "sysctl net.netfilter.nf_conntrack_count net.netfilter.nf_conntrack_max",
            "ss -s",
        ],
    )


@check(
    "host/rebooted",
    needs="/proc/stat",
    limits=Limits(None, None, "seconds", below=True, source="off until the stack file sets one"),
    role="risk",
)
def rebooted(facts: HostFacts, context: CheckContext) -> Iterator[Finding]:
    """The machine has started a short time ago.

    Off by default: a machine made minutes ago is no incident. Where a restart is one, set
    `thresholds: {host/rebooted: {warning: 600}}`.
    """
    now = context.need(facts.now, "the time")
    started = context.need(facts.boot_time, "btime in /proc/stat")
    uptime = max(now - started, 0)
    yield context.judge(
        round(uptime, 1),
        f"the machine started {seconds_text(uptime)} ago",
        source="uptime -s",
        fix="Find out why: a panic, an update, the provider. Check that every unit and container came back.",
        commands=["journalctl --list-boots", "journalctl -b -1 -n 30 --no-pager", "last -x reboot | head -5"],
    )
