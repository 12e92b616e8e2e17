"""The machine: space, memory, pressure, files, clock.

The `subject` of a finding about a file system is its mount point.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from opsctl.checks.base import CheckContext, Limits, NotObserved, check
from opsctl.checks.wording import bytes_text, count_text, percent_text, seconds_text
from opsctl.facts.host import Filesystem
from opsctl.model import Evidence, Status

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from opsctl.facts.host import HostFacts, OomKill, Pressure
    from opsctl.model import Finding

GIBIBYTE = 1024**3
FILESYSTEM_PART = "filesystem "
"""What the name of an unread part begins with where it is one of `host.filesystems`."""
CLOCK_HINT = "run systemd-timesyncd or chrony"
ROOM_ENOUGH = 20 * GIBIBYTE
"""With this much left a disk is not full, however small a share of it that is."""
ROOM_LITTLE = 5 * GIBIBYTE
"""With this much left a nearly full disk is a warning, not yet an outage."""


def _filesystems(facts: HostFacts, context: CheckContext) -> Iterator[tuple[Filesystem, Finding | None]]:
    """Yield each file system; with a finding where it could not be read."""
    context.need_part(facts, "filesystems")
    unread = [problem for problem in facts.problems if problem.part.startswith(FILESYSTEM_PART)]
    if not facts.filesystems and not unread:
        raise NotObserved("no file system of this machine is seen", "name them under host.filesystems")
    for problem in unread:
        mount = problem.part.removeprefix(FILESYSTEM_PART)
        yield (
            Filesystem(device="", fstype="", mountpoint=mount, error=problem.message),
            context.finding(Status.UNKNOWN, problem.message, subject=mount, hint=problem.hint),
        )
    for item in facts.filesystems:
        if item.error:
            yield (
                item,
                context.finding(
                    Status.UNKNOWN,
                    f"{item.mountpoint} cannot be read: {item.error}",
                    subject=item.mountpoint,
                    hint=f"look whether {item.device} ({item.fstype}) still answers",
                ),
            )
        else:
            yield item, None


@check(
    "host/disk-full",
    needs="statvfs of the mount points",
    limits=Limits(
        0.90,
        0.97,
        "ratio",
        source="node-exporter mixin: 5 % and 3 % left; warned of earlier, but never with 20 GiB left",
    ),
)
def disk_full(facts: HostFacts, context: CheckContext) -> Iterator[Finding]:
    """A file system has no space left, so whatever writes to it fails.

    The share is the one that df shows: the reserve for root does not count as free. Under the
    default limits a large disk with 20 GiB left is fine, and with 5 GiB left it is a warning.
    """
    own_limits = context.limits != context.check.limits
    for item, unread in _filesystems(facts, context):
        if unread is not None:
            yield unread
            continue
        if item.used_ratio is None or item.available is None or not item.size:
            continue
        status = context.limits.status(item.used_ratio)
        if not own_limits and item.available >= ROOM_ENOUGH:
            status = Status.OK
        elif not own_limits and item.available >= ROOM_LITTLE and status is Status.CRITICAL:
            status = Status.WARNING
        used = percent_text(item.used_ratio)
        words = f"{item.mountpoint} {used} used"
        if status.failing:
            left = f"{bytes_text(item.available)} of {bytes_text(item.size)} left"
            words = f"{item.mountpoint} is {used} full: {left}"
        yield context.finding(
            status,
            words,
            subject=item.mountpoint,
            value=round(item.used_ratio, 4),
            threshold=context.limits.limit_for(status),
            unit="ratio",
            source=f"df -P {item.mountpoint}",
            evidence=[
                Evidence(
                    text=f"{file.path} takes {bytes_text(file.size)}",
                    value=file.size,
                    unit="bytes",
                    source=f"ls -s --block-size=1 {file.path}",
                    at=context.at,
                )
                for file in item.large_files
                if file.size >= item.size / 50
            ],
            fix="Make room: clean up old images and logs (docker system prune, journalctl --vacuum-size, "
            "logrotate), or grow the disk. Never delete files of a database by hand. Then restart what had "
            "stopped.",
            commands=[
                f"df -h {item.mountpoint}",
                f"du -xh --max-depth=2 {item.mountpoint} 2>/dev/null | sort -rh | head -20",
                "journalctl --disk-usage",
                "docker system df",
            ],
        )


@check(
    "host/inodes-full",
    needs="statvfs of the mount points",
    limits=Limits(0.90, 0.97, "ratio", source="node-exporter mixin: 5 % and 3 % left"),
)
def inodes_full(facts: HostFacts, context: CheckContext) -> Iterator[Finding]:
    """A file system has space but no inodes: no new file can be made ("No space left on device")."""
    for item, unread in _filesystems(facts, context):
        if unread is not None:
            yield unread
            continue
        if item.files is None or item.files_free is None:
            continue
        if item.files == 0:
            yield context.ok(f"{item.mountpoint} makes inodes as needed", subject=item.mountpoint)
            continue
        ratio = (item.files - item.files_free) / item.files
        yield context.judge(
            round(ratio, 4),
            f"{item.mountpoint}: {item.files - item.files_free} of {item.files} inodes used",
            subject=item.mountpoint,
            source=f"df -Pi {item.mountpoint}",
            fix="Find the folder with very many small files (sessions, cache, mail queue) and let its owner "
            "clean it up.",
            commands=[
                f"df -i {item.mountpoint}",
                f"du -x --inodes --max-depth=3 {item.mountpoint} 2>/dev/null | sort -rn | head -20",
            ],
        )


@check(
    "host/disk-filling",
    needs="statvfs twice, a second apart",
    limits=Limits(4, None, "hours", below=True, source="node-exporter mixin: full within 4 hours"),
    role="risk",
)
def disk_filling(facts: HostFacts, context: CheckContext) -> Iterator[Finding]:
    """A file system will be full within hours.

    Measured only where 80 % are in use: three samples within a second, of which the smaller loss
    counts. That sees what writes without pause, not slow growth over days.
    """
    for item, unread in _filesystems(facts, context):
        if unread is not None:
            yield unread
            continue
        if item.used_ratio is None or item.available is None:
            continue
        loss = item.shrinking_bytes_per_second
        if not loss or item.available <= 0:
            yield context.ok(f"{item.mountpoint} is not filling up", subject=item.mountpoint)
            continue
        hours = item.available / loss / 3600
        yield context.judge(
            round(hours, 2),
            f"{item.mountpoint} loses {bytes_text(loss)} a second: full in {seconds_text(hours * 3600)}",
            subject=item.mountpoint,
            source=f"df -P {item.mountpoint}; sleep 1; df -P {item.mountpoint}",
            fix="Find what writes and stop or limit it before the disk is full.",
            commands=[f"df -h {item.mountpoint}", "lsof -nP +L1 | head", "journalctl --disk-usage"],
        )


@check("host/read-only-filesystem", needs="/proc/self/mountinfo, /etc/fstab, /sys/fs/ext4")
def read_only_filesystem(facts: HostFacts, context: CheckContext) -> Iterator[Finding]:
    """A file system that must be writable is mounted read-only, usually by the kernel after an I/O error."""
    for item, unread in _filesystems(facts, context):
        if unread is not None and item.readonly is None:
            yield unread
        elif item.readonly and item.must_be_writable:
            errors = f"; ext4 has recorded {item.kernel_errors} errors" if item.kernel_errors else ""
            yield context.critical(
                f"{item.mountpoint} ({item.device}) is mounted read-only although "
                f"{item.writable_because}{errors}",
                subject=item.mountpoint,
                value="ro",
                threshold="rw",
                source=f"findmnt -no OPTIONS --target {item.mountpoint}",
                fix="Read the kernel's log for I/O errors first. With errors: save the data, check the disk, "
                "run fsck unmounted. Without: somebody remounted it; mount it writable again "
                "(mount -o remount,rw).",
                commands=[
                    f"findmnt --target {item.mountpoint}",
                    "dmesg -T | grep -iE 'i/o error|remount|ext4|xfs|btrfs' | tail -20",
                ],
            )
        elif item.readonly:
            yield context.ok(f"{item.mountpoint} is read-only by design", subject=item.mountpoint)
        else:
            yield context.ok(f"{item.mountpoint} is writable", subject=item.mountpoint)


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


def _pressure(
    facts: HostFacts, context: CheckContext, resource: str, pick: Callable[[Pressure], float | None]
) -> float:
    """Return a pressure share in per cent, or raise NotObserved."""
    item = facts.pressure_of(resource)
    hint = "the kernel keeps it with CONFIG_PSI and psi=1"
    value = pick(item) if item is not None else None
    return context.need(value, f"/proc/pressure/{resource}", hint)


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
