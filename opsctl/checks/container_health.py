"""What the containers' own health checks say, and whether that is still true."""

from __future__ import annotations

from typing import TYPE_CHECKING

from opsctl.checks.base import CheckContext, NotObserved, check
from opsctl.checks.container_common import age
from opsctl.checks.container_exit import last_words
from opsctl.checks.wording import count_text, seconds_text
from opsctl.model import Status

if TYPE_CHECKING:
    from collections.abc import Iterator

    from opsctl.facts.container import ContainerFacts, Instance
    from opsctl.model import Finding


def health_age(instance: Instance, context: CheckContext) -> float | None:
    """Return how old an `unhealthy` is, where it is older than the checks allow; else None."""
    if instance.state != "running" or instance.health != "unhealthy":
        return None
    old, every = age(context, instance.health_checked_at), instance.health_every_seconds
    if old is None or every is None:
        return None
    before_start = instance.started_at is not None and (instance.health_checked_at or 0) < instance.started_at
    return old if before_start or old > max(3 * every, 5.0) else None


@check("container/unhealthy", needs="docker inspect: State.Health", role="symptom")
def unhealthy(facts: ContainerFacts, context: CheckContext) -> Iterator[Finding]:
    """The container runs, but its own health check fails."""
    for instance in facts.instances:
        if instance.state != "running":
            continue
        if not instance.health:
            yield context.ok(f"{instance.name} has no health check", subject=instance.name)
        elif instance.health != "unhealthy":
            yield context.ok(f"{instance.name} is {instance.health}", subject=instance.name)
        elif health_age(instance, context) is not None:
            raise NotObserved(
                f"the `unhealthy` of {instance.name} is out of date", "see container/stale-unhealthy"
            )
        else:
            streak = instance.failing_streak or 0
            said = f": {instance.health_output}" if instance.health_output else ""
            others = sum(
                1 for item in facts.instances if item.state == "running" and item.health != "unhealthy"
            )
            yield context.finding(
                Status.WARNING if others else Status.CRITICAL,
                f"{instance.name} is unhealthy, {count_text(streak, 'check')} failed in a row{said}"[:400],
                subject=instance.name,
                value=streak,
                unit="failed checks",
                source=f"docker inspect -f '{{{{json .State.Health}}}}' {instance.name}",
                evidence=last_words(instance),
                fix="Run the health check by hand and read what it says; restarting the container only hides "
                "the "
                "reason. Docker itself does nothing about an unhealthy container.",
                commands=[
                    f"docker inspect -f '{{{{json .Config.Healthcheck.Test}}}}' {instance.name}",
                    f"docker logs --tail 50 {instance.name}",
                ],
            )


@check("container/stale-unhealthy", needs="docker inspect: State.Health.Log")
def stale_unhealthy(facts: ContainerFacts, context: CheckContext) -> Iterator[Finding]:
    """The container is called unhealthy by a health check that no longer runs."""
    for instance in facts.instances:
        if instance.state != "running" or not instance.health:
            continue
        old = health_age(instance, context)
        if old is None:
            checked = age(context, instance.health_checked_at)
            words = f"checked {seconds_text(checked)} ago" if checked is not None else "not checked yet"
            yield context.ok(f"{instance.name}: {instance.health}, {words}", subject=instance.name)
            continue
        every = instance.health_every_seconds or 0
        yield context.warning(
            f"{instance.name} is called unhealthy by a check {seconds_text(old)} ago; none has run since "
            f"(one is due every {seconds_text(every)})",
            subject=instance.name,
            value=round(old, 1),
            threshold=round(3 * every, 1),
            unit="seconds",
            source=f"docker inspect -f '{{{{json .State.Health}}}}' {instance.name}",
            fix="Do not trust the status: ask the application itself. Usually the engine was restarted "
            "under living "
            "containers (live-restore) and does not take up their checks again; restarting the container "
            "does.",
            commands=[
                f"docker inspect -f '{{{{json .State.Health.Log}}}}' {instance.name}",
                "docker info -f '{{.LiveRestoreEnabled}}'",
                "ps -C dockerd -o pid,lstart,args",
            ],
        )
