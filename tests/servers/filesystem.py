"""Small file systems in memory to fill, to make read-only, to run out of inodes."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

MEBIBYTE = 1024 * 1024


def unavailable() -> str:
    """Return in one line why nothing can be mounted here; empty where it can."""
    return "" if os.geteuid() == 0 else "mounting needs root"


class SmallFilesystem:
    """A tmpfs of its own, mounted in a temporary folder, unmounted at the end.

    Args:
        size: bytes.
        inodes: how many files it can hold.
    """

    def __init__(self, size: int = 8 * MEBIBYTE, inodes: int = 1000) -> None:
        self.size, self.inodes = size, inodes
        self.folder = Path(tempfile.mkdtemp(prefix="opsctl-filesystem-"))

    def __enter__(self) -> SmallFilesystem:
        options = f"size={self.size},nr_inodes={self.inodes},mode=0755"
        _run("mount", "-t", "tmpfs", "-o", options, "opsctl-test", str(self.folder))
        return self

    def __exit__(self, *_: object) -> None:
        ends = time.monotonic() + 10
        while os.path.ismount(self.folder):
            result = subprocess.run(["umount", str(self.folder)], capture_output=True, check=False)
            if result.returncode != 0 and time.monotonic() > ends:
                raise RuntimeError(f"umount {self.folder}: {result.stderr.decode(errors='replace')}")
        shutil.rmtree(self.folder, ignore_errors=True)

    def fill(self, share: float = 1.0, name: str = "filling") -> Path:
        """Write one file until this share of the space is in use; all of it means until ENOSPC."""
        path = self.folder / name
        with contextlib.suppress(OSError), path.open("ab", buffering=0) as file:
            while share >= 1 or self.used_share() < share:
                file.write(bytes(64 * 1024))
        return path

    def used_share(self) -> float:
        """Return the share of the space in use."""
        state = os.statvfs(self.folder)
        return 1 - state.f_bavail / state.f_blocks

    def use_all_inodes(self) -> None:
        """Make empty files until no more can be made."""
        with contextlib.suppress(OSError):
            for number in range(self.inodes + 1):
                (self.folder / f"file-{number}").touch()

    def empty(self) -> None:
        """Delete everything on it."""
        for path in self.folder.iterdir():
            path.unlink()

    def remount(self, how: str) -> None:
        """Remount it, `ro` or `rw`."""
        _run("mount", "-o", f"remount,{how}", str(self.folder))


def _run(*argv: str) -> None:
    result = subprocess.run(argv, capture_output=True, check=False)
    if result.returncode != 0:
        raise RuntimeError(f"{' '.join(argv)}: {result.stderr.decode(errors='replace')}")
