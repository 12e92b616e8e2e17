"""The Docker engine: does it answer, and may we ask it."""

from __future__ import annotations

from shlex import quote
from typing import TYPE_CHECKING

from opsctl.checks.base import CheckContext, NotObserved, check
from opsctl.checks.wording import seconds_text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from opsctl.facts.docker import DockerFacts
    from opsctl.model import Finding

PING = "docker version"


_ENDED = {
    "missing": "there is no socket",
    "refused": "it refused the connection at once",
    "no-permission": "the connection was forbidden at once",
}


def _socket_commands(facts: DockerFacts) -> list[str]:
    path = facts.endpoint.removeprefix("unix://")
    return [f"ls -l {quote(path)}"] if path.startswith("/") else []


@check("docker/daemon-down", needs="the engine's socket", reachability=True)
def daemon_down(facts: DockerFacts, context: CheckContext) -> Iterator[Finding]:
    """The Docker engine does not run: no container can be reached or managed."""
    state, detail = facts.connection.state, facts.connection.detail
    if state == "no-permission":
        raise NotObserved(f"no permission to use {facts.endpoint}", "run as root or as a member of its group")
    if facts.up or state in ("timeout", "http"):
        yield context.ok(
            f"the engine at {facts.endpoint} accepts connections"
            + (f" ({count} containers run)" if (count := (facts.containers or {}).get("running")) else "")
        )
        return
    yield context.critical(
        f"the Docker engine does not answer at {facts.endpoint}: {detail or state}",
        value=state,
        source=PING,
        fix="Start the engine and read why it stopped. Without live-restore all containers stopped with it; "
        "those with a restart policy come back by themselves.",
        commands=[
            "systemctl status docker.service",
            "journalctl -u docker.service -n 50 --no-pager",
            "pgrep -a dockerd",
            *_socket_commands(facts),
            "docker context ls",
        ],
    )


@check("docker/daemon-hung", needs="an answer to /_ping", reachability=True)
def daemon_hung(facts: DockerFacts, context: CheckContext) -> Iterator[Finding]:
    """The Docker engine accepts the connection and then says nothing."""
    state = facts.connection.state
    if state in ("timeout", "http"):
        words = "says nothing" if state == "timeout" else f"answers with an error: {facts.connection.detail}"
        yield context.critical(
            f"the Docker engine at {facts.endpoint} accepts connections and {words}",
            value=state,
            source="curl -m 3 --unix-socket /var/run/docker.sock http://docker/_ping",
            fix="Running containers go on, but none can be managed. Look whether dockerd is stopped, waits "
            "for a "
            "disk or for containerd; restart it when it does not recover (without live-restore that stops "
            "every "
            "container).",
            commands=[
                "ps -C dockerd,containerd -o pid,stat,wchan:20,time,args",
                "journalctl -u docker -n 50 --no-pager",
            ],
        )
    elif facts.ping_seconds is not None:
        yield context.ok(f"the engine answered a ping in {seconds_text(facts.ping_seconds)}")
    else:
        yield context.ok(f"the engine does not hang: {_ENDED.get(state, f'the connection ended: {state}')}")


@check("docker/no-permission", needs="the right to use the engine's socket", role="risk", reachability=True)
def no_permission(facts: DockerFacts, context: CheckContext) -> Iterator[Finding]:
    """The Docker socket may not be used by opsctl, so nothing is known of the containers."""
    if facts.connection.state == "no-permission":
        yield context.warning(
            f"no permission to use {facts.endpoint}: {facts.connection.detail}",
            value="no-permission",
            source=PING,
            fix="Run opsctl as root or as a member of the group that owns the socket. Membership in that "
            "group is "
            "as good as root: give it to operators only.",
            commands=["id -nG", "stat -c '%U:%G %a %n' /var/run/docker.sock"],
        )
    else:
        yield context.ok(f"no right was refused at {facts.endpoint}")
