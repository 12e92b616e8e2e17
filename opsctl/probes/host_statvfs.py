"""How full file systems are. One whose server is gone costs one thread, however often it is asked for."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from opsctl.facts.host import Filesystem
from opsctl.probes import host_parsing as parsing
from opsctl.probes.host_files import text

if TYPE_CHECKING:
    from collections.abc import Iterable

    from opsctl.probes.host_parsing import Mount

ANSWERED_FROM_MEMORY = frozenset(
    ("ext2", "ext3", "ext4", "xfs", "btrfs", "f2fs", "jfs", "reiserfs", "vfat", "exfat", "overlay", "tmpfs")
)
"""File systems whose statfs(2) reads what the kernel holds in memory: a dead disk does not stop it."""

Answer = os.statvfs_result | str


def waiting_for_others(mounts: Iterable[Mount]) -> frozenset[str]:
    """Return the mount points whose answer may have to wait for a server, or for one above them. Pure."""
    every = list(mounts)
    slow = [item.mountpoint for item in every if item.fstype not in ANSWERED_FROM_MEMORY]
    folders = tuple(f"{path.rstrip('/')}/" for path in slow if path != "/")
    return frozenset(
        item.mountpoint
        for item in every
        if item.mountpoint in slow or f"{item.mountpoint}/".startswith(folders)
    )


class Asking:
    """Asks mounts, the slow ones at once and each in a thread of its own.

    A thread that hangs is not doubled: until it has come back, its mount is known to hang.
    """

    def __init__(self) -> None:
        self._hanging: dict[str, threading.Thread] = {}

    def all(self, mounts: list[Mount], seconds: float, slow: frozenset[str]) -> list[Filesystem]:
        """Return what each mount says within `seconds`; `slow` are those that may have to wait."""
        self._hanging = {path: thread for path, thread in self._hanging.items() if thread.is_alive()}
        answers: dict[str, Answer] = {}
        threads: dict[str, threading.Thread] = {}
        for item in mounts:
            path = item.mountpoint
            if path not in slow:
                answers[path] = _answer(path)
            elif path in self._hanging:
                answers[path] = "it has not answered for some time"
            else:
                threads[path] = threading.Thread(target=_ask, args=(path, answers), daemon=True)
                threads[path].start()
        ends = time.monotonic() + seconds
        for path, thread in threads.items():
            thread.join(max(ends - time.monotonic(), 0))
            if thread.is_alive():
                self._hanging[path] = thread
        known = dict(answers)  # a thread that comes back late changes nothing any more
        hung = f"no answer within {seconds:.1f} s"
        return [_filesystem(item, known.get(item.mountpoint, hung)) for item in mounts]


def _ask(path: str, answers: dict[str, Answer]) -> None:
    answers[path] = _answer(path)


def _answer(path: str) -> Answer:
    try:
        return os.statvfs(path)
    except OSError as error:
        return error.strerror or str(error)


def _filesystem(mount: Mount, answer: Answer) -> Filesystem:
    plain = Filesystem(
        device=mount.device, fstype=mount.fstype, mountpoint=mount.mountpoint, readonly=mount.readonly
    )
    if isinstance(answer, str):
        return msgspec.structs.replace(plain, device_error=True, error=answer[:300])
    return msgspec.structs.replace(
        plain,
        size=answer.f_blocks * answer.f_frsize,
        free=answer.f_bfree * answer.f_frsize,
        available=answer.f_bavail * answer.f_frsize,
        files=answer.f_files,
        files_free=answer.f_ffree,
        kernel_errors=_kernel_errors(mount),
    )


def _kernel_errors(mount: Mount) -> int | None:
    if mount.fstype != "ext4":
        return None
    return parsing.whole(text(f"/sys/fs/ext4/{Path(mount.device).name}/errors_count"))
