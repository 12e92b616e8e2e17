"""Whether it is nginx that answers where nginx should, told by the Server header and by who listens."""

from __future__ import annotations

from typing import TYPE_CHECKING

from opsctl.probes.addresses import is_here
from opsctl.probes.listeners import listeners
from opsctl.probes.stranger import FORWARDERS

if TYPE_CHECKING:
    from opsctl.probes.base import ProbeContext

NAMES = ("nginx", "openresty", "angie", "tengine", "freenginx")
"""nginx and those that are made from it, as they call themselves and as their processes are called."""
EVERYWHERE = ("0.0.0.0", "::")  # noqa: S104 - compared, not bound


def is_nginx(name: str) -> bool:
    """Return whether a Server header or the name of a process is that of an nginx. Pure."""
    return name.lower().startswith(NAMES)


def stranger(server: str, holder: str, master: bool) -> str:
    """Return who answers in nginx's place, empty where it may be nginx itself. Pure.

    An nginx can be built to send another header or none, so the header alone counts only where
    neither its master nor who holds the port is seen.

    Args:
        server: the Server header.
        holder: the process that listens, empty where it may not be seen.
        master: nginx's master is seen to run.
    """
    if is_nginx(server) or is_nginx(holder) or holder.startswith(FORWARDERS):
        return ""
    said = f'"{server}"' if server else "no Server header"
    if holder:
        return f"{holder}, {said}"
    return said if server and not master else ""


def holder_of(context: ProbeContext, host: str, port: int) -> str:
    """Return the name of the process that listens there, as far as it may be seen."""
    if not is_here(host or "127.0.0.1"):
        return ""
    try:
        found = context.shared.once("listeners", listeners)
    except OSError:
        return ""
    here = [item for item in found if item.port == port and item.process]
    here.sort(key=lambda item: (item.address != host, item.address not in EVERYWHERE))
    return here[0].process if here else ""
