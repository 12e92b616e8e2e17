"""Redis: its role, its replicas, its queues, and who can reach it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from opsctl.checks.base import CheckContext, Limits, NotObserved, check
from opsctl.checks.redis_wording import CONFIG_HINT, INFO_HINT, redis_cli
from opsctl.checks.wording import seconds_text
from opsctl.model import Status

if TYPE_CHECKING:
    from collections.abc import Iterator

    from opsctl.facts.redis import RedisFacts
    from opsctl.model import Finding


@check("redis/read-only", needs="INFO replication, CONFIG GET min-replicas-to-write")
def read_only(facts: RedisFacts, context: CheckContext) -> Iterator[Finding]:
    """Redis refuses writes: it is a replica, or has fewer replicas than it insists on."""
    if not facts.role:
        raise NotObserved("role could not be read", INFO_HINT)
    if facts.role == "slave":
        if facts.expected_replica:
            yield context.ok("a replica, as the stack file says")
            return
        if facts.refuses_writes_as_replica is False:
            yield context.ok("a replica that takes writes (replica-read-only no)")
            return
        master = f" of {facts.master_address}" if facts.master_address else ""
        yield context.critical(
            f"Redis at {facts.address} is a replica{master} and refuses writes (READONLY)",
            value="slave",
            threshold="master",
            source=redis_cli(facts, "INFO replication") + ": role",
            fix="Point the service at the master; or, if the master is lost and this copy is good, promote "
            "this one with REPLICAOF NO ONE. Where it is meant to be a replica, say `replica: true`.",
            commands=[redis_cli(facts, "INFO replication | grep -E '^(role|master_)'")],
        )
        return
    context.need_part(facts, "INFO")
    if facts.good_replicas is None:  # INFO counts them only where min-replicas-to-write is set
        yield context.ok("a master that needs no replica for writes")
        return
    good = facts.good_replicas
    wanted = context.need(facts.min_replicas_to_write, "min-replicas-to-write", CONFIG_HINT)
    if good < wanted:
        yield context.critical(
            f"{good} of the {wanted} replicas are there without which Redis refuses writes (NOREPLICAS)",
            value=good,
            threshold=wanted,
            unit="replicas",
            source=redis_cli(facts, "INFO replication") + ": min_slaves_good_slaves",
            fix="Bring the replicas back. A lower min-replicas-to-write lets writes through, less safely.",
            commands=[
                redis_cli(facts, "INFO replication | grep -E '^(connected_slaves|min_slaves|slave[0-9])'")
            ],
        )
    else:
        yield context.ok(f"a master with {good} good replicas, {wanted} needed for writes")


@check(
    "redis/replication-broken",
    needs="INFO replication",
    limits=Limits(
        10,
        60,
        "seconds",
        source="a link that comes back takes repl-diskless-sync-delay (5 s); repl-timeout is 60 s",
    ),
)
def replication_broken(facts: RedisFacts, context: CheckContext) -> Iterator[Finding]:
    """A replica has lost its master, or a master its replicas."""
    if not facts.role:
        raise NotObserved("role could not be read", INFO_HINT)
    source = redis_cli(facts, "INFO replication")
    if facts.role == "slave":
        linked = context.need(facts.master_link_up, "master_link_status", INFO_HINT)
        if linked:
            yield context.ok(f"connected to its master {facts.master_address}")
        elif facts.master_sync_in_progress:
            yield context.ok(f"fetching the data set from {facts.master_address}")
        else:
            seconds = facts.master_link_down_seconds or 0
            yield context.judge(
                seconds,
                f"the link to the master {facts.master_address} is down for {seconds_text(seconds)}",
                source=source + ": master_link_status",
                fix="Look at the master: is it up, reachable from here, and is masterauth its password? "
                "Until then this copy grows stale.",
                commands=[redis_cli(facts, "INFO replication | grep ^master_")],
            )
        return
    if facts.expected_replicas == 0:
        yield context.ok("a master; no replica is expected")
        return
    connected = context.need(facts.connected_replicas, "connected_slaves", INFO_HINT)
    if connected < facts.expected_replicas:
        yield context.finding(
            Status.CRITICAL if connected == 0 else Status.WARNING,
            f"{connected} of {facts.expected_replicas} replicas are connected",
            value=connected,
            threshold=facts.expected_replicas,
            unit="replicas",
            source=source + ": connected_slaves",
            fix="Look at the missing replica: is it up, does it reach this master, is its masterauth right?",
            commands=[redis_cli(facts, "INFO replication | grep slave")],
        )
    else:
        yield context.ok(f"{connected} of {facts.expected_replicas} replicas are connected")


def _trend(growth: float | None) -> str:
    """Return whether a queue grows or shrinks, as far as a second of watching tells."""
    if growth is None:
        return ""
    if growth == 0:
        return ", and neither grows nor shrinks"
    return f", and {'grows' if growth > 0 else 'shrinks'} by {abs(growth):.3g} a second"


def _workers_fix(growth: float | None) -> str:
    if growth is not None and growth < 0:
        return "The workers catch up: see whether it goes on falling; if it often comes back, start more."
    return "Look at the workers: are they up, do they fail and put tasks back, are there enough?"


@check(
    "redis/queue-growing",
    needs="LLEN/XLEN of the queues in the stack file",
    limits=Limits(1, 10, "ratio", source="the length that the stack file gives for the queue"),
    role="symptom",
)
def queue_growing(facts: RedisFacts, context: CheckContext) -> Iterator[Finding]:
    """More tasks wait in a queue than the stack file calls normal."""
    if not facts.queues:
        yield context.ok("the stack file names no queue")
    for queue in facts.queues:
        if queue.length is None:
            problem = facts.problem(f"queue {queue.name}")
            reason = problem.message if problem else f"the length of {queue.name} could not be read"
            yield context.finding(
                Status.UNKNOWN, reason, subject=queue.name, hint=problem.hint if problem else ""
            )
            continue
        growth = queue.growth_per_second
        yield context.judge(
            queue.length / max(queue.limit, 1),
            f"{queue.name} holds {queue.length} entries, too many from {queue.limit} on{_trend(growth)}",
            subject=queue.name,
            source=redis_cli(facts, f"{queue.command} {queue.name}"),
            fix=_workers_fix(growth),
            commands=[redis_cli(facts, f"{queue.command} {queue.name}"), redis_cli(facts, "INFO clients")],
        )


@check("redis/exposed", needs="/proc/net/tcp, CONFIG GET bind protected-mode", role="risk")
def exposed(facts: RedisFacts, context: CheckContext) -> Iterator[Finding]:
    """Strangers can reach Redis."""
    if facts.may_be_exposed:
        yield context.ok("the stack file says that it may be reached from outside")
        return
    if facts.listens_beyond_loopback is None:
        raise NotObserved(
            f"where {facts.address} can be reached from is not seen from here",
            "ss -ltn on the machine it runs on",
        )
    if not facts.listens_beyond_loopback:
        yield context.ok("listens on loopback only")
        return
    where = ", ".join(facts.listens_on) or "every address"
    if not facts.needs_password and facts.protected_mode:
        yield context.ok(f"listens on {where}, and protected mode turns other machines away")
        return
    open_to_all = facts.needs_password is False and facts.protected_mode is False
    rest = (
        "without a password: whoever reaches it owns this machine"
        if open_to_all
        else "behind a password only"
    )
    yield context.finding(
        Status.CRITICAL if open_to_all else Status.WARNING,
        f"Redis listens on {where} {rest}",
        value=where,
        source="ss -ltn; " + redis_cli(facts, "CONFIG GET protected-mode"),
        fix="Bind it to loopback or the private network (`bind 127.0.0.1`; in Compose `127.0.0.1:6379:6379` "
        "or no `ports:` at all), set a password, and close the port. Docker goes around ufw.",
        commands=["ss -ltnp | grep redis", redis_cli(facts, "CONFIG GET bind")],
    )
