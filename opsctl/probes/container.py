"""Looks at the containers of one Compose service: one shared list, one inspect each, cgroup files.

No stats stream, and of logs only the last lines of a container that is not well.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from opsctl.facts.base import FactProblem
from opsctl.facts.container import ContainerFacts, Instance
from opsctl.probes.container_cgroup import (
    ControlGroup,
    control_group,
    cpu_values,
    memory_values,
    throttled_ratio,
)
from opsctl.probes.container_described import described
from opsctl.probes.container_incidents import Incidents, recent
from opsctl.probes.container_listing import Listing, speaker
from opsctl.probes.container_parsing import (
    ended_badly,
    environment,
    environment_differences,
    instance_values,
    log_lines,
    stats_values,
    wanted_networks,
    wanted_ports,
)
from opsctl.probes.docker_api import ApiError, DockerApi, api, cannot_look, containers
from opsctl.probes.remembering import for_metrics

if TYPE_CHECKING:
    from opsctl.probes.base import ProbeContext
    from opsctl.probes.container_cgroup import Files
    from opsctl.stack.specs import ServiceSpec

MAX_INSTANCES = 100
TAIL_LINES = 8
TAIL_BYTES = 64 * 1024
THROTTLE_WINDOW_SECONDS = 1.0
"""Throttling is judged over this window (ten scheduling periods), never as a lifetime total."""


def probe(context: ProbeContext) -> ContainerFacts:
    """Return the facts of a service's containers.

    Raises:
        ProbeError: the engine could not be asked; its parent is the engine.
    """
    engine = api(context)
    try:
        listed = containers(context)
        key = ("docker listing", engine.endpoint)
        listing = context.shared.once(key, lambda: Listing(listed))
        if for_metrics(context):
            from opsctl.probes.container_metrics import MetricsLook  # a diagnosis never needs it

            return MetricsLook(context, engine, listing).facts()
        return Look(context, engine, listing).facts()
    except ApiError as error:
        raise cannot_look(error, engine.endpoint) from None


class Look:
    """One look at one service."""

    def __init__(self, context: ProbeContext, engine: DockerApi, listing: Listing) -> None:
        self.context, self.engine, self.listing = context, engine, listing
        compose = context.stack.spec.compose
        self.main = compose.project if compose else ""
        self.project = context.service.project or self.main
        self.name = context.target.address
        self.problems: list[FactProblem] = []
        self.groups: dict[str, ControlGroup | None] = {}
        self.own = listing.of_service(self.project, self.name)[:MAX_INSTANCES]
        self.compose = described(context, self.project, self.own)
        self.described = self.compose.service(self.name)

    def facts(self) -> ContainerFacts:
        """Return the facts of the service's containers."""
        if self.compose.problem is not None:
            self.problems.append(self.compose.problem)
        instances = self._instances()
        spec = self.context.service
        one_shot = self._one_shot(instances)
        running = sum(1 for item in instances if item.state == "running")
        done = one_shot and any(item.exit_code == 0 for item in instances)
        first, services, alive, failed = self._project()
        wanted = spec.replicas if spec.replicas > 1 else (self.described and self.described.replicas) or 1
        return ContainerFacts(
            up=running > 0 or done,
            service=self.name,
            project=self.project,
            running=running,
            wanted=wanted,
            one_shot=one_shot,
            speaks_for_project=first == self.context.target.service,
            project_services=services,
            project_services_running=alive,
            project_services_failed=failed,
            compose_file=str(self.compose.path or ""),
            env_files=[str(path) for path in self._env_files()],
            instances=sorted(instances, key=lambda item: item.name),
            problems=self.problems,
        )

    def _instances(self) -> list[Instance]:
        """Return everything that is known of the containers now."""
        inspected = [item for item in map(self._inspect, self.own) if item]
        self.groups = {str(item.get("Id")): control_group_of(item) for item in inspected}
        before = {identity: cpu_values(group) for identity, group in self.groups.items() if group}
        sampled = time.monotonic()
        instances = [self._instance(item) for item in inspected]
        return self._throttling(inspected, instances, before, sampled)

    def _inspect(self, item: dict[str, Any]) -> dict[str, Any]:
        try:
            return self.engine.inspect(str(item.get("Id")))
        except ApiError as error:
            if error.status == 404:  # removed since it was listed
                return {}
            raise

    def _instance(self, inspected: dict[str, Any]) -> Instance:
        values = instance_values(inspected)
        identity, state = values["id"], values["state"]
        running = environment(inspected)
        secret = frozenset(self.context.service.env.secret) if self.context.service.env else frozenset()
        self.context.redactor.add_environment(running, secret)
        values |= self._wanted(inspected, values)
        values |= self._environment(running)
        values |= self._resources(state, identity, values["memory_limit"])
        values["log_bytes"] = self._log_bytes(self._log_path(inspected, values["log_driver"]))
        unwell = state != "running" or values.get("health") == "unhealthy"
        if unwell or values["restart_count"] or values.get("oom_kills"):
            incidents = self._incidents()
            values["deaths"] = incidents.deaths.get(identity, [])[-20:]
            values["death_exit_code"] = incidents.exit_codes.get(identity)
            values["deaths_read"] = incidents.events_read
            kill = incidents.kills.get(identity)
            if kill is not None:
                values |= {"oom_at": kill.at, "oom_process": kill.process, "oom_record": kill.source}
            elif incidents.kernel_log_read:
                values["oom_record"] = "dmesg | grep oom-kill"
            if state != "paused":
                values["log_tail"] = self._tail(inspected, identity)
        return Instance(**values)

    def _incidents(self) -> Incidents:
        key = ("docker incidents", self.engine.endpoint)
        return self.context.shared.once(key, lambda: recent(self.engine, time.time()))

    def _resources(
        self, state: str, identity: str, memory_limit: int | None, files: Files | None = None
    ) -> dict[str, Any]:
        """Return memory and CPU figures of a running container."""
        if state not in ("running", "paused"):
            return {}
        group = self.groups.get(identity)
        if group is not None:
            found = memory_values(group, files)
            cpu = cpu_values(group, files)
        elif memory_limit:
            found, cpu = self._stats(identity)
        else:
            return {}
        if cpu is not None:
            found |= {"cpu_periods": cpu[0], "cpu_throttled_periods": cpu[1]}
        return found

    def _stats(self, identity: str) -> tuple[dict[str, Any], tuple[int, int] | None]:
        """Ask the engine for one sample, where its control groups are not to be seen from here."""
        try:
            query = {"stream": "false", "one-shot": "true"}
            return stats_values(self.engine.json(f"/containers/{identity}/stats", query))
        except ApiError as error:
            self._problem(
                "memory", f"docker stats: {error.detail}", "run opsctl on the machine of the engine"
            )
            return {}, None

    def _throttling(
        self,
        inspected: list[dict[str, Any]],
        instances: list[Instance],
        before: dict[str, tuple[int, int] | None],
        sampled: float,
    ) -> list[Instance]:
        """Take a second sample of the containers that have a CPU limit and were ever held back."""
        ratios: dict[str, float | None] = {}
        concerned = []
        for item, instance in zip(inspected, instances, strict=True):
            first = before.get(instance.id)
            if instance.cpu_limit and instance.state == "running" and first is not None:
                ratios[instance.id] = 0.0
                if first[1]:
                    concerned.append((item, first))
        left = sampled + THROTTLE_WINDOW_SECONDS - time.monotonic()
        if concerned and self.context.left > left + 0.1:
            time.sleep(max(left, 0))
            for item, first in concerned:
                group = self.groups[str(item.get("Id"))]
                second = cpu_values(group) if group else None
                ratios[str(item.get("Id"))] = throttled_ratio(first, second) if second else None
        elif concerned:
            ratios |= {str(item.get("Id")): None for item, _ in concerned}
        return [
            msgspec.structs.replace(instance, cpu_throttled_ratio=ratios[instance.id])
            if instance.id in ratios
            else instance
            for instance in instances
        ]

    def _tail(self, inspected: dict[str, Any], identity: str) -> list[str]:
        query = {"stdout": 1, "stderr": 1, "tail": TAIL_LINES}
        try:
            data = self.engine.get(f"/containers/{identity}/logs", query, TAIL_BYTES)
        except ApiError:  # a log driver that cannot be read back; the log kind says so
            return []
        return log_lines(data, not (inspected.get("Config") or {}).get("Tty"))

    def _log_path(self, inspected: dict[str, Any], driver: str) -> str:
        """Return the file with the container's log; empty where there is none on this machine."""
        here = driver == "json-file" and self.engine.endpoint.startswith("unix:")
        return str(inspected.get("LogPath") or "") if here else ""

    def _log_bytes(self, path: str) -> int | None:
        if not path:
            return None
        try:
            return Path(path).stat().st_size
        except PermissionError:
            self._problem("log-file", "the size of the container's log may not be read", "run as root")
        except OSError:
            pass
        return None

    def _wanted(self, inspected: dict[str, Any], values: dict[str, Any]) -> dict[str, Any]:
        """Compare with the compose file, else with what the container was made with."""
        described = self.described
        image = described.image if described and described.image else values["image"]
        networks, ports = wanted_networks(inspected), wanted_ports(inspected)
        if described is not None:
            networks = list(described.networks) if described.networks is not None else []
            ports = list(described.ports) if described.networks is not None else []
        result: dict[str, Any] = {
            "wanted_image": image[:300],
            "wanted_image_id": self._image_id(image),
        }
        if values["state"] == "running":
            result["missing_networks"] = [name for name in networks if name not in values["networks"]]
            result["missing_ports"] = [port for port in ports if port not in values["ports"]]
        return result

    def _image_id(self, image: str) -> str | None:
        if not image or image.startswith("sha256:"):
            return None
        key = ("docker image", self.engine.endpoint, image)
        try:
            return self.context.shared.once(key, lambda: self.engine.image_id(image))
        except ApiError as error:
            self._problem("image", f"the image {image} could not be looked up: {error.detail}", "")
            return None

    def _environment(self, running: dict[str, str]) -> dict[str, Any]:
        """Compare the container's environment with the files; only names are kept."""
        from_file: dict[str, str] = {}
        for path in self._env_files():
            from_file |= self.context.secrets.env_file(path)
        described = self.described
        wanted = described.environment if described else {}
        if not from_file and not wanted:
            return {}
        passed = described is not None and bool(described.env_files)
        return {
            "environment_compared": len(from_file | wanted),
            "environment_differs": environment_differences(running, wanted, from_file, passed),
        }

    def _env_files(self) -> list[Path]:
        """Return the env files that the container gets: the compose file's, else the stack file's."""
        if self.described is not None and self.compose.path is not None:
            return [self.compose.path.parent / item for item in self.described.env_files]
        env = self.context.service.env
        return [self.context.stack.path(env.file)] if env else []

    def _one_shot(self, instances: list[Instance]) -> bool:
        """Return whether the service is meant to end: others wait for that, or nothing speaks against it."""
        if self.compose.file and self.name in self.compose.file.one_shots:
            return True
        spec = self.context.service
        if _looked_at(spec) or spec.replicas > 1 or self.context.target.service in self._depended_on():
            return False
        return bool(instances) and all(
            item.restart_policy == "no" and not item.health and item.exit_code == 0 and not item.missing_ports
            for item in instances
        )

    def _depended_on(self) -> frozenset[str]:
        """Return the services that others depend on."""
        services = self.context.stack.spec.services.values()
        names = (name for service in services for name in service.depends_on)
        return self.context.shared.once(("depended on",), lambda: frozenset(names))

    def _project(self) -> tuple[str, int, int, int]:
        """Return the first service, how many there are, how many run, how many ended with an error."""
        one_shots = self.compose.file.one_shots if self.compose.file else frozenset()

        def count() -> tuple[str, int, int, int]:
            services = self.context.stack.spec.services
            lasting = {
                name: item.container
                for name, item in services.items()
                if item.container and item.container not in one_shots
            }
            own = {name: self.listing.of_service(self.project, name) for name in lasting.values()}
            alive = [name for name in own if any(item.get("State") == "running" for item in own[name])]
            failed = [name for name in own if any(ended_badly(item.get("Status")) for item in own[name])]
            return speaker(self.context, lasting), len(own), len(alive), len(failed)

        return self.context.shared.once(("docker project", self.project, one_shots), count)

    def _problem(self, part: str, message: str, hint: str) -> None:
        if not any(item.part == part for item in self.problems):
            code = "permission" if "may not" in message else "missing"
            self.problems.append(FactProblem(part=part, code=code, message=message[:300], hint=hint))


def _looked_at(spec: ServiceSpec) -> bool:
    """Return whether the stack file expects the service to answer somebody."""
    return bool(
        spec.postgres
        or spec.redis
        or spec.http
        or spec.tls
        or spec.nginx
        or spec.php
        or spec.telegram
        or spec.pool
    )


def control_group_of(inspected: dict[str, Any]) -> ControlGroup | None:
    """Return the control group of a container that runs on this machine."""
    pid = (inspected.get("State") or {}).get("Pid")
    return control_group(pid, str(inspected.get("Id"))) if isinstance(pid, int) and pid > 0 else None
