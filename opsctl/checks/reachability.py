"""Servers that are not there: what PostgreSQL and Redis have in common."""

from __future__ import annotations

from shlex import quote
from typing import TYPE_CHECKING

from opsctl.checks.base import NotObserved

if TYPE_CHECKING:
    from collections.abc import Iterable

    from opsctl.checks.base import CheckContext
    from opsctl.facts.base import Connection
    from opsctl.model import Finding

NO_SERVER = ("refused", "missing", "unreachable", "name-unresolved", "closed", "protocol", "tls")
"""States of a connection that say that the server does not answer as itself."""
CODE = "the connection's state: refused, name-unresolved, protocol (something else answers), …"


def not_there(
    context: CheckContext,
    product: str,
    address: str,
    connection: Connection,
    source: str,
    fix: str,
    commands: Iterable[str],
) -> Finding:
    """Return the finding of a server that does not answer; a wrong name or stranger has its own fix.

    Args:
        context: of the check.
        product: as people write it.
        address: host and port, or the socket.
        connection: how it ended.
        source: the command that shows it.
        fix: where nothing else answers there.
        commands: to go with `fix`.

    Raises:
        NotObserved: there is always a way to the machine itself; only a rule can close it.
    """
    host, _, port = address.rpartition(":")
    if connection.state == "unreachable" and _is_loopback(host):
        raise NotObserved(
            f"{connection.detail or 'no route'}: a firewall rule keeps this user from {address}, which says "
            f"nothing of {product}",
            "run as the service's own user, or look at `iptables -S OUTPUT` and `nft list ruleset`",
        )
    if connection.state == "name-unresolved":
        fix = (
            f"The name is the fault, not {product}: repair the record or the resolver (/etc/resolv.conf), "
            "or correct the host in the stack file."
        )
        commands = [f"getent ahosts {quote(host)}", "cat /etc/resolv.conf"]
    elif connection.state == "protocol" and port.isdecimal():
        fix = (
            f"Another program holds the port of {product}: stop it or give it another one and start "
            f"{product}, or correct the address."
        )
        commands = [f"ss -ltnp 'sport = :{port}'"]
    return context.critical(
        f"{product} at {address} does not answer: {connection.detail or connection.state}",
        code=connection.state,
        value=connection.state,
        source=source,
        fix=fix,
        commands=commands,
    )


def _is_loopback(host: str) -> bool:
    return host in ("localhost", "::1", "[::1]") or host.startswith("127.")
