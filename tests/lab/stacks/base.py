"""A system of the lab: a server, what runs on it, its stack file, and its documented load."""

from __future__ import annotations

import contextlib
import textwrap
from collections.abc import Iterator
from typing import Any

import yaml

from tests.lab.machine import IMAGE, INSIDE_APPS, INSIDE_PACKAGES, Server
from tests.lab.overrides import shipped

PYTHONPATH = f"{INSIDE_APPS}:{INSIDE_PACKAGES}"
STACK_FILE = "/etc/opsctl/opsctl.yml"


NEIGHBOURS = ("host/cpu-saturated", "host/io-pressure", "host/memory-pressure")
"""What other work on the same machine causes; switched off where the lab has to share it."""


BOOT_LIMIT = 180
"""Seconds until a boot is given up; on a machine with other work, a slow one is still a boot."""


class System:
    """One of the five systems, booted on a server of its own.

    Subclasses fill in `install` (files, units, containers), `start` and `healthy`.
    """

    name = ""
    docker = False
    overrides: dict[str, str] = {}
    services: dict[str, str] = {}
    """Role -> service of the stack file."""
    units: dict[str, str] = {}
    """Role -> unit, where a unit runs it."""
    database_url = ""
    urls: tuple[str, ...] = ()
    """What must answer when the system works."""

    @property
    def load(self) -> tuple[str, ...]:
        """What the light load asks for."""
        return self.urls

    def __init__(self, shared_machine: bool = False) -> None:
        self.server = Server(docker=self.docker)
        self.off = NEIGHBOURS if shared_machine else ()

    # -- life -------------------------------------------------------------------------------------

    def boot(self) -> None:
        """Boot the server and everything on it, and wait until the stack works."""
        self.server.start()
        self.server.write(STACK_FILE, shipped(self.name, self.overrides, self.off))
        self.install()
        self.bring_up()
        self.wait_healthy(BOOT_LIMIT)

    def install(self) -> None:
        """Write what the system consists of."""
        raise NotImplementedError

    def bring_up(self) -> None:
        """Start it."""
        raise NotImplementedError

    def healthy_script(self) -> str:
        """Return a shell script that succeeds when the system works."""
        return " && ".join(f"curl -skf -m 3 -o /dev/null -H 'User-Agent: lab' {url}" for url in self.urls)

    def wait_healthy(self, seconds: float = 40) -> None:
        """Wait until every documented page answers."""
        self.server.wait(self.healthy_script(), f"{self.name} healthy", seconds)

    def forget(self) -> None:
        """Empty the logs, so that one fault's traces do not become the next one's evidence.

        Those that logrotate has put aside meanwhile are read by opsctl as well. With -c, since the kernel
        (fs.protected_regular) lets not even root open another's file in a sticky folder to create it.
        """
        self.server.sh(
            "find /var/log '(' -name '*.log' -o -name '*.log.1' ')' -type f -exec truncate -c -s 0 {} + ;"
            "journalctl --rotate >/dev/null 2>&1; journalctl --vacuum-time=1s >/dev/null 2>&1; true",
            check=False,
        )

    def stop(self) -> None:
        """Pull the plug and remove everything."""
        self.server.stop()

    # -- shortcuts for faults ---------------------------------------------------------------------

    def sh(self, script: str, check: bool = True, seconds: float = 60) -> str:
        """Run a shell script on the server."""
        return self.server.sh(script, check, seconds)

    def wait(self, script: str, what: str = "", seconds: float = 30) -> None:
        """Wait until a shell script succeeds on the server."""
        self.server.wait(script, what, seconds)

    def see_load(self) -> None:
        """Ask each page once, as users do, so that what users meet is in the logs."""
        self.sh(
            "sleep 0.4; " + "; ".join(f"curl -sk -m 4 -o /dev/null {url}" for url in self.urls), check=False
        )

    def diagnosis(self, *options: str, user: str = "") -> tuple[dict[str, Any], float]:
        """Return what opsctl says, and how long it took."""
        return self.server.diagnosis(STACK_FILE, *options, user=user)

    def nginx(self, site: str) -> None:
        """Install nginx with one site file; certificates must be there already."""
        self.server.sh("rm -f /etc/nginx/sites-enabled/default")
        self.server.write("/etc/nginx/sites-enabled/site", textwrap.dedent(site))

    def python_unit(
        self, name: str, argv: str, environment_file: str, folder: str = "/", **more: str
    ) -> None:
        """Install a unit that runs one of the stand-in applications."""
        settings = "".join(f"{key}={value}\n" for key, value in more.items())
        self.server.unit(
            f"{name}.service",
            f"[Unit]\nDescription={name}\nAfter=network.target\nStartLimitIntervalSec=0\n"
            f"[Service]\nUser=www-data\nWorkingDirectory={folder}\nEnvironmentFile={environment_file}\n"
            f"Environment=PYTHONPATH={PYTHONPATH} PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1\n"
            f"ExecStart={argv}\nRestart=always\nRestartSec=1\n{settings}"
            "[Install]\nWantedBy=multi-user.target\n",
        )

    def certificate(self, folder: str, *names: str, days: int = 90, chain: str = "fullchain.pem") -> None:
        """Write a certificate for the names, signed by the lab's own authority, which the server trusts."""
        alternatives = ",".join(f"DNS:{name}" for name in names)
        self.server.sh(
            f"""set -e
            mkdir -p {folder} /etc/lab
            if [ ! -f /etc/lab/ca.pem ]; then
                openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 3650 \
                    -keyout /etc/lab/ca.key -out /etc/lab/ca.pem -subj '/CN=lab authority' 2>/dev/null
                cp /etc/lab/ca.pem /usr/local/share/ca-certificates/lab.crt
                cat /etc/lab/ca.pem >> /etc/ssl/certs/ca-certificates.crt
                ln -sf /etc/lab/ca.pem /etc/ssl/certs/$(openssl x509 -hash -noout -in /etc/lab/ca.pem).0
            fi
            openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout {folder}/privkey.pem \
                -out /etc/lab/request.pem -subj '/CN={names[0]}' 2>/dev/null
            printf 'subjectAltName={alternatives}\\nbasicConstraints=CA:FALSE\\n' > /etc/lab/extensions
            mkdir -p /etc/lab/issued && : > /etc/lab/index.txt && echo 'unique_subject = no' > /etc/lab/index.txt.attr
            printf '[ca]\ndefault_ca=lab\n[lab]\ndatabase=/etc/lab/index.txt\nnew_certs_dir=/etc/lab/issued\nrand_serial=yes\ndefault_md=sha256\npolicy=any\n[any]\ncommonName=supplied\n' > /etc/lab/ca.conf
            openssl ca -batch -notext -config /etc/lab/ca.conf -cert /etc/lab/ca.pem -keyfile /etc/lab/ca.key \
                -startdate $(date -u -d '-30 days' +%Y%m%d%H%M%SZ) -enddate $(date -u -d '{days} days' +%Y%m%d%H%M%SZ) \
                -extfile /etc/lab/extensions -in /etc/lab/request.pem -out {folder}/{chain} 2>/dev/null"""  # noqa: E501
        )

    def firewall(self, *ports: int, networks: tuple[str, ...] = ()) -> None:
        """Let in these ports only; what containers ask of the server itself is let in by network."""
        rules = ["iptables -P INPUT ACCEPT", "iptables -F INPUT", "iptables -A INPUT -i lo -j ACCEPT"]
        rules += ["iptables -A INPUT -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT"]
        rules += [f"iptables -A INPUT -s {network} -j ACCEPT" for network in networks]
        rules += [f"iptables -A INPUT -p tcp --dport {port} -j ACCEPT" for port in ports]
        self.server.sh(" && ".join([*rules, "iptables -P INPUT DROP"]))


class ComposeSystem(System):
    """A system that runs in containers; its compose file lies on the server."""

    docker = True
    project = ""
    file = ""
    network = ""
    images: tuple[str, ...] = ()
    containers: dict[str, str] = {}
    """Role -> Compose service."""

    def compose_file(self) -> dict[str, Any]:
        """Return the compose file."""
        raise NotImplementedError

    def application(self, image: str, command: str, **more: Any) -> dict[str, Any]:
        """Return a Compose service that runs a Python application of the lab."""
        environment = {"PYTHONPATH": PYTHONPATH, "PYTHONUNBUFFERED": "1", "PYTHONDONTWRITEBYTECODE": "1"}
        return self.service(
            image,
            command=["sh", "-c", f"exec {command}"],
            environment={**environment, **more.pop("environment", {})},
            **more,
        )

    def service(self, image: str, **more: Any) -> dict[str, Any]:
        """Return a Compose service with what every service of the lab has."""
        volumes = [f"{INSIDE_APPS}:{INSIDE_APPS}:ro", f"{INSIDE_PACKAGES}:{INSIDE_PACKAGES}:ro"]
        return {
            "image": image,
            "restart": "unless-stopped",
            "stop_grace_period": "2s",
            "logging": {"driver": "json-file", "options": {"max-size": "10m", "max-file": "3"}},
            "volumes": [*volumes, *more.pop("volumes", [])],
            **more,
        }

    @staticmethod
    def healthcheck(command: str, start: str = "0s", interval: str = "3s") -> dict[str, Any]:
        """Return a health check that notices within seconds."""
        return {
            "test": ["CMD-SHELL", command],
            "interval": interval,  # each one costs a tenth of a core second
            "timeout": "2s",
            "retries": 2,
            "start_period": start,
        }

    def write_compose(self) -> None:
        """Write the compose file."""
        self.server.write(self.file, yaml.safe_dump(self.compose_file(), sort_keys=False))

    def tag_images(self) -> None:
        """Give the lab's one image the names that the compose file uses."""
        self.sh(" && ".join(f"docker tag {IMAGE} {image}" for image in self.images))

    def compose(self, *arguments: str, check: bool = True, seconds: float = 90) -> str:
        """Run docker-compose in the project."""
        argv = ["docker-compose", "--ansi", "never", "-p", self.project, "-f", self.file, *arguments]
        clean = ["env", "-u", "PYTHONPATH", "COMPOSE_HTTP_TIMEOUT=120"]  # Debian's own libraries
        return self.server.run(*clean, *argv, check=check, seconds=seconds).stdout

    def ids(self, role: str) -> list[str]:
        """Return the ids of a role's containers, stopped ones too."""
        labels = {"project": self.project, "service": self.containers.get(role, role)}
        filters = " ".join(
            f"--filter label=com.docker.compose.{key}={value}" for key, value in labels.items()
        )
        return self.sh(f"docker ps -aq --no-trunc {filters}").split()

    def id(self, role: str) -> str:
        """Return the id of a role's first container."""
        return self.ids(role)[0]

    def inspect(self, role: str, template: str) -> str:
        """Return a Go template over a role's first container."""
        return self.sh(f"docker inspect -f '{{{{{template}}}}}' {self.id(role)}").strip()

    def pid(self, role: str) -> int:
        """Return the main process of a role's first container, as the server counts."""
        return int(self.inspect(role, ".State.Pid"))

    def wait_state(self, role: str, expression: str, seconds: float = 30, number: int = 0) -> None:
        """Wait until a Go template over a role's container gives "true"."""
        inspect = f"docker inspect -f '{{{{{expression}}}}}' {self.ids(role)[number]}"
        self.wait(f'[ "$({inspect})" = true ]', f"{role}: {expression}", seconds)

    def wait_well(self, role: str, seconds: float = 40, number: int = 0) -> None:
        """Wait until a container's health check is content."""
        self.wait_state(role, 'eq .State.Health.Status "healthy"', seconds, number)

    def wait_unwell(self, role: str, seconds: float = 40) -> None:
        """Wait until a container's health check has given up."""
        self.wait_state(role, 'eq .State.Health.Status "unhealthy"', seconds)

    def inside(self, role: str, script: str, check: bool = True, seconds: float = 60) -> str:
        """Run a shell script in a role's first container, as root."""
        result = self.server.run(
            "docker", "exec", self.id(role), "sh", "-c", script, check=check, seconds=seconds
        )
        return result.stdout

    def recreate(self, *roles: str) -> None:
        """Bring containers up as the compose file now says."""
        self.compose(
            "up", "-d", "--no-build", *self.scale, *(self.containers.get(role, role) for role in roles)
        )

    scale: tuple[str, ...] = ()
    """Options of `docker-compose up` that say how many of a service there are."""

    def renew(self, role: str) -> None:
        """Replace a role's containers by new ones."""
        name = self.containers.get(role, role)
        scale = self.scale if any(option.startswith(f"{name}=") for option in self.scale) else ()
        self.compose("up", "-d", "--no-build", *scale, "--force-recreate", "--no-deps", name)

    @contextlib.contextmanager
    def edited(self, path: str, old: str, new: str) -> Iterator[None]:
        """Have another text in a file for a while."""
        before = self.sh(f"cat {path}")
        assert old in before, f"{path} does not hold {old!r}"
        self.server.write(path, before.replace(old, new))
        yield
        self.server.write(path, before)

    def forget(self) -> None:
        """Empty the containers' logs as well."""
        super().forget()
        self.sh("truncate -c -s 0 /var/lib/docker/containers/*/*-json.log", check=False)
