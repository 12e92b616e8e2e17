"""Do the service's containers run?"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from opsctl.checks.base import CheckContext, Limits, check
from opsctl.checks.container_common import CRASHES, compose_options, ends, looping, loss_status, maybe_looping
from opsctl.checks.container_exit import ENDED, STOPPED, ending, last_words
from opsctl.checks.wording import count_text
from opsctl.model import HOST_SERVICE, Status

if TYPE_CHECKING:
    from collections.abc import Iterator

    from opsctl.facts.container import ContainerFacts
    from opsctl.model import Finding


@check("container/all-down", needs="the list of containers", reachability=True)
def all_down(facts: ContainerFacts, context: CheckContext) -> Iterator[Finding]:
    """Not one container of the Compose project runs."""
    services = context.need(facts.project_services, "the number of services")
    running = context.need(facts.project_services_running, "the number of running services")
    if not facts.speaks_for_project or services < 2 or running:
        yield context.ok(f"{running} of {count_text(services, 'service')} of {facts.project} run")
        return
    failed = facts.project_services_failed or 0
    words = f"all {services} services of the Compose project {facts.project} are down"
    found = context.finding(
        Status.WARNING if failed else Status.CRITICAL,  # one that failed by itself is the better lead
        f"{words}; {count_text(failed, 'service')} ended with an error" if failed else words,
        value=0,
        threshold=services,
        unit="services",
        source=f"docker ps -a --filter label=com.docker.compose.project={facts.project}",
        fix="Somebody took the project down, or the engine was restarted and the containers have no restart "
        "policy. Find out which, then start the project.",
        commands=[
            f"docker ps -a --filter label=com.docker.compose.project={facts.project}",
            "journalctl -u docker --since -1h --no-pager | tail -n 30",
            f"docker compose -p {facts.project} start",
        ],
    )
    yield msgspec.structs.replace(found, target=HOST_SERVICE)


@check("container/missing", needs="the list of containers", reachability=True)
def missing(facts: ContainerFacts, context: CheckContext) -> Iterator[Finding]:
    """The Compose service has no container at all: it was never created, or was removed."""
    if facts.instances:
        yield context.ok(f"{facts.service} has {count_text(len(facts.instances), 'container')}")
        return
    yield context.critical(
        f"the Compose service {facts.service} has no container in project {facts.project}",
        value=0,
        threshold=facts.wanted,
        unit="containers",
        source=f"docker compose -p {facts.project} ps -a {facts.service}",
        fix="Create it. If it should not exist any more, take it out of the stack file.",
        commands=[
            f"docker compose -p {facts.project} ps -a",
            f"docker compose {compose_options(facts)}up -d --no-deps {facts.service}",
        ],
    )


@check(
    "container/exited",
    needs="docker inspect: State",
    reachability=True,
    code="error where it gave up by itself, stopped where somebody ended it",
)
def exited(facts: ContainerFacts, context: CheckContext) -> Iterator[Finding]:
    """A container of the service has stopped and nothing starts it again."""
    if not facts.instances:
        yield context.ok("no container of the service has stopped")
    for instance in facts.instances:
        if instance.state not in ENDED:
            yield context.ok(f"{instance.name} has not exited: {instance.state}", subject=instance.name)
        elif facts.one_shot and instance.state == "exited" and instance.exit_code == 0:
            yield context.ok(f"{instance.name} ended with 0, as it is meant to", subject=instance.name)
        else:
            yield context.finding(
                loss_status(facts),
                f"{instance.name} {ending(instance, context.at)}",
                subject=instance.name,
                code="stopped" if instance.exit_code in STOPPED else "error",
                value=instance.exit_code,
                source=f"docker inspect -f '{{{{json .State}}}}' {instance.name}",
                evidence=last_words(instance),
                fix="Read its last lines, put right what they name, then start it again.",
                commands=[f"docker logs --tail 50 {instance.name}", f"docker start {instance.name}"],
            )


@check("container/restarting", needs="docker inspect: State, RestartCount", reachability=True)
def restarting(facts: ContainerFacts, context: CheckContext) -> Iterator[Finding]:
    """A container crashes in a loop: its restart policy starts it and it ends again."""
    if not facts.instances:
        yield context.ok("no container of the service is being restarted")
    for instance in facts.instances:
        words = looping(instance, context)
        if maybe_looping(instance, context):
            yield context.finding(
                Status.UNKNOWN,
                f"{instance.name} has only just started, and whether it did so repeatedly is not known",
                subject=instance.name,
                hint="docker events --since 10m --until 0s --filter event=die",
            )
            continue
        if not words:
            count = count_text(instance.restart_count or 0, "restart")
            words = f"{instance.name}: {count} in its lifetime, not in a loop"
            yield context.ok(words, subject=instance.name)
            continue
        others = sum(1 for item in facts.instances if item.state == "running" and item.name != instance.name)
        yield context.finding(
            Status.WARNING if others else Status.CRITICAL,
            f"{instance.name} {words}",
            subject=instance.name,
            value=len(ends(instance, context)) or None,
            threshold=CRASHES,
            unit="ends in 10 min",
            source=f"docker inspect -f '{{{{.RestartCount}}}} {{{{json .State}}}}' {instance.name}",
            evidence=last_words(instance),
            fix="Restarting it once more will not help: read why it ends. A wrong DATABASE_URL, a missing "
            "variable or "
            "a dependency that is not up are the usual reasons.",
            commands=[
                f"docker logs --tail 50 {instance.name}",
                f"docker inspect -f '{{{{json .State}}}}' {instance.name}",
            ],
        )


@check("container/paused", needs="docker inspect: State", reachability=True)
def paused(facts: ContainerFacts, context: CheckContext) -> Iterator[Finding]:
    """A container is paused: its processes are frozen and answer nobody."""
    frozen = [instance for instance in facts.instances if instance.state == "paused"]
    if not frozen:
        yield context.ok("no container of the service is paused")
    for instance in frozen:
        yield context.finding(
            loss_status(facts),
            f"{instance.name} is paused: it accepts connections and never answers",
            subject=instance.name,
            value="paused",
            source=f"docker inspect -f '{{{{.State.Status}}}}' {instance.name}",
            fix="Somebody or a backup script paused it; let it go on.",
            commands=[f"docker unpause {instance.name}"],
        )


@check("container/replicas-short", needs="the list of containers", limits=Limits(warning=0))
def replicas_short(facts: ContainerFacts, context: CheckContext) -> Iterator[Finding]:
    """Fewer containers of the service run than the stack asks for."""
    wanted = context.need(facts.wanted, "the number of replicas")
    running = context.need(facts.running, "the number of running containers")
    if facts.one_shot or running >= wanted:
        yield context.ok(f"{running} of {wanted} run")
        return
    yield context.finding(
        Status.WARNING,
        f"{running} of {count_text(wanted, 'replica')} of {facts.service} run",
        value=running,
        threshold=wanted,
        unit="replicas",
        source=f"docker compose -p {facts.project} ps {facts.service}",
        fix="Find out why the others ended, then scale the service to its number again.",
        commands=[
            f"docker compose -p {facts.project} ps -a {facts.service}",
            f"docker compose {compose_options(facts)}up -d --no-recreate --scale {facts.service}={wanted} "
            f"{facts.service}",
        ],
    )
