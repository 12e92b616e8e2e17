"""What is known of the machine's network: named ports and who holds them, names, the firewall."""

from __future__ import annotations

from opsctl.facts.base import Annotated, Facts, Label, Record, gauge


class NamedPort(Record, frozen=True, kw_only=True):
    """A port that the stack file names as open or closed."""

    port: Annotated[str, Label("port")]
    wanted: Annotated[str, Label("wanted")]  # open | closed
    listening: Annotated[
        bool | None, gauge("opsctl_network_port_listening", "1 if something listens on the port")
    ] = None
    exposed: Annotated[
        bool | None,
        gauge("opsctl_network_port_exposed", "1 if the port is listened on beyond loopback"),
    ] = None
    addresses: list[str] = []
    holder: str = ""
    service: str = ""
    """The one service of the stack file whose port it is; empty where none or several name it."""


class HostName(Record, frozen=True, kw_only=True):
    """A host name that must resolve."""

    name: Annotated[str, Label("name")]
    resolves: Annotated[bool | None, gauge("opsctl_network_name_resolves", "1 if the name resolves")] = None
    seconds: Annotated[
        float | None,
        gauge("opsctl_network_name_lookup_seconds", "Time of the last lookup", unit="seconds"),
    ] = None
    addresses: list[str] = []
    error: str = ""


class PortConflict(Record, frozen=True, kw_only=True):
    """A service that could not take its port because another process holds it."""

    service: Annotated[str, Label("service")]
    port: Annotated[str, Label("port")]
    present: Annotated[
        bool, gauge("opsctl_network_port_conflict", "1 while a service cannot take its port")
    ] = True
    holder: str = ""
    said: str = ""
    source: str = ""


class NetworkFacts(Facts, frozen=True, kw_only=True, tag="network"):
    """The machine's network at one moment. None is "not read", never zero."""

    listening_sockets: Annotated[
        int | None, gauge("opsctl_network_listening_sockets", "Listening TCP sockets")
    ] = None
    ports: list[NamedPort] = []
    names: list[HostName] = []
    conflicts: list[PortConflict] = []
    firewall_expected: bool = False
    firewall_active: Annotated[
        bool | None, gauge("opsctl_network_firewall_active", "1 if something filters incoming packets")
    ] = None
    firewall_detail: str = ""
