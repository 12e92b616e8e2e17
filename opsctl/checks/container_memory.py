"""Memory and CPU of a service's containers: killed, near the limit, held back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from opsctl.checks.base import CheckContext, Limits, NotObserved, check
from opsctl.checks.container_common import WINDOW_SECONDS, age, looping, loss_status
from opsctl.checks.container_exit import ENDED
from opsctl.checks.wording import bytes_text, count_text, percent_text, seconds_text
from opsctl.model import Status

if TYPE_CHECKING:
    from collections.abc import Iterator

    from opsctl.facts.container import ContainerFacts, Instance
    from opsctl.model import Finding


@check(
    "container/oom-killed",
    needs="State.OOMKilled, the cgroup's oom_kill, the kernel's log",
    reachability=True,
)
def oom_killed(facts: ContainerFacts, context: CheckContext) -> Iterator[Finding]:
    """The kernel killed a process of the container for want of memory.

    Docker's flag and the group's counter say so too where the whole machine had none left; only
    the kernel's record of the container's own group proves that its limit was reached.
    """
    if not facts.instances:
        yield context.ok("no container of the service has reached a memory limit")
    for instance in facts.instances:
        yield _memory_kill(instance, facts, context)


def _memory_kill(instance: Instance, facts: ContainerFacts, context: CheckContext) -> Finding:
    own = instance.oom_at is not None and instance.oom_record.startswith("dmesg")
    size = f" of {bytes_text(instance.memory_limit)}" if instance.memory_limit else ""
    why = f"because it reached its limit{size}" if own else "for want of memory"
    since = age(context, instance.oom_at)
    current = since is not None and since <= WINDOW_SECONDS
    victim = instance.oom_process or "a process"
    ended = instance.state in (*ENDED, "restarting")
    by_engine = bool(instance.oom_killed) and ended
    if by_engine or (current and ended):
        return _killed(
            instance,
            context,
            loss_status(facts),
            f"{instance.name} was killed {why}",
        )
    started = instance.started_at
    before_start = (
        current and started is not None and instance.oom_at is not None and instance.oom_at < started
    )
    if before_start and instance.restart_count:
        loop = looping(instance, context)
        return _killed(
            instance,
            context,
            Status.CRITICAL if loop and facts.running == 1 else Status.WARNING,
            f"{instance.name} was killed {why} {seconds_text(since or 0)} ago and restarted "
            f"({count_text(instance.restart_count, 'restart')})",
        )
    kills = instance.oom_kills or 0
    up = age(context, started)
    if current and not before_start:
        words = f"{victim} in {instance.name} was killed {why} {seconds_text(since or 0)} ago"
        return _killed(instance, context, Status.WARNING, f"{words}; its main process lives on")
    if kills and up is not None and up <= WINDOW_SECONDS:
        many = count_text(kills, "process", "processes")
        words = f"{many} in {instance.name} killed {why} within {seconds_text(up)}"
        return _killed(instance, context, Status.WARNING, words)
    if kills and not instance.oom_record:
        raise NotObserved(
            f"{count_text(kills, 'process', 'processes')} in {instance.name} killed for memory since its "
            f"start; "
            "when is not known",
            "run as root to read the kernel's log",
        )
    told = f"{kills} earlier, none in the last 10 min" if kills else "none"
    return context.ok(f"{instance.name}: kills for want of memory: {told}", subject=instance.name)


def _killed(instance: Instance, context: CheckContext, status: Status, summary: str) -> Finding:
    return context.finding(
        status,
        summary,
        subject=instance.name,
        value=instance.oom_kills if instance.oom_kills is not None else "OOMKilled",
        threshold=instance.memory_limit or None,
        unit="kills" if instance.oom_kills is not None else "",
        source=instance.oom_record or f"docker inspect -f '{{{{.State.OOMKilled}}}}' {instance.name}",
        fix="Find what grows (a leak, a large query, too many workers), or raise the limit if the need is "
        "honest. "
        "After that create the container anew.",
        commands=[
            "dmesg -T | grep -i oom-kill | tail -n 5",
            f"docker stats --no-stream {instance.name}",
            f"docker inspect -f '{{{{.HostConfig.Memory}}}}' {instance.name}",
        ],
    )


@check(
    "container/memory-near-limit",
    needs="the cgroup's memory usage and limit",
    limits=Limits(
        0.9, 0.98, "ratio", source="working set: usage less the page cache that can be dropped at once"
    ),
)
def memory_near_limit(facts: ContainerFacts, context: CheckContext) -> Iterator[Finding]:
    """The container has nearly used up its memory limit; the kernel will kill it next."""
    for instance in facts.instances:
        if instance.state != "running":
            continue
        if instance.memory_limit == 0:
            yield context.ok(f"{instance.name} has no memory limit", subject=instance.name)
            continue
        context.need_part(facts, "memory")
        limit = context.need(instance.memory_limit, "the memory limit")
        used = instance.memory_working_set
        if used is None:
            used = context.need(instance.memory_usage, "the memory usage", "run on the machine of the engine")
        yield context.judge(
            used / limit,
            f"{instance.name} uses {bytes_text(used)} of its {bytes_text(limit)} "
            f"({percent_text(used / limit)})",
            subject=instance.name,
            source=f"docker stats --no-stream {instance.name}",
            fix="Find what grows before the kernel kills it: a leak, a cache without bound, too many "
            "workers. Raise the "
            "limit if the need is honest; restarting gains time only.",
            commands=[
                f"docker stats --no-stream {instance.name}",
                f"docker top {instance.name} -o pid,rss,args",
            ],
        )


@check(
    "container/cpu-throttled",
    needs="the cgroup's cpu.stat, twice, a second apart",
    limits=Limits(
        0.5, None, "ratio", source="half of the 100 ms periods of one second spent waiting for CPU"
    ),
)
def cpu_throttled(facts: ContainerFacts, context: CheckContext) -> Iterator[Finding]:
    """The container is held back by its CPU limit, so everything in it is slow."""
    for instance in facts.instances:
        if instance.state != "running":
            continue
        if instance.cpu_limit == 0:
            yield context.ok(f"{instance.name} has no CPU limit", subject=instance.name)
            continue
        ratio = context.need(
            instance.cpu_throttled_ratio, "the throttled periods", "run on the machine of the engine"
        )
        yield context.judge(
            ratio,
            f"{instance.name} had to wait in {percent_text(ratio)} of its scheduling periods "
            f"(limit {instance.cpu_limit or 0:g} cores)",
            subject=instance.name,
            source="cpu.stat of the container's cgroup, twice",
            fix="See what it computes; raise its CPU limit if the work is honest and the machine has cores "
            "to spare.",
            commands=[
                f"docker top {instance.name} -o pid,pcpu,args",
                f"docker stats --no-stream {instance.name}",
            ],
        )
