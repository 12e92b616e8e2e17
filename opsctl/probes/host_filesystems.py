"""Which file systems there are and how full they are; a hung one costs nobody any time."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from opsctl.facts.base import FactProblem
from opsctl.facts.host import Filesystem, LargeFile
from opsctl.probes import host_parsing as parsing
from opsctl.probes.host_statvfs import Asking, waiting_for_others
from opsctl.probes.remembering import OLDEST_SECONDS, for_metrics, memory, remembered
from opsctl.stack.targets import assignments

if TYPE_CHECKING:
    from collections.abc import Iterable

    from opsctl.probes.base import ProbeContext
    from opsctl.probes.host_parsing import Mount

STATVFS_SECONDS = 1.0
"""A local file system answers in microseconds; one that takes longer than this is hung."""
SAMPLE_SECONDS = 1.0
LARGE_FILES_SECONDS = 30.0
LITTLE_LEFT = 0.8
"""Filling is measured only above this share in use: most growth ends long before the disk does."""
NEARLY_FULL = 0.9
"""Above this share the largest files of well-known folders are listed as evidence."""
MAX_FILESYSTEMS = 200
MAX_ENTRIES = 2000

ON_DISK = {"ext2", "ext3", "ext4", "xfs", "btrfs", "f2fs", "jfs", "reiserfs", "vfat", "exfat", "ntfs3", "zfs"}
ON_NETWORK = {"nfs", "nfs4", "cifs", "smb3", "ceph", "glusterfs", "9p", "virtiofs"}
WRITING_KINDS = {"postgres", "redis", "nginx", "logs", "php"}
"""Kinds whose files must be writable for the service to work."""


@dataclass(frozen=True)
class _Plan:
    """What follows from the table of mounts, /etc/fstab and the stack alone."""

    chosen: list[Mount]
    slow: frozenset[str]
    fstab: set[str]
    used: list[str]
    writers: dict[str, str]
    """Mount point -> what of the stack lies on it."""


def read(context: ProbeContext, named: list[str]) -> tuple[list[Filesystem], list[FactProblem]]:
    """Return the file systems named, or all real ones and those that the stack writes to.

    How fast they fill is told only where little is left: from a second sample, a second later, or
    for metrics from the looks before.
    """
    kept = memory(context)
    plan = _plan(context, named, {} if kept is None else kept)
    problems = [
        FactProblem(
            part=f"filesystem {name}",
            code="missing",
            message=f"nothing is mounted at {name}",
            hint="name a mount point under host.filesystems",
        )
        for name in named
        if name not in {mount.mountpoint for mount in plan.chosen}
    ]
    asking = Asking() if kept is None else kept.setdefault("statvfs", Asking())
    result = asking.all(plan.chosen, min(STATVFS_SECONDS, context.left / 3), plan.slow)
    result = [_with_expectation(item, plan, named) for item in result]
    if for_metrics(context):
        result = _with_growth_between(result, context)
        return remembered_files(result, context), problems
    if scarce := scarce_mounts(plan.chosen, result):
        result = _with_growth(scarce, result, context, plan.slow)
    return [_with_large_files(item) for item in result], problems


def _plan(context: ProbeContext, named: list[str], kept: dict[str, Any]) -> _Plan:
    """Return the plan for the mounts of this moment; the kept one where nothing has changed."""
    table = Path("/proc/self/mountinfo").read_text("utf-8", "replace")
    fstab = _text("/etc/fstab")
    known: tuple[tuple[str, str], _Plan] | None = kept.get("mounts")
    if known is not None and known[0] == (table, fstab):
        return known[1]
    used, every = stack_folders(context), parsing.mounts(table)
    plan = _Plan(
        chosen=choose(every, named, used),
        slow=waiting_for_others(every),
        fstab=parsing.writable_by_fstab(fstab),
        used=used,
        writers={home(path, every): path for path in used},
    )
    kept["mounts"] = ((table, fstab), plan)
    return plan


def stack_folders(context: ProbeContext) -> list[str]:
    """Return the files and folders that services of the stack write to."""
    return sorted(
        {
            path
            for item in assignments(context.stack)
            if item.target.kind in WRITING_KINDS
            for path in item.target.paths
        }
    )


def home(path: str, mounts: Iterable[Mount]) -> str:
    """Return the mount point that a path lies on."""
    best = "/"
    for mount in mounts:
        inside = path == mount.mountpoint or path.startswith(mount.mountpoint.rstrip("/") + "/")
        if inside and len(mount.mountpoint) >= len(best):
            best = mount.mountpoint
    return best


def choose(mounts: list[Mount], named: list[str], used: list[str]) -> list[Mount]:
    """Return the mounts to look at, each once. The last one mounted at a place is the one seen. Pure."""
    seen_at = {mount.mountpoint: mount for mount in mounts}
    if named:
        return [seen_at[name] for name in dict.fromkeys(named) if name in seen_at][:MAX_FILESYSTEMS]
    homes = {home(path, mounts) for path in used}
    result: dict[str, Mount] = {}
    for mount in sorted(seen_at.values(), key=lambda item: (len(item.mountpoint), item.mountpoint)):
        if mount.mountpoint in homes:
            result[mount.mountpoint] = mount
        elif mount.mountpoint == "/" or is_real(mount):
            shown = {item.device_number for item in result.values()}
            if mount.device_number not in shown:
                result[mount.mountpoint] = mount
    return list(result.values())[:MAX_FILESYSTEMS]


def is_real(mount: Mount) -> bool:
    """True for what keeps data: no kernel interfaces, no memory, no images that are full by nature."""
    if mount.fstype in ON_NETWORK or mount.fstype == "zfs":
        return True
    return mount.fstype in ON_DISK and mount.device.startswith("/") and not _is_file(mount)


def _is_file(mount: Mount) -> bool:
    """True for a single file mounted over another, as containers do with /etc/hosts."""
    return mount.mountpoint in ("/etc/hosts", "/etc/hostname", "/etc/resolv.conf")


def _with_expectation(item: Filesystem, plan: _Plan, named: list[str]) -> Filesystem:
    reason = ""
    if item.mountpoint in plan.writers and plan.used:
        reason = f"{plan.writers[item.mountpoint]} of the stack lies on it"
    elif item.mountpoint in plan.fstab:
        reason = "/etc/fstab mounts it writable"
    elif item.kernel_errors:
        reason = f"the kernel has recorded {item.kernel_errors} errors on it"
    elif item.mountpoint in named:
        reason = "the stack file names it"
    return msgspec.structs.replace(item, must_be_writable=bool(reason), writable_because=reason)


def scarce_mounts(mounts: list[Mount], read: list[Filesystem]) -> list[Mount]:
    """Return the mounts that have little left: a large empty disk may be written to as much as it likes."""
    scarce = {item.mountpoint for item in read if (item.used_ratio or 0) >= LITTLE_LEFT}
    return [item for item in mounts if item.mountpoint in scarce]


def _with_growth_between(found: list[Filesystem], context: ProbeContext) -> list[Filesystem]:
    """Add how fast free space goes: the smaller of the losses between this look and the two before."""
    kept = memory(context)
    if kept is None or not any((item.used_ratio or 0) >= LITTLE_LEFT for item in found):
        return found
    now = time.monotonic()
    free = {item.mountpoint: item.available for item in found}
    known: list[tuple[float, dict[str, int | None]]] = kept.get("free space", [])
    known = [sample for sample in known if now - sample[0] <= OLDEST_SECONDS]
    if not known or now - known[-1][0] >= SAMPLE_SECONDS:
        known = kept["free space"] = [*known, (now, free)][-3:]
    if len(known) < 3:
        return found
    times = [sample[0] for sample in known]
    return [
        msgspec.structs.replace(
            item,
            shrinking_bytes_per_second=steady_loss([row.get(item.mountpoint) for _, row in known], times),
        )
        if (item.used_ratio or 0) >= LITTLE_LEFT
        else item
        for item in found
    ]


def _with_growth(
    mounts: list[Mount], first: list[Filesystem], context: ProbeContext, slow: frozenset[str]
) -> list[Filesystem]:
    """Add how fast free space goes: the smaller of two half windows, so that one burst is no trend."""
    window = min(SAMPLE_SECONDS, context.left - 0.6)
    if window < 0.3:
        return first
    times = [time.monotonic()]
    watched = {mount.mountpoint for mount in mounts}
    samples = [{item.mountpoint: item.available for item in first}]
    asking = Asking()
    for _ in range(2):
        time.sleep(window / 2)
        samples.append({item.mountpoint: item.available for item in asking.all(mounts, 0.25, slow)})
        times.append(time.monotonic())
    return [
        msgspec.structs.replace(
            item, shrinking_bytes_per_second=steady_loss([row.get(item.mountpoint) for row in samples], times)
        )
        if item.mountpoint in watched
        else item
        for item in first
    ]


def steady_loss(values: list[int | None], times: list[float]) -> float | None:
    """Return the smallest loss a second between neighbouring samples, 0 where one of them gained. Pure."""
    rates: list[float] = []
    for index in range(1, len(values)):
        before, after = values[index - 1], values[index]
        seconds = times[index] - times[index - 1]
        if before is None or after is None or seconds <= 0:
            return None
        rates.append(max(before - after, 0) / seconds)
    return min(rates, default=None)


def remembered_files(found: list[Filesystem], context: ProbeContext) -> list[Filesystem]:
    """Add the largest files where hardly anything is left; they are looked for every half a minute."""
    nearly_full = [item.mountpoint for item in found if (item.used_ratio or 0) >= NEARLY_FULL]
    if not nearly_full:
        return found
    files = remembered(
        context, "large files", LARGE_FILES_SECONDS, lambda: {path: large_files(path) for path in nearly_full}
    )
    return [msgspec.structs.replace(item, large_files=files.get(item.mountpoint, [])) for item in found]


def _with_large_files(item: Filesystem) -> Filesystem:
    if (item.used_ratio or 0) < NEARLY_FULL:
        return item
    return msgspec.structs.replace(item, large_files=large_files(item.mountpoint))


def large_files(mountpoint: str, most: int = 4) -> list[LargeFile]:
    """Return the largest files directly in folders that are known to grow and lie on a mount point.

    Lists a bounded number of entries and never walks: no `du` on a machine in trouble.
    """
    try:
        device = Path(mountpoint).stat().st_dev
    except OSError:
        return []
    found: list[LargeFile] = []
    for folder in _growing_folders(mountpoint):
        found.extend(_files_of(folder, device))
    return sorted(found, key=lambda file: -file.size)[:most]


def _growing_folders(mountpoint: str) -> list[Path]:
    patterns: list[tuple[str, str]] = [
        ("/var/lib/docker/containers", "*"),
        ("/var/log/journal", "*"),
        ("/var/log", "*/"),
        ("/var/lib/systemd/coredump", "."),
    ]
    folders = [Path(mountpoint), Path("/var/log")]
    for base, pattern in patterns:
        try:
            folders.extend(path for path in sorted(Path(base).glob(pattern))[:200] if path.is_dir())
        except (OSError, ValueError, IndexError):
            continue
    return list(dict.fromkeys(folders))


def _files_of(folder: Path, device: int) -> list[LargeFile]:
    result: list[LargeFile] = []
    try:
        with os.scandir(folder) as entries:
            for count, entry in enumerate(entries):
                if count >= MAX_ENTRIES:
                    break
                status = entry.stat(follow_symlinks=False)
                if entry.is_file(follow_symlinks=False) and status.st_dev == device and status.st_size > 0:
                    result.append(LargeFile(path=entry.path[:300], size=status.st_blocks * 512))
    except OSError:
        return result
    return result


def _text(path: str, most: int = 1_000_000) -> str:
    try:
        with Path(path).open("rb") as file:
            return file.read(most).decode("utf-8", "replace")
    except OSError:
        return ""
