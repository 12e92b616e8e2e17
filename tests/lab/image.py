"""What the lab's machines are made of, made once and cached beside the base image.

The machine's root file system is the base one with a Docker engine, Prometheus and what else a
server has; the applications' Python packages lie in a folder of their own, so that they owe
nothing to the environment that opsctl runs in.
"""

from __future__ import annotations

import hashlib
import shutil
import sys
import tempfile
from pathlib import Path

from tests.servers.image import (
    LabUnavailable,
    _path,
    _run,
    base_rootfs,
    cache_folder,
    locked,
    mirror,
    recipe_digest,
    suite,
)

PACKAGES = (
    "docker.io",
    "docker-compose",
    "iptables",
    "prometheus",
    "prometheus-alertmanager",
    "pgbouncer",
    "php-pgsql",
    "php-curl",
    "openssh-server",
    "openssl",
    "ca-certificates",
    "curl",
)
SERVICES = (
    "docker.service",
    "docker.socket",
    "containerd.service",
    "prometheus",
    "prometheus-alertmanager",
    "pgbouncer",
    "ssh",
)
PYTHON_PACKAGES = (
    "aiogram>=3.4",
    "fastapi>=0.110",
    "prometheus-client>=0.20",
    "psycopg[binary]>=3.1.18",
    "psycopg-pool>=3.2",
    "redis>=5",
    "uvicorn>=0.29",
)
RECIPE = "1"


def lab_rootfs() -> Path:
    """Return the root file system of the lab's machines; nobody writes into it.

    Raises:
        LabUnavailable: not root, no debootstrap, or no mirror.
    """
    text = "\n".join((RECIPE, recipe_digest(), *PACKAGES, *SERVICES))
    folder = cache_folder() / f"labfs-{hashlib.sha256(text.encode()).hexdigest()[:12]}"
    if folder.is_dir():
        return folder
    base = base_rootfs()
    with locked("labfs"):
        if not folder.is_dir():
            _make(base, folder)
    return folder


def python_packages() -> Path:
    """Return the folder of what the stand-in applications import.

    Raises:
        LabUnavailable: it is not Debian's Python, or the packages cannot be had.
    """
    text = "\n".join((RECIPE, sys.version, *PYTHON_PACKAGES))
    folder = cache_folder() / f"packages-{hashlib.sha256(text.encode()).hexdigest()[:12]}"
    if folder.is_dir():
        return folder
    with locked("packages"):
        if not folder.is_dir():
            work = Path(tempfile.mkdtemp(prefix="making-", dir=folder.parent))
            try:
                pip = [sys.executable, "-m", "pip", "install", "--quiet", "--target", str(work)]
                _run([*pip, *PYTHON_PACKAGES])
                work.chmod(0o755)
                work.rename(folder)
            except BaseException:
                shutil.rmtree(work, ignore_errors=True)
                raise
    return folder


def _make(base: Path, folder: Path) -> None:
    """Copy the base and install more into it, beside its final place."""
    work = Path(tempfile.mkdtemp(prefix="making-", dir=folder.parent))
    try:
        _run(["cp", "--archive", "--no-target-directory", str(base), str(work)])
        if shutil.which("chroot", path=_path()) is None:
            raise LabUnavailable("no chroot here")
        sources = work / "etc/apt/sources.list"
        policy = work / "usr/sbin/policy-rc.d"
        resolver = work / "etc/resolv.conf"
        sources.write_text(f"deb {mirror()} {suite()} main\n")
        policy.write_text("#!/bin/sh\nexit 101\n")
        policy.chmod(0o755)
        if Path("/etc/resolv.conf").exists():
            shutil.copyfile("/etc/resolv.conf", resolver)
        inside = ["chroot", str(work), "/usr/bin/env", "DEBIAN_FRONTEND=noninteractive", "LC_ALL=C.UTF-8"]
        _run([*inside, "apt-get", "update", "-q"])
        _run([*inside, "apt-get", "install", "-y", "-q", "--no-install-recommends", *PACKAGES])
        _run([*inside, "apt-get", "clean"])
        for service in SERVICES:
            _run(["systemctl", f"--root={work}", "disable", service], check=False)
        policy.unlink()
        resolver.unlink(missing_ok=True)
        for useless in ("var/lib/apt/lists", "usr/share/doc", "usr/share/man", "usr/share/locale"):
            shutil.rmtree(work / useless, ignore_errors=True)
            (work / useless).mkdir(parents=True, exist_ok=True)
        sources.write_text("")
        work.chmod(0o755)
        work.rename(folder)
    except BaseException:
        shutil.rmtree(work, ignore_errors=True)
        raise
