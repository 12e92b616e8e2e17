"""What several faults do to a system: deploy a bad release, put a small disk under a folder, ask for more.

Each is undone when its block is left, also where the fault is given up half-way.
"""

from __future__ import annotations

import contextlib
import textwrap
from collections.abc import Iterator
from pathlib import PurePath
from typing import Any

import yaml

from tests.lab.stacks.base import STACK_FILE, ComposeSystem, System

RELEASE = "/opt/release"
"""Where a bad release of an application lies on the server, and in its containers."""
_LOOPS = "[ -e /dev/loop-control ] || mknod /dev/loop-control c 10 237; " + (
    "for n in $(seq 0 63); do [ -e /dev/loop$n ] || mknod /dev/loop$n b 7 $n; done"
)


@contextlib.contextmanager
def edited(lab: System, path: str, old: str, new: str) -> Iterator[None]:
    """Have another text in a file of the server for a while; owner and mode stay."""
    before = lab.sh(f"cat {path}")
    assert old in before, f"{path} does not hold {old!r}"
    lab.server.write(path, before.replace(old, new))
    try:
        yield
    finally:
        lab.server.write(path, before)


def without_variable(lab: System, path: str, name: str) -> contextlib.AbstractContextManager[None]:
    """Have an env file without one of its variables for a while."""
    return edited(lab, path, lab.sh(f"grep '^{name}=' {path}"), "")


@contextlib.contextmanager
def without_file(lab: System, path: str) -> Iterator[None]:
    """Have a file gone for a while."""
    lab.sh(f"mv {path} {path}.away")
    try:
        yield
    finally:
        lab.sh(f"mv {path}.away {path}")


@contextlib.contextmanager
def asked_for(lab: System, **values: Any) -> Iterator[None]:
    """Have the stack file ask for more: its optional keys, and limits under `thresholds`.

    Keys are paths with `__` between their parts: `services__nginx__logs__1__silent_after=4`,
    `thresholds={"host/io-pressure": {"warning": 15}}`. A plain URL or path becomes what it stands for.
    """
    before = lab.sh(f"cat {STACK_FILE}")
    stack = yaml.safe_load(before)
    for path, value in values.items():
        holder: Any = stack
        *parts, last = path.split("__")
        for part in parts:
            key: Any = int(part) if isinstance(holder, list) else part
            if isinstance(holder[key], str):
                holder[key] = {"path" if holder[key].startswith("/") else "url": holder[key]}
            holder = holder[key]
        if isinstance(value, dict) and isinstance(holder.get(last), dict):
            value = {**holder[last], **value}
        holder[last] = value
    lab.server.write(STACK_FILE, yaml.safe_dump(stack, sort_keys=False, allow_unicode=True))
    try:
        yield
    finally:
        lab.server.write(STACK_FILE, before)


# -- releases -----------------------------------------------------------------------------------------


@contextlib.contextmanager
def release(lab: System, code: str, wait: bool = True) -> Iterator[None]:
    """Deploy another version of the backend: the same application with `code` put on top of it.

    `instead(path)` in the code takes the place of `@app.get(path)`. The traces of the restart are
    forgotten: it was deployed a while ago.

    Args:
        wait: until it answers, whatever that is.
    """
    module = f"{lab.name.removesuffix('-base')}_api"
    text = f"""\
        from {module} import *
        from {module} import app


        def instead(path):
            app.router.routes[:] = [each for each in app.router.routes if getattr(each, "path", "") != path]
            return app.get(path)


        """
    lab.server.write(f"{RELEASE}/release.py", textwrap.dedent(text) + textwrap.dedent(code))
    bad = f"--app-dir {RELEASE} release:app"
    if isinstance(lab, ComposeSystem):
        name = lab.containers.get("backend", "backend")
        stack = lab.compose_file()
        service = stack["services"][name]
        service["command"] = [word.replace(f"{module}:app", bad) for word in service["command"]]
        service["volumes"] = [*service["volumes"], f"{RELEASE}:{RELEASE}:ro"]
        lab.server.write(lab.file, yaml.safe_dump(stack, sort_keys=False))
        lab.renew("backend")
        try:
            if wait:
                lab.wait(
                    _every_container(lab, "curl -s -m 2 -o /dev/null http://127.0.0.1:8000/metrics"),
                    seconds=90,
                )
            lab.forget()
            yield
        finally:
            lab.write_compose()
            lab.renew("backend")
        return
    start = lab.sh(f"grep ^ExecStart= /etc/systemd/system/{lab.units['backend']}.service").strip()
    settings = f"[Service]\nExecStart=\n{start.replace(f'{module}:app', bad)}\n"
    with drop_in(lab, "backend", settings):
        if wait:
            lab.wait("curl -s -m 2 -o /dev/null http://127.0.0.1:8000/metrics", "the release", 90)
        lab.forget()
        yield


def _every_container(lab: ComposeSystem, script: str) -> str:
    return " && ".join(f"docker exec {identity} sh -c '{script}'" for identity in lab.ids("backend"))


@contextlib.contextmanager
def drop_in(lab: System, role: str, text: str) -> Iterator[None]:
    """Run a role's unit with other settings for a while."""
    unit = lab.units[role]
    folder = f"/run/systemd/system/{unit}.service.d"
    lab.server.write(f"{folder}/lab.conf", text)
    lab.sh(f"systemctl daemon-reload; systemctl restart {unit}", check=False)
    try:
        yield
    finally:
        lab.sh(f"rm -rf {folder}; systemctl daemon-reload")
        lab.sh(f"systemctl reset-failed {unit}; systemctl restart {unit}", check=False)


# -- disks --------------------------------------------------------------------------------------------


@contextlib.contextmanager
def small_disk(
    lab: System, folder: str, megabytes: int, stop: str = "true", start: str = "true", inodes: int = 0
) -> Iterator[None]:
    """Move a folder to an ext4 of its own, of that size, that is in /etc/fstab as a disk would be.

    Args:
        stop: shell command that ends what has files open there.
        start: shell command that begins it again.
        inodes: so many of them; as many as mkfs thinks right where 0.
    """
    image = f"/var/tmp/{PurePath(folder).name}.img"
    count = f"-N {inodes}" if inodes else ""
    lab.sh(
        f"""set -e
        {_LOOPS}
        {stop}
        truncate -s {megabytes}M {image}
        mkfs.ext4 -q -m 0 {count} {image}
        mkdir -p /mnt/lab-disk
        mount -o loop {image} /mnt/lab-disk
        cp -a {folder}/. /mnt/lab-disk/
        chown --reference={folder} /mnt/lab-disk; chmod --reference={folder} /mnt/lab-disk
        umount /mnt/lab-disk
        mount -o loop {image} {folder}
        cp -p /etc/fstab /etc/fstab.away 2>/dev/null || : > /etc/fstab.away
        echo "$(findmnt -no SOURCE {folder}) {folder} ext4 defaults 0 2" >> /etc/fstab
        {start}"""
    )
    try:
        yield
    finally:
        lab.sh(
            f"""mount -o remount,rw {folder}
            rm -f {folder}/{FORGOTTEN}
            {stop}
            for n in $(seq 50); do umount {folder} && break; sleep 0.1; done
            cat /etc/fstab.away > /etc/fstab; rm -f {image} /etc/fstab.away
            {start}""",
            check=False,
        )


FORGOTTEN = "forgotten-dump.sql"


def fill(lab: System, folder: str, leave_kilobytes: int = 0) -> None:
    """Fill a small disk with a forgotten file, but for what is to be left."""
    free = f"$(( $(df -P -k {folder} | awk 'NR == 2 {{ print $4 }}') - {leave_kilobytes} ))"
    lab.sh(f"head -c {free}K /dev/zero > {folder}/{FORGOTTEN} 2>/dev/null; sync -f {folder}", check=False)
