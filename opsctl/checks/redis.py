"""Redis: is it there, does it accept writes, does it keep its data."""

from __future__ import annotations

from typing import TYPE_CHECKING

from opsctl.checks.base import CheckContext, Limits, check
from opsctl.checks.wording import bytes_text, seconds_text
from opsctl.model import Status

if TYPE_CHECKING:
    from collections.abc import Iterator

    from opsctl.facts.redis import RedisFacts
    from opsctl.model import Finding

PING = "redis-cli PING"


@check("redis/down", needs="a connection and PING", reachability=True)
def down(facts: RedisFacts, context: CheckContext) -> Iterator[Finding]:
    """Nothing answers where Redis should listen."""
    connection = facts.connection
    if connection.state in (
        "refused",
        "missing",
        "unreachable",
        "name-unresolved",
        "closed",
        "protocol",
        "tls",
    ):
        yield context.critical(
            f"Redis at {facts.address} does not answer: {connection.detail or connection.state}",
            value=connection.state,
            source=PING,
            fix="Start Redis and read why it stopped in its log.",
            commands=["systemctl status redis-server", "docker compose ps redis"],
        )
    elif connection.state == "no-permission":
        yield context.finding(
            Status.UNKNOWN, f"no permission to connect: {connection.detail}", hint="run as root"
        )
    else:
        yield context.ok(f"Redis at {facts.address} accepts connections")


@check("redis/hung", needs="a connection and PING", reachability=True)
def hung(facts: RedisFacts, context: CheckContext) -> Iterator[Finding]:
    """Redis accepts the connection and then says nothing."""
    if facts.connection.state == "timeout":
        yield context.critical(
            f"Redis at {facts.address} did not answer in time",
            value="timeout",
            source=PING,
            fix="A frozen process, a command that blocks everyone, or a network that drops packets. Look at its "
            "CPU use, then restart it.",
            commands=["ps -C redis-server -o pid,stat,wchan:20,time,args", "ss -ltnp 'sport = :6379'"],
        )
    elif facts.ping_seconds is not None:
        yield context.ok(f"PING took {seconds_text(facts.ping_seconds)}")
    else:
        yield context.ok(f"the server answered: {facts.connection.state}")


@check("redis/auth-failed", needs="a connection and AUTH", reachability=True)
def auth_failed(facts: RedisFacts, context: CheckContext) -> Iterator[Finding]:
    """Redis refuses the password."""
    if facts.connection.state == "auth-failed":
        yield context.critical(
            f"Redis at {facts.address} refuses the login: {facts.connection.detail}",
            value="auth-failed",
            source="redis-cli AUTH",
            fix="Make the password in the service's environment and `requirepass` (or the ACL user) the same.",
            commands=["grep -n '^requirepass\\|^user' /etc/redis/redis.conf | sed 's/ .*/ (set)/'"],
        )
    else:
        yield context.ok("the login was accepted")


@check("redis/loading", needs="INFO persistence", reachability=True)
def loading(facts: RedisFacts, context: CheckContext) -> Iterator[Finding]:
    """Redis has restarted and still reads its data; every command is refused until then."""
    if facts.loading:
        eta = facts.loading_eta_seconds
        left = f", about {seconds_text(eta)} left" if eta is not None else ""
        yield context.critical(
            f"Redis at {facts.address} is loading its data set{left}",
            value=eta,
            unit="seconds",
            source="INFO persistence: loading",
            fix="Wait until it is loaded; find out why it restarted.",
            commands=["redis-cli INFO persistence | grep loading"],
        )
    else:
        yield context.ok("the data set is loaded")


@check("redis/clients-exhausted", needs="INFO clients", limits=Limits(0.8, 0.95, "ratio"), reachability=True)
def clients_exhausted(facts: RedisFacts, context: CheckContext) -> Iterator[Finding]:
    """New clients are refused because maxclients is reached."""
    fix = "Find the client that leaks connections; close them or raise maxclients."
    commands = ["redis-cli CLIENT LIST | awk '{print $2}' | cut -d: -f1 | sort | uniq -c | sort -rn | head"]
    if facts.connection.state == "clients-exhausted":
        yield context.critical(
            f"Redis at {facts.address} refuses new clients: {facts.connection.detail}",
            value="max number of clients reached",
            source="connect",
            fix=fix,
            commands=commands,
        )
        return
    if not facts.up:
        yield context.ok("no client was refused for want of a slot")
        return
    clients = context.need(facts.connected_clients, "connected_clients", "let the user run INFO")
    most = context.need(facts.maxclients, "maxclients", "let the user run CONFIG GET maxclients")
    yield context.judge(
        clients / max(most, 1),
        f"{clients} of {most} client connections are in use",
        source="INFO clients, CONFIG GET maxclients",
        fix=fix,
        commands=commands,
    )


@check("redis/memory-full", needs="INFO memory, maxmemory-policy", limits=Limits(0.9, 0.99, "ratio"))
def memory_full(facts: RedisFacts, context: CheckContext) -> Iterator[Finding]:
    """Writes are refused because maxmemory is reached and the policy is noeviction."""
    used = context.need(facts.used_memory, "used_memory", "let the user run INFO")
    limit = context.need(facts.maxmemory, "maxmemory", "let the user run INFO")
    if limit == 0:
        yield context.ok(f"{bytes_text(used)} used, no maxmemory")
        return
    if facts.maxmemory_policy != "noeviction":
        yield context.ok(
            f"{bytes_text(used)} of {bytes_text(limit)}; the policy {facts.maxmemory_policy} makes room"
        )
        return
    yield context.judge(
        used / limit,
        f"{bytes_text(used)} of {bytes_text(limit)} used with noeviction: writes are refused when it is full",
        source="INFO memory",
        fix="Raise maxmemory, choose an eviction policy if this is a cache, or delete what is not needed.",
        commands=["redis-cli INFO memory | grep -E 'used_memory_human|maxmemory'", "redis-cli --bigkeys"],
    )
