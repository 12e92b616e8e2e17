"""A Docker engine of our own: its own folders and socket, no bridge and no packet filter rules of its own.

Containers speak on the networks that Compose makes; published ports are served by the engine's
proxy process. The base image is the lab's root file system.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from tests.servers.base import Server, wait_until
from tests.servers.image import LabUnavailable, base_tar
from tests.servers.systemd import groups_closed

BASE_IMAGE = "opsctl-lab:base"


class DockerEngine(Server):
    """dockerd on a unix socket in its own folder; ends with the test run, whatever happens."""

    def __init__(self, *options: str) -> None:
        super().__init__("dockerd")
        self.options = options
        self.socket = self.folder / "docker.sock"
        number = secrets.randbelow(200) + 20
        self.pool = f"10.{number}.0.0/16"

    @property
    def host(self) -> str:
        """The value of DOCKER_HOST."""
        return f"unix://{self.socket}"

    def argv(self) -> list[str]:
        with_parent = ["setpriv", "--pdeathsig", "TERM"] if shutil.which("setpriv") else []
        return [
            *with_parent,
            "dockerd",
            f"--data-root={self.folder}/data",
            f"--exec-root={self.folder}/exec",
            f"--pidfile={self.folder}/pid",
            f"--host={self.host}",
            "--bridge=none",
            "--iptables=false",
            "--ip6tables=false",
            "--ip-masq=false",
            f"--default-address-pool=base={self.pool},size=26",
            "--log-level=warn",
            *self.options,
        ]

    def environment(self) -> dict[str, str]:
        return {"PATH": os.environ.get("PATH", "/usr/bin:/bin") + ":/usr/sbin:/sbin"}

    def ready(self) -> bool:
        return self.socket.exists() and self.docker("version", check=False).returncode == 0

    def docker(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run the docker client against this engine."""
        return self._client(["docker", *arguments], check)

    def _client(self, argv: list[str], check: bool = True) -> subprocess.CompletedProcess[str]:
        result = subprocess.run(
            argv,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
            env={
                **os.environ,
                "DOCKER_HOST": self.host,
                "DOCKER_BUILDKIT": "0",
                "COMPOSE_HTTP_TIMEOUT": "120",
                "PYTHONWARNINGS": "ignore",
            },
        )
        if check and result.returncode != 0:
            raise RuntimeError(
                f"{' '.join(argv)}: {result.returncode}\n{result.stdout}{result.stderr}"[-3000:]
            )
        return result

    def load_base(self) -> None:
        """Give the engine the lab's image."""
        self.docker("import", str(base_tar()), BASE_IMAGE)

    def build(self, tag: str, *lines: str) -> None:
        """Build an image from the lab's one with further Dockerfile lines."""
        folder = self.folder / f"build-{secrets.token_hex(4)}"
        folder.mkdir()
        (folder / "Dockerfile").write_text("\n".join((f"FROM {BASE_IMAGE}", *lines)) + "\n")
        self.docker("build", "--network=none", "-q", "-t", tag, str(folder))

    def stop(self, hard: bool = False) -> None:
        """Stop the engine; it stops its containers and its containerd itself."""
        del hard  # killed, it would leave containerd and the containers behind
        super().stop()

    def remove(self) -> None:
        """Remove every container and network, stop the engine, delete its folder."""
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):
                self.thaw()
            with contextlib.suppress(RuntimeError, subprocess.TimeoutExpired):
                left = self.docker("ps", "-aq").stdout.split()
                if left:
                    self.docker("rm", "-f", "-v", *left)
                self.docker("network", "prune", "-f")
        self.stop()
        self._unmount()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _unmount(self) -> None:
        """Unmount what an engine that died has left below its folder, innermost first."""
        mounts = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
        for mount in sorted((item for item in mounts if item.startswith(f"{self.folder}/")), reverse=True):
            subprocess.run(["umount", "--lazy", mount], check=False, capture_output=True)


class Project:
    """A Compose project on an engine: a folder with a compose file, brought up and taken away."""

    def __init__(self, engine: DockerEngine, services: dict[str, Any], **top: Any) -> None:
        self.engine = engine
        self.name = f"lab{secrets.token_hex(4)}"
        self.folder = engine.folder / self.name
        self.folder.mkdir()
        self.file = self.folder / "docker-compose.yml"
        self.write(services, **top)

    def write(self, services: dict[str, Any], **top: Any) -> None:
        """Write the compose file; every service gets the lab's image unless it names another."""
        full = {
            name: ({} if "build" in service else {"image": BASE_IMAGE})
            | {"stop_grace_period": "0s"}
            | service
            for name, service in services.items()
        }
        self.file.write_text(yaml.safe_dump({"version": "3.7", "services": full, **top}, sort_keys=False))

    def compose(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run docker-compose in the project."""
        argv = [
            "docker-compose",
            "-p",
            self.name,
            "-f",
            str(self.file),
            "--project-directory",
            str(self.folder),
        ]
        return self.engine._client([*argv, *arguments], check)

    def up(self, *arguments: str) -> None:
        """Create and start everything."""
        self.compose("up", "-d", "--no-build", *arguments)

    def ids(self, service: str) -> list[str]:
        """Return the ids of the service's containers, stopped ones too, oldest number first."""
        result = self.engine.docker(
            "ps",
            "-aq",
            "--no-trunc",
            "--filter",
            f"label=com.docker.compose.project={self.name}",
            "--filter",
            f"label=com.docker.compose.service={service}",
        )
        found = result.stdout.split()
        return sorted(found, key=lambda identity: self.inspect(identity)["Name"])

    def inspect(self, identity: str) -> dict[str, Any]:
        """Return `docker inspect` of one container."""
        value = json.loads(self.engine.docker("inspect", identity).stdout)[0]
        assert isinstance(value, dict)
        return value

    def state(self, service: str) -> dict[str, Any]:
        """Return the State of the service's first container."""
        value = self.inspect(self.ids(service)[0])["State"]
        assert isinstance(value, dict)
        return value

    def wait_for(self, service: str, what: str, ready: Any, seconds: float = 30) -> None:
        """Wait until `ready(state)` of the service's first container."""
        wait_until(lambda: bool(ready(self.state(service))), f"{service}: {what}", seconds)

    def remove(self) -> None:
        """Remove the project's containers and networks by id."""
        label = f"label=com.docker.compose.project={self.name}"
        left = self.engine.docker("ps", "-aq", "--filter", label, check=False).stdout.split()
        if left:
            self.engine.docker("rm", "-f", "-v", *left, check=False)
        networks = self.engine.docker("network", "ls", "-q", "--filter", label, check=False).stdout.split()
        if networks:
            self.engine.docker("network", "rm", *networks, check=False)
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self) -> Project:
        return self

    def __exit__(self, *_: object) -> None:
        self.remove()


def unavailable() -> str:
    """Return in one line why no engine can be started here, or an empty string."""
    if os.geteuid() != 0:
        return "starting a Docker engine needs root"
    path = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    for program, package in (("dockerd", "docker.io"), ("docker-compose", "docker-compose")):
        if shutil.which(program, path=path) is None:
            return f"{program} is not installed (apt-get install {package})"
    return groups_closed()


@contextlib.contextmanager
def running_engine(*options: str) -> Iterator[DockerEngine]:
    """Start an engine with the lab's image, and remove it and all its containers at the end.

    Args:
        options: further options of dockerd.

    Raises:
        LabUnavailable: it cannot be had on this machine; says why in one line.
    """
    reason = unavailable()
    if reason:
        raise LabUnavailable(reason)
    base_tar()
    engine = DockerEngine(*options)
    try:
        try:
            engine.start(60)
        except RuntimeError as error:
            last = str(error).strip().splitlines()[-1]
            raise LabUnavailable(f"dockerd cannot start here: {last}"[:300]) from error
        engine.load_base()
        yield engine
    finally:
        engine.remove()
