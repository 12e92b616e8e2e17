"""Starting real servers privately: a free loopback port, a folder of their own, stopped by pid."""

from __future__ import annotations

import contextlib
import itertools
import os
import pwd
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

_PORTS = range(18000, 30000)


def _own_ports() -> Iterator[int]:
    """Yield the ports of this test process over and over, from a place of its own.

    Test processes that run side by side have parts of their own, and none hands a port out twice
    before all others had their turn: between choosing a port and listening on it seconds may pass.
    """
    count = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    number = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    size = len(_PORTS) // count
    part = _PORTS[number % count * size : (number % count + 1) * size]
    start = random.SystemRandom().randrange(size)
    return itertools.cycle([*part[start:], *part[:start]])


_ports: Iterator[int] | None = None


def free_port() -> int:
    """Return a loopback port that nobody listens on.

    The port is taken outside the kernel's own range for outgoing connections, so that no client
    of a neighbouring test is given it in the meantime.
    """
    global _ports
    _ports = _ports or _own_ports()
    for port in itertools.islice(_ports, 200):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with contextlib.suppress(OSError):
                probe.bind(("127.0.0.1", port))
                return port
    raise RuntimeError(f"no free loopback port between {_PORTS[0]} and {_PORTS[-1]}")


def wait_until(ready: Callable[[], bool], what: str, seconds: float = 20, log: Path | None = None) -> None:
    """Wait until `ready()`; on time-out raise with the end of the server's log."""
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        if ready():
            return
        time.sleep(0.03)
    tail = log.read_text(errors="replace")[-2000:] if log and log.exists() else ""
    raise RuntimeError(f"{what} not ready after {seconds} s\n{tail}")


def listens(port: int, host: str = "127.0.0.1") -> bool:
    """Return whether something accepts connections on a port."""
    with socket.socket() as probe:
        probe.settimeout(0.5)
        return probe.connect_ex((host, port)) == 0


def unprivileged_user() -> str | None:
    """Return the account to run servers under that refuse root; None where we are not root."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            pwd.getpwnam(name)
            return name
    return None


class Server:
    """A process of our own with a folder of its own.

    Subclasses say how to start (`argv`) and when it is ready (`ready`).
    """

    def __init__(self, name: str, user: str | None = None) -> None:
        self.name, self.user = name, user
        self.folder = Path(tempfile.mkdtemp(prefix=f"opsctl-{name}-"))
        self.folder.chmod(0o755)
        if user:
            shutil.chown(self.folder, user)
        self.log = self.folder / f"{name}.log"
        self.process: subprocess.Popen[bytes] | None = None

    def argv(self) -> list[str]:
        raise NotImplementedError

    def environment(self) -> dict[str, str]:
        return {}

    def ready(self) -> bool:
        raise NotImplementedError

    def start(self, seconds: float = 20) -> None:
        """Start it and wait until it is ready."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.argv(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, **self.environment()},
                start_new_session=True,
                user=self.user,
                group=pwd.getpwnam(self.user).pw_gid if self.user else None,
                cwd=self.folder,
            )

        def up() -> bool:
            if self.process is not None and self.process.poll() is not None:
                raise RuntimeError(
                    f"{self.name} ended with {self.process.returncode}\n"
                    f"{self.log.read_text(errors='replace')[-2000:]}"
                )
            return self.ready()

        wait_until(up, self.name, seconds, self.log)

    @property
    def pid(self) -> int:
        assert self.process is not None, f"{self.name} was not started"
        return self.process.pid

    def freeze(self) -> None:
        """SIGSTOP the whole process group."""
        os.killpg(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """SIGCONT the whole process group."""
        os.killpg(self.pid, signal.SIGCONT)

    def stop(self, hard: bool = False) -> None:
        """Stop it; harmless where it is not running."""
        if self.process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGCONT)
            os.killpg(self.process.pid, signal.SIGKILL if hard else signal.SIGTERM)
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait(10)
        with contextlib.suppress(ProcessLookupError):  # children that outlived their parent
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process = None

    def remove(self) -> None:
        """Stop it and delete its folder."""
        self.stop(hard=True)
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self) -> Server:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.remove()
