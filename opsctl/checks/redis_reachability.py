"""Redis: does it answer, us and everybody?"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from opsctl.checks.base import CheckContext, Limits, NotObserved, check
from opsctl.checks.reachability import CODE, NO_SERVER, not_there
from opsctl.checks.redis_wording import CONFIG_HINT, INFO_HINT, redis_cli
from opsctl.checks.running import log_commands, state_commands
from opsctl.checks.wording import count_text, seconds_text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from opsctl.facts.redis import RedisFacts
    from opsctl.model import Finding

FRESH_SECONDS = 60.0
"""A slow command that ended longer ago than this is over and not reported."""


def _blocked_by_command(facts: RedisFacts) -> bool:
    """Return whether a server that gives no answer is seen to be at work on a command."""
    return facts.process_state == "R" or "nanosleep" in facts.process_waits_in


def _black_hole(facts: RedisFacts) -> bool:
    """Return whether not even the connection was accepted, and no process says why."""
    return facts.accepted is False and not facts.process_state


@check("redis/down", needs="a connection and PING", reachability=True, code=CODE)
def down(facts: RedisFacts, context: CheckContext) -> Iterator[Finding]:
    """Nothing answers where Redis should listen."""
    connection = facts.connection
    said = connection.detail or connection.state
    source = redis_cli(facts, "PING")
    if connection.state == "no-permission":
        raise NotObserved(f"no permission to connect to {facts.address}: {said}", "run as root")
    if connection.state in NO_SERVER or (connection.state == "ok" and not facts.up):
        if connection.state == "ok":
            connection = msgspec.structs.replace(connection, detail="redis_up is 0")
        yield not_there(
            context,
            "Redis",
            facts.address,
            connection,
            source,
            "Start Redis and read why it stopped in its log.",
            [*state_commands(context), *log_commands(context)],
        )
    elif connection.state == "timeout" and _black_hole(facts):
        yield context.critical(
            f"Redis at {facts.address} cannot be reached: connection attempts are not answered",
            code="timeout",
            value="timeout",
            source=source,
            fix="Packets are dropped on the way: a firewall, a wrong address, or a machine that is down.",
            commands=["ss -ltnp", "nft list ruleset | grep -n drop", "ip route"],
        )
    elif facts.up:
        yield context.ok(f"Redis at {facts.address} answers")
    else:
        yield context.ok(f"something listens at {facts.address}: {connection.state}")


@check("redis/hung", needs="a connection, PING, the state of the process", reachability=True)
def hung(facts: RedisFacts, context: CheckContext) -> Iterator[Finding]:
    """Redis accepts the connection and then says nothing: its process is frozen."""
    if facts.connection.state == "timeout" and not _black_hole(facts) and not _blocked_by_command(facts):
        if facts.process_state in ("T", "t"):
            why = f"process {facts.process_id} is stopped (state {facts.process_state})"
            fix = "Something stopped it (a paused container, a debugger, SIGSTOP). Let it go on: SIGCONT."
        elif facts.process_state == "D":
            why = f"process {facts.process_id} waits for a disk (state D)"
            fix = "Look at the disk under its data directory; Redis goes on when the disk does."
        else:
            state = f", state {facts.process_state}" if facts.process_state else ""
            process = f"process {facts.process_id}{state}" if facts.process_id else "its process is not seen"
            why = f"no answer to PING ({process})"
            fix = "Look at the process: stopped, paused, or its clients paused (CLIENT UNPAUSE)."
        pid = str(facts.process_id) if facts.process_id else "$(pgrep -o redis-server)"
        yield context.critical(
            f"Redis at {facts.address} takes connections and does not answer: {why}",
            value=facts.process_state or "timeout",
            source=redis_cli(facts, "PING") + f"; ps -o stat,wchan:20 -p {pid}",
            fix=fix + " Restart it if that does not help: what was not saved is then lost.",
            commands=[f"ps -o pid,stat,wchan:20,etime,comm -p {pid}", *state_commands(context)],
        )
    elif facts.ping_seconds is not None:
        yield context.ok(f"PING took {seconds_text(facts.ping_seconds)}")
    elif facts.connection.state == "timeout":
        yield context.ok("the process is not frozen")
    elif facts.up:
        yield context.ok("the server answers")
    else:
        yield context.ok(f"it did not hang: {facts.connection.state}")


@check("redis/auth-failed", needs="a connection and AUTH", reachability=True)
def auth_failed(facts: RedisFacts, context: CheckContext) -> Iterator[Finding]:
    """Redis refuses the password, or wants one and gets none."""
    if facts.connection.state == "auth-failed":
        yield context.critical(
            f"Redis at {facts.address} refuses the login: {facts.connection.detail}",
            value="auth-failed",
            source=redis_cli(facts, "PING"),
            fix="Make the password of the service and `requirepass` (or the ACL user) the same.",
            commands=["grep -nE '^(requirepass|user|aclfile)' /etc/redis/redis.conf | cut -d' ' -f1"]
            if context.runs.unit
            else [],
        )
    else:
        yield context.ok("the login was accepted" if facts.up else "no login was refused")


@check("redis/loading", needs="INFO persistence", reachability=True)
def loading(facts: RedisFacts, context: CheckContext) -> Iterator[Finding]:
    """Redis has restarted and still reads its data; every command is refused until then."""
    if facts.loading:
        eta = facts.loading_eta_seconds
        left = f", about {seconds_text(eta)} left" if eta is not None and eta > 0 else ""
        age = facts.uptime_seconds
        since = f"; it started {seconds_text(age)} ago" if age is not None else ""
        yield context.critical(
            f"Redis at {facts.address} is loading its data set{left}{since}",
            value=eta,
            unit="seconds",
            source=redis_cli(facts, "INFO persistence"),
            fix="Wait until it is loaded, and find out why it restarted.",
            commands=[redis_cli(facts, "INFO persistence | grep ^loading")],
        )
    elif facts.up:
        yield context.ok("the data set is loaded")
    else:
        yield context.ok("it does not say that it is loading")


@check(
    "redis/clients-exhausted",
    needs="INFO clients",
    limits=Limits(0.8, 1.0, "ratio", source="critical: Redis refuses the next client at maxclients itself"),
    reachability=True,
)
def clients_exhausted(facts: RedisFacts, context: CheckContext) -> Iterator[Finding]:
    """New clients are refused because maxclients is reached."""
    fix = "Find the client that leaks connections; restart it, or raise maxclients."
    port = facts.address.rpartition(":")[2]
    established = f"ss -Htnp state established '%s = :{port}'"
    count = "sort | uniq -c | sort -rn | head"
    commands = [  # redis-cli would be refused as well, the kernel still knows who is connected
        f"{established % 'sport'} | awk '{{print $4}}' | sed 's/:[0-9]*$//' | {count}",
        f"{established % 'dport'} | grep -o 'pid=[0-9]*' | {count}",
    ]
    if facts.connection.state == "clients-exhausted":
        yield context.critical(
            f"Redis at {facts.address} refuses new clients: {facts.connection.detail}",
            value="max number of clients reached",
            source=redis_cli(facts, "PING"),
            fix=fix,
            commands=commands,
        )
        return
    if not facts.up:
        yield context.ok("no client was refused for want of a slot")
        return
    clients = context.need(facts.connected_clients, "connected_clients", INFO_HINT)
    most = context.need(facts.maxclients, "maxclients", CONFIG_HINT)
    yield context.judge(
        clients / max(most, 1),
        f"{clients} of {most} client connections are in use",
        source=redis_cli(facts, "INFO clients"),
        fix=fix,
        commands=commands,
    )


@check(
    "redis/blocked-by-slow-command",
    needs="PING, SLOWLOG GET, the state of the process",
    limits=Limits(
        1, None, "seconds", source="100 times Redis' own slowlog-log-slower-than of 10 ms; PING takes < 1 ms"
    ),
    reachability=True,
)
def blocked_by_slow_command(facts: RedisFacts, context: CheckContext) -> Iterator[Finding]:
    """One command or script keeps Redis busy and everybody else waits."""
    fix = (
        "Find who sends it and give it less to do (SCAN for KEYS, smaller ranges, shorter scripts). "
        "A script that has written nothing can be ended with SCRIPT KILL."
    )
    commands = [
        redis_cli(facts, "SLOWLOG GET 5"),
        redis_cli(facts, "CLIENT LIST | grep -v 'cmd=NULL' | head"),
    ]
    if facts.connection.state == "busy":
        yield context.critical(
            f"Redis at {facts.address} runs a script and turns everybody away: {facts.connection.detail}",
            value="BUSY",
            source=redis_cli(facts, "PING"),
            fix=fix,
            commands=commands,
        )
    elif facts.connection.state == "timeout" and _blocked_by_command(facts):
        doing = "computes" if facts.process_state == "R" else f"waits in {facts.process_waits_in}"
        yield context.critical(
            f"Redis at {facts.address} does not answer PING while process {facts.process_id} {doing}: "
            "one command holds it",
            value=facts.process_state,
            source=f"ps -o stat,wchan:20,time -p {facts.process_id}",
            fix=fix,
            commands=[f"ps -o pid,stat,wchan:20,time,comm -p {facts.process_id}", *commands],
        )
    elif not facts.up:
        yield context.ok("no command is seen to hold it")
    else:
        context.need_part(facts, "SLOWLOG")
        now = facts.server_time if facts.server_time is not None else context.at.timestamp()
        fresh = [entry for entry in facts.slow_commands if now - entry.ended_at <= FRESH_SECONDS]
        if not fresh:
            yield context.ok("no slow command within the last minute")
            return
        longest = max(fresh, key=lambda entry: entry.microseconds)
        seconds = longest.microseconds / 1_000_000
        several = f", {count_text(len(fresh), 'slow command')} in the last minute" if len(fresh) > 1 else ""
        yield context.judge(
            seconds,
            f"{longest.command} held Redis for {seconds_text(seconds)}{several}",
            subject=longest.command if seconds >= (context.limits.warning or 0) else "",
            source=redis_cli(facts, "SLOWLOG GET 5"),
            fix=fix,
            commands=commands,
        )
