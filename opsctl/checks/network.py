"""The machine's network: ports that are open and should not be, the other way round, names, firewall."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from opsctl.checks.base import CheckContext, NotObserved, check
from opsctl.checks.wording import count_text, seconds_text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from opsctl.facts.network import NetworkFacts
    from opsctl.model import Finding


@check("network/port-exposed", needs="/proc/net/tcp and the ports that containers publish", role="risk")
def port_exposed(facts: NetworkFacts, context: CheckContext) -> Iterator[Finding]:
    """A port that must stay closed can be reached from other machines."""
    context.need_part(facts, "sockets")
    ports = [port for port in facts.ports if port.wanted == "closed"]
    for port in ports:
        exposed = context.need(port.exposed, f"who listens on port {port.port}")
        if not exposed:
            where = "listens on loopback only" if port.listening else "is not listened on"
            yield context.ok(f"port {port.port} {where}", subject=port.port)
            continue
        by = f" by {port.holder}" if port.holder else ""
        found = context.warning(
            f"port {port.port} is listened on beyond loopback ({', '.join(port.addresses) or 'any'}){by}",
            subject=port.port,
            value=", ".join(port.addresses) or "any",
            threshold="loopback only",
            source=f"ss -ltnp 'sport = :{port.port}'",
            fix="Bind it to 127.0.0.1: `listen_addresses` (PostgreSQL), `bind` (Redis), or "
            f'"127.0.0.1:{port.port}:…" under `ports:` in the compose file. A published container port '
            "goes round ufw.",
            commands=[f"ss -ltnp 'sport = :{port.port}'", "docker ps --format '{{.Names}} {{.Ports}}'"],
        )
        # of the service whose port it is: that service's own setting may be the reason
        yield msgspec.structs.replace(found, target=port.service or found.target)
    if not ports:
        yield context.ok("the stack file names no closed port")


@check("network/port-closed", needs="/proc/net/tcp and the ports that containers publish", role="symptom")
def port_closed(facts: NetworkFacts, context: CheckContext) -> Iterator[Finding]:
    """Nothing listens on a port that must be open."""
    context.need_part(facts, "sockets")
    ports = [port for port in facts.ports if port.wanted == "open"]
    for port in ports:
        if context.need(port.listening, f"who listens on port {port.port}"):
            by = f" by {port.holder}" if port.holder else ""
            yield context.ok(f"port {port.port} is listened on{by}", subject=port.port)
            continue
        found = context.warning(  # the service's own checks say more, and are the ones to be critical
            f"nothing listens on port {port.port}",
            subject=port.port,
            value="not listening",
            threshold="listening",
            source=f"ss -ltn 'sport = :{port.port}'",
            fix="Start what should listen there, or look at the address and port in its configuration.",
            commands=["ss -ltnp", "systemctl --failed", "docker compose ps"],
        )
        yield msgspec.structs.replace(found, target=port.service or found.target)
    if not ports:
        yield context.ok("the stack file names no open port")


@check(
    "network/port-conflict",
    needs="the last words of services that do not run, and who holds their ports",
    permission="root, to name the process that holds the port",
)
def port_conflict(facts: NetworkFacts, context: CheckContext) -> Iterator[Finding]:
    """A service cannot start because another process holds its port."""
    context.need_part(facts, "sockets")
    for conflict in facts.conflicts:
        if not conflict.present:
            continue
        found = context.critical(
            f"{conflict.service} cannot take port {conflict.port}: {conflict.holder or 'another process'} "
            "holds it",
            subject=f"{conflict.service}:{conflict.port}",
            value=conflict.said,
            source=conflict.source,
            fix="Stop the process that does not belong there, or give one of the two another port; then "
            "start the service again.",
            commands=[f"ss -ltnp 'sport = :{conflict.port}'"],
        )
        # of that service, not of the machine: it explains nobody else's trouble
        yield msgspec.structs.replace(found, target=conflict.service)
    if not any(conflict.present for conflict in facts.conflicts):
        yield context.ok("no service complains of a port that is taken")


@check("network/name-unresolved", needs="the machine's resolver")
def name_unresolved(facts: NetworkFacts, context: CheckContext) -> Iterator[Finding]:
    """A host name that the stack needs does not resolve on this machine."""
    for name in facts.names:
        took = seconds_text(name.seconds) if name.seconds is not None else "time not known"
        if context.need(name.resolves, f"the address of {name.name}"):
            addresses = ", ".join(name.addresses[:3]) or "an address"
            yield context.ok(f"{name.name} is {addresses} ({took})", subject=name.name)
            continue
        yield context.critical(
            f"{name.name} does not resolve: {name.error or 'no address'}",
            subject=name.name,
            value=name.error or "no address",
            source=f"getent ahosts {name.name}",
            fix="Ask the resolver directly; if it is silent, repair or replace it in /etc/resolv.conf; if it "
            "answers that the name does not exist, repair the DNS record.",
            commands=[f"getent ahosts {name.name}", "cat /etc/resolv.conf", "resolvectl status"],
        )
    if not facts.names:
        yield context.ok("the stack file names no host name")


@check(
    "network/firewall-inactive",
    needs="nft list ruleset, iptables -S INPUT",
    permission="root",
    role="risk",
)
def firewall_inactive(facts: NetworkFacts, context: CheckContext) -> Iterator[Finding]:
    """The stack file asks for a firewall and nothing filters incoming packets."""
    if not facts.firewall_expected:
        yield context.ok("the stack file asks for no firewall")
        return
    context.need_part(facts, "firewall")
    if facts.firewall_active is None:
        raise NotObserved("the firewall's rules could not be read", "run as root")
    if facts.firewall_active:
        yield context.ok(f"incoming packets are filtered ({facts.firewall_detail})")
        return
    sockets = facts.listening_sockets
    seen = f"; {count_text(sockets, 'socket')} listening" if sockets is not None else ""
    yield context.warning(
        f"no firewall: {facts.firewall_detail or 'nothing filters incoming packets'}{seen}",
        value="inactive",
        threshold="active",
        source="nft list ruleset; iptables -S INPUT",
        fix="Allow SSH first (ufw allow 22/tcp), then what must be public, then `ufw enable`. Enabling it "
        "without the SSH rule locks you out.",
        commands=["ufw status verbose", "nft list ruleset", "ss -ltn"],
    )
