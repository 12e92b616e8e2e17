"""The machine: space, inodes, and whether files can be written.

The `subject` of a finding is the mount point.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from opsctl.checks.base import CheckContext, Limits, NotObserved, check
from opsctl.checks.wording import bytes_text, percent_text, seconds_text
from opsctl.facts.host import Filesystem
from opsctl.model import Evidence, Status

if TYPE_CHECKING:
    from collections.abc import Iterator

    from opsctl.facts.host import HostFacts
    from opsctl.model import Finding

GIBIBYTE = 1024**3
FILESYSTEM_PART = "filesystem "
"""What the name of an unread part begins with where it is one of `host.filesystems`."""
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
