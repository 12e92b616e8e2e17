"""Who listens where: /proc/net/tcp, tcp6 and unix, joined to processes by socket inode.

No process is started and nothing is connected to. Without root the sockets are all seen, but
only the owner's own processes can be named: `pid` is then None and `process` empty.
"""

from __future__ import annotations

import contextlib
import ipaddress
import os
import re
import socket
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from opsctl.probes.addresses import beyond_loopback, is_here

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from opsctl.probes.base import Shared

PROC = Path("/proc")
MAX_BYTES = 8 * 1024 * 1024
"""Of /proc/net/tcp that is read: about 50,000 sockets."""
_LISTENING = "0A"
_ACCEPTS_CONNECTIONS = 0x10000  # __SO_ACCEPTCON
_CONTAINER = re.compile(r"(?:docker[-/]|libpod-|cri-containerd-|/)([0-9a-f]{64})\b")
_UNIT = re.compile(r"/([^/]+\.service)(?:/|$)")


@dataclass(frozen=True, slots=True)
class Listener:
    """A listening socket.

    `address` is an IP address as text (`0.0.0.0`, `::`, `127.0.0.1`) or, with port 0, the path
    of a Unix socket (an abstract one begins with `@`). `unit` and `container` (the full id) come
    from the process's control group.
    """

    address: str
    port: int
    inode: int = 0
    uid: int | None = None
    pid: int | None = None
    process: str = ""
    executable: str = ""
    unit: str = ""
    container: str = ""

    @property
    def beyond_loopback(self) -> bool:
        """Whether another machine can reach it, as far as the address says."""
        return self.port != 0 and beyond_loopback(self.address)


def listeners(proc: Path = PROC, pid: int | None = None) -> list[Listener]:
    """Return the listening TCP sockets of this network namespace, or of the one that `pid` is in.

    Raises:
        PermissionError: the namespace of another user's process.
        FileNotFoundError: no /proc, or no such process.
    """
    net = proc / ("self" if pid is None else str(pid)) / "net"
    found = parse_tcp(_read(net / "tcp"))
    with contextlib.suppress(FileNotFoundError):  # a kernel without IPv6
        found += parse_tcp(_read(net / "tcp6"))
    return with_processes(found, proc)


def unix_listeners(proc: Path = PROC) -> list[Listener]:
    """Return the listening Unix sockets of this network namespace.

    Raises:
        FileNotFoundError: no /proc.
    """
    return with_processes(parse_unix(_read(proc / "self" / "net" / "unix")), proc)


def _read(path: Path) -> str:
    with path.open("rb") as file:
        return file.read(MAX_BYTES).decode("utf-8", "replace")


def parse_tcp(text: str) -> list[Listener]:
    """Return the listening sockets of /proc/net/tcp or tcp6; lines that make no sense are skipped. Pure."""
    result: list[Listener] = []
    for line in text.splitlines()[1:]:
        fields = line.split()
        if len(fields) < 10 or fields[3] != _LISTENING:
            continue
        with contextlib.suppress(ValueError):
            encoded, _, port = fields[1].partition(":")
            result.append(
                Listener(
                    address=_address(encoded), port=int(port, 16), uid=int(fields[7]), inode=int(fields[9])
                )
            )
    return result


def _address(encoded: str) -> str:
    """Decode the kernel's hexadecimal address: 32-bit words in the machine's byte order."""
    raw = bytes.fromhex(encoded)
    if len(raw) not in (4, 16):
        raise ValueError(f"not an address: {encoded!r}")
    if sys.byteorder == "little":
        raw = b"".join(raw[at : at + 4][::-1] for at in range(0, len(raw), 4))
    if len(raw) == 4:
        return socket.inet_ntoa(raw)
    address = ipaddress.IPv6Address(raw)
    return str(address.ipv4_mapped or address)


def parse_unix(text: str) -> list[Listener]:
    """Return the listening sockets with a path of /proc/net/unix. Pure."""
    result: list[Listener] = []
    for line in text.splitlines()[1:]:
        fields = line.split(None, 7)
        if len(fields) < 8:
            continue
        with contextlib.suppress(ValueError):
            if int(fields[3], 16) & _ACCEPTS_CONNECTIONS:
                result.append(Listener(address=fields[7], port=0, inode=int(fields[6])))
    return result


def with_processes(found: Iterable[Listener], proc: Path = PROC) -> list[Listener]:
    """Return the sockets with the process that holds each, as far as it may be seen.

    Where several processes share one socket (a server and its workers), the eldest is named.
    """
    sockets = list(found)
    owners = _owners({item.inode for item in sockets if item.inode}, proc)
    described: dict[int, tuple[str, str, str, str]] = {}
    result: list[Listener] = []
    for item in sockets:
        pid = owners.get(item.inode)
        if pid is None:
            result.append(item)
            continue
        if pid not in described:
            described[pid] = _describe(pid, proc)
        process, executable, unit, container = described[pid]
        result.append(
            replace(item, pid=pid, process=process, executable=executable, unit=unit, container=container)
        )
    return result


def _owners(wanted: set[int], proc: Path) -> dict[int, int]:
    """Return socket inode -> lowest pid, going through /proc/PID/fd once, in order of age."""
    found: dict[int, int] = {}
    for pid in sorted(_pids(proc)):
        if len(found) == len(wanted):
            break
        for inode in _socket_inodes(f"{proc}/{pid}/fd"):
            if inode in wanted:
                found.setdefault(inode, pid)
    return found


def _pids(proc: Path) -> Iterator[int]:
    with contextlib.suppress(OSError), os.scandir(proc) as entries:
        for entry in entries:
            if entry.name.isdigit():
                yield int(entry.name)


def _socket_inodes(folder: str) -> Iterator[int]:
    try:
        names = os.listdir(folder)  # noqa: PTH208 - thousands of entries: names alone are far cheaper
    except OSError:  # another user's process, or it has just ended
        return
    for name in names:
        with contextlib.suppress(OSError, ValueError):
            link = os.readlink(f"{folder}/{name}")  # noqa: PTH115 - see above
            if link.startswith("socket:["):
                yield int(link[8:-1])


def _describe(pid: int, proc: Path) -> tuple[str, str, str, str]:
    """Return (name, executable, unit, container id); never the arguments, they may hold secrets."""
    folder = proc / str(pid)
    process = executable = group = ""
    with contextlib.suppress(OSError):
        process = _read(folder / "comm").strip()[:64]
    with contextlib.suppress(OSError):
        executable = str((folder / "exe").readlink())[:300]
    with contextlib.suppress(OSError):
        group = _read(folder / "cgroup")
    unit, container = parse_cgroup(group)
    return process, executable, unit, container


def parse_cgroup(text: str) -> tuple[str, str]:
    """Return (systemd unit, container id) of a /proc/PID/cgroup text, empty where there is none. Pure."""
    unit = container = ""
    for line in text.splitlines():
        path = line.split(":", 2)[-1]
        if not container and (match := _CONTAINER.search(path)):
            container = match.group(1)
        if not unit and (units := _UNIT.findall(path)):
            unit = str(units[-1])
    return ("" if container else unit), container


def listen_addresses(shared: Shared, host: str, port: int) -> list[str] | None:
    """Return the addresses of this machine on which `port` listens, None where `host` is elsewhere.

    `host` is where clients connect to. An address of another machine or of a container says
    nothing about this machine's sockets. Needs no right; processes are not looked for.
    """
    if not is_here(host):
        return None
    try:
        found = shared.once("listening-addresses", _listening)
    except OSError:
        return None
    return list(dict.fromkeys(item.address for item in found if item.port == port))


def _listening() -> list[Listener]:
    found: list[Listener] = []
    for name in ("tcp", "tcp6"):
        with contextlib.suppress(FileNotFoundError), Path("/proc/net", name).open("rb") as file:
            found += parse_tcp(file.read(MAX_BYTES).decode("ascii", "replace"))
    return found
