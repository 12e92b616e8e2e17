"""Do the running containers match the compose file and the env files?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from opsctl.checks.base import CheckContext, Limits, check
from opsctl.checks.container_common import compose_options
from opsctl.checks.wording import bytes_text, count_text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from opsctl.facts.container import ContainerFacts
    from opsctl.model import Finding


def _normal(image: str) -> str:
    """Return an image name with its default registry and tag taken for granted."""
    for prefix in ("docker.io/library/", "docker.io/", "library/"):
        image = image.removeprefix(prefix)
    last = image.rpartition("/")[2]
    return image if ":" in last or "@" in last else f"{image}:latest"


@check("container/image-drift", needs="docker image inspect, the compose file", role="risk")
def image_drift(facts: ContainerFacts, context: CheckContext) -> Iterator[Finding]:
    """The container runs another image than the compose file names today."""
    for instance in facts.instances:
        wanted, wanted_id = instance.wanted_image, instance.wanted_image_id
        if wanted_id is None and (not wanted or _normal(wanted) == _normal(instance.image)):
            if facts.problem("image"):
                context.need_part(facts, "image")
            yield context.ok(f"{instance.name} runs the image it was made from", subject=instance.name)
        elif wanted_id == instance.image_id:
            yield context.ok(f"{instance.name} runs {wanted}", subject=instance.name)
        else:
            newer = f"{wanted} is now {_short(wanted_id)}" if wanted_id else f"the file names {wanted}"
            yield context.warning(
                f"{instance.name} runs {instance.image} as {_short(instance.image_id)}; {newer}",
                subject=instance.name,
                value=_short(instance.image_id),
                threshold=_short(wanted_id) if wanted_id else wanted,
                source=f"docker inspect -f '{{{{.Image}}}}' {instance.name}; docker image inspect -f "
                f"'{{{{.Id}}}}' {wanted}",
                fix="An image was built or pulled and the container was not created anew, or the compose "
                "file was "
                "changed without `up`. Create the service anew when a short break is acceptable.",
                commands=[f"docker compose {compose_options(facts)}up -d --no-deps {facts.service}"],
            )


def _short(identity: str | None) -> str:
    return (identity or "").removeprefix("sha256:")[:12]


@check("container/network-detached", needs="docker inspect: NetworkSettings, the compose file")
def network_detached(facts: ContainerFacts, context: CheckContext) -> Iterator[Finding]:
    """The container is not on a network it should be on: others cannot find it, nor it them."""
    for instance in facts.instances:
        if instance.state != "running":
            continue
        if not instance.missing_networks:
            names = ", ".join(instance.networks) or "none of its own"
            yield context.ok(f"{instance.name} is on its networks: {names}"[:200], subject=instance.name)
            continue
        lost = ", ".join(instance.missing_networks)
        yield context.critical(
            f"{instance.name} is not on the network {lost}"[:300],
            subject=instance.name,
            value=", ".join(instance.networks) or "none",
            threshold=lost,
            source=f"docker inspect -f '{{{{json .NetworkSettings.Networks}}}}' {instance.name}",
            fix="Connect it again with its service name as alias, or create the service anew.",
            commands=[
                f"docker network connect --alias {facts.service} {name} {instance.name}"
                for name in instance.missing_networks
            ],
        )


@check("container/port-unpublished", needs="docker inspect: NetworkSettings.Ports, the compose file")
def port_unpublished(facts: ContainerFacts, context: CheckContext) -> Iterator[Finding]:
    """A port that the compose file publishes is not published: nobody outside can connect."""
    for instance in facts.instances:
        if instance.state != "running":
            continue
        if not instance.missing_ports:
            published = ", ".join(instance.ports) or "none wanted"
            yield context.ok(f"{instance.name}: published ports: {published}"[:200], subject=instance.name)
            continue
        lost = ", ".join(instance.missing_ports)
        yield context.critical(
            f"{instance.name} does not publish {lost}"[:300],
            subject=instance.name,
            value=", ".join(instance.ports) or "none",
            threshold=lost,
            source=f"docker port {instance.name}",
            fix="The container was made from an older or another compose file, or without the file that adds "
            "the ports. "
            "Create the service anew from all its files.",
            commands=[
                f"docker compose {compose_options(facts)}up -d --no-deps {facts.service}",
                f"docker port {instance.name}",
            ],
        )


@check(
    "container/log-unbounded",
    needs="LogConfig and the size of the json-file log",
    limits=Limits(
        1024**3, None, "bytes", source="a log of 1 GiB without rotation will go on to fill the disk"
    ),
    permission="root, for the size of the file",
    role="risk",
)
def log_unbounded(facts: ContainerFacts, context: CheckContext) -> Iterator[Finding]:
    """The container's log grows without rotation and is already large."""
    for instance in facts.instances:
        if instance.log_driver != "json-file" or instance.log_max_size not in ("", "-1"):
            kept = f" with max-size {instance.log_max_size}" if instance.log_max_size else ""
            yield context.ok(f"{instance.name} logs to {instance.log_driver}{kept}", subject=instance.name)
            continue
        if instance.log_bytes is None and instance.started_at is None:
            yield context.ok(f"{instance.name} has not logged anything yet", subject=instance.name)
            continue
        context.need_part(facts, "log-file")
        size = context.need(
            instance.log_bytes, "the size of the log", "run as root on the machine of the engine"
        )
        yield context.judge(
            size,
            f"the log of {instance.name} has {bytes_text(size)} and is never rotated",
            subject=instance.name,
            source=f"stat -c %s $(docker inspect -f '{{{{.LogPath}}}}' {instance.name})",
            fix="Set max-size and max-file for the service (or for all in /etc/docker/daemon.json) and "
            "create it anew: "
            "that also drops the old file. Do not delete the file by hand: the engine keeps it open.",
            commands=[f"docker inspect -f '{{{{json .HostConfig.LogConfig}}}}' {instance.name}"],
        )


@check("container/environment-drift", needs="docker inspect: Config.Env, the env files", role="risk")
def environment_drift(facts: ContainerFacts, context: CheckContext) -> Iterator[Finding]:
    """The container runs with other settings than its env file and compose file say now."""
    for instance in facts.instances:
        if instance.environment_compared is None:
            yield context.ok(f"no env file is named for {instance.name}", subject=instance.name)
            continue
        names = instance.environment_differs
        if not names:
            compared = count_text(instance.environment_compared, "variable")
            yield context.ok(f"{instance.name}: {compared} as in the files", subject=instance.name)
            continue
        yield context.warning(
            f"{instance.name} runs with other values than the files for {', '.join(names)}"[:300],
            subject=instance.name,
            value=len(names),
            threshold=0,
            unit="variables",
            source=f"docker inspect -f '{{{{json .Config.Env}}}}' {instance.name}",
            fix="The files were changed after the container was made; a restart does not read them again. "
            "Create the "
            "service anew when the new values are right.",
            commands=[f"docker compose {compose_options(facts)}up -d --no-deps {facts.service}"],
        )
