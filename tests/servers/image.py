"""One root file system that can play every role, in Docker and under systemd: made once, then cached.

It holds systemd, PostgreSQL, Redis, nginx, PHP-FPM and Python, all services disabled. The cache
lies in `$OPSCTL_LAB_CACHE`, by default `~/.cache/opsctl-lab`; the recipe's digest is part of the
names, so a changed recipe makes a new one. Packages come from the mirror that this machine's own
apt is configured with.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

PACKAGES = (
    "systemd",
    "systemd-sysv",
    "dbus",
    "postgresql",
    "redis-server",
    "nginx-light",
    "php-fpm",
    "python3",
    "python3-psycopg2",
    "python3-redis",
    "curl",
    "iproute2",
    "procps",
)
SERVICES = ("postgresql", "redis-server", "nginx", "php8.2-fpm", "phpsessionclean.timer", "e2scrub_reap")
RECIPE = "2"
"""Raise it when the steps below change in a way that the package list does not show."""


class LabUnavailable(Exception):
    """This machine cannot make or run lab images; says in one line why."""


def cache_folder() -> Path:
    """Return the folder in which images are kept between runs, made where missing."""
    folder = Path(os.environ.get("OPSCTL_LAB_CACHE") or "~/.cache/opsctl-lab").expanduser()
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def recipe_digest() -> str:
    """Return a short digest of what the image is made of."""
    text = "\n".join((RECIPE, suite(), *PACKAGES, *SERVICES))
    return hashlib.sha256(text.encode()).hexdigest()[:12]


@contextlib.contextmanager
def locked(name: str) -> Iterator[None]:
    """Hold a lock that is shared by all test processes of this machine."""
    with (cache_folder() / f"{name}.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def base_rootfs() -> Path:
    """Return the folder of the root file system; nobody writes into it, copy it or overlay it.

    Raises:
        LabUnavailable: not root, no debootstrap, or no mirror.
    """
    folder = cache_folder() / f"rootfs-{recipe_digest()}"
    if folder.is_dir():
        return folder
    if os.geteuid() != 0:
        raise LabUnavailable("making the lab's root file system needs root")
    if shutil.which("debootstrap", path=_path()) is None:
        raise LabUnavailable("debootstrap is not installed (apt-get install debootstrap)")
    with locked("rootfs"):
        if not folder.is_dir():
            _make(folder)
    return folder


def base_tar() -> Path:
    """Return the same root file system as a tar file, as `docker import` wants it."""
    folder = base_rootfs()
    tar = folder.with_suffix(".tar")
    with locked("rootfs-tar"):
        if not tar.is_file():
            partial = tar.with_suffix(".tar.partial")
            _run(["tar", "--numeric-owner", "--one-file-system", "-C", str(folder), "-cf", str(partial), "."])
            partial.rename(tar)
    return tar


def suite() -> str:
    """Return the code name of this machine's own release, which is what the image becomes."""
    for line in Path("/etc/os-release").read_text().splitlines():
        if line.startswith("VERSION_CODENAME="):
            return line.partition("=")[2].strip('"')
    raise LabUnavailable("/etc/os-release names no release; the lab needs Debian")


def mirror() -> str:
    """Return the mirror that apt on this machine uses for its own release."""
    if shutil.which("apt-get") is None:
        raise LabUnavailable("no apt here; the lab needs Debian")
    listing = _run(["apt-get", "indextargets", "--format", "$(REPO_URI)|$(RELEASE)", "Created-By: Packages"])
    wanted = suite()
    for line in listing.splitlines():
        address, _, release = line.partition("|")
        if release == wanted:
            return address
    raise LabUnavailable(f"apt on this machine has no source for {wanted}")


def _make(folder: Path) -> None:
    """Make the root file system beside its final place and move it there when it is whole."""
    work = Path(tempfile.mkdtemp(prefix="making-", dir=folder.parent))
    try:
        address = mirror()
        _run(["debootstrap", "--variant=minbase", suite(), str(work), address])
        policy = work / "usr/sbin/policy-rc.d"
        policy.write_text("#!/bin/sh\nexit 101\n")
        policy.chmod(0o755)
        resolver = work / "etc/resolv.conf"
        if Path("/etc/resolv.conf").exists():
            shutil.copyfile("/etc/resolv.conf", resolver)
        inside = ["chroot", str(work), "/usr/bin/env", "DEBIAN_FRONTEND=noninteractive", "LC_ALL=C.UTF-8"]
        _run([*inside, "apt-get", "install", "-y", "-q", "--no-install-recommends", *PACKAGES])
        _run([*inside, "apt-get", "clean"])
        for service in SERVICES:
            _run(["systemctl", f"--root={work}", "disable", service], check=False)
        policy.unlink()
        resolver.unlink(missing_ok=True)
        for useless in ("var/lib/apt/lists", "usr/share/doc", "usr/share/man", "usr/share/locale"):
            shutil.rmtree(work / useless, ignore_errors=True)
            (work / useless).mkdir(parents=True, exist_ok=True)
        (work / "etc/machine-id").write_text("")
        (work / "etc/hostname").write_text("lab\n")
        (work / "etc/apt/sources.list").write_text("")
        work.chmod(0o755)
        work.rename(folder)
    except BaseException:
        shutil.rmtree(work, ignore_errors=True)
        raise


def _run(argv: list[str], check: bool = True) -> str:
    """Run a step; its last lines become the reason where it fails."""
    result = subprocess.run(
        argv,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={**os.environ, "PATH": _path(), **_proxies()},
        check=False,
        timeout=900,
    )
    text = result.stdout.decode(errors="replace")
    if check and result.returncode != 0:
        last = " / ".join(text.strip().splitlines()[-3:])
        raise LabUnavailable(f"{argv[0]} failed ({result.returncode}): {last}"[:400])
    return text


def _path() -> str:
    return os.environ.get("PATH", "/usr/bin:/bin") + ":/usr/sbin:/sbin"


def _proxies() -> dict[str, str]:
    """Return apt's proxies as variables, for the tools that do not read apt's configuration."""
    if shutil.which("apt-config") is None:
        return {}
    text = subprocess.run(
        ["apt-config", "shell", "http", "Acquire::http::Proxy", "https", "Acquire::https::Proxy"],
        stdout=subprocess.PIPE,
        check=False,
    ).stdout.decode(errors="replace")
    found = dict(line.partition("=")[::2] for line in text.splitlines())
    return {f"{name}_proxy": value.strip("'\"") for name, value in found.items() if value.strip("'\"")}
