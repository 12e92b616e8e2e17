"""The machine's network: devices, protocols, sockets, and the queues of packets.

Names follow node_exporter.
"""

from __future__ import annotations

from opsctl.facts.base import Annotated, Label, Metric, Record, counter, gauge, untyped


def _traffic(name: str, help: str) -> Metric:
    return counter(f"node_network_{name}_total", help, unit="bytes" if name.endswith("_bytes") else "")


def _protocol(name: str, help: str) -> Metric:
    return untyped(f"node_netstat_{name}", help)


def _sockets(name: str, help: str) -> Metric:
    return gauge(f"node_sockstat_{name}", help, unit="bytes" if name.endswith("_bytes") else "")


class NetworkDevice(Record, frozen=True, kw_only=True):
    """One network device: what went through it (/proc/net/dev) and its state (/sys/class/net)."""

    device: Annotated[str, Label("device")]
    received_bytes: Annotated[int | None, _traffic("receive_bytes", "Bytes received")] = None
    received_packets: Annotated[int | None, _traffic("receive_packets", "Packets received")] = None
    receive_errors: Annotated[int | None, _traffic("receive_errs", "Packets received broken")] = None
    receive_drops: Annotated[int | None, _traffic("receive_drop", "Packets received and dropped")] = None
    receive_fifo: Annotated[
        int | None, _traffic("receive_fifo", "Packets lost to a full buffer of the device")
    ] = None
    receive_frame: Annotated[int | None, _traffic("receive_frame", "Packets received with a wrong frame")] = (
        None
    )
    receive_compressed: Annotated[
        int | None, _traffic("receive_compressed", "Compressed packets received")
    ] = None
    receive_multicast: Annotated[int | None, _traffic("receive_multicast", "Multicast packets received")] = (
        None
    )
    receive_no_handler: Annotated[
        int | None, _traffic("receive_nohandler", "Packets received that nobody wanted")
    ] = None
    transmitted_bytes: Annotated[int | None, _traffic("transmit_bytes", "Bytes sent")] = None
    transmitted_packets: Annotated[int | None, _traffic("transmit_packets", "Packets sent")] = None
    transmit_errors: Annotated[int | None, _traffic("transmit_errs", "Packets that could not be sent")] = None
    transmit_drops: Annotated[int | None, _traffic("transmit_drop", "Packets dropped instead of sent")] = None
    transmit_fifo: Annotated[
        int | None, _traffic("transmit_fifo", "Packets not sent for a full buffer of the device")
    ] = None
    transmit_collisions: Annotated[int | None, _traffic("transmit_colls", "Collisions while sending")] = None
    transmit_carrier: Annotated[
        int | None, _traffic("transmit_carrier", "Packets not sent for want of a carrier")
    ] = None
    transmit_compressed: Annotated[int | None, _traffic("transmit_compressed", "Compressed packets sent")] = (
        None
    )
    up: Annotated[bool | None, gauge("node_network_up", "1 if its state is up")] = None
    carrier: Annotated[int | None, gauge("node_network_carrier", "1 if the link is there")] = None
    mtu_bytes: Annotated[int | None, gauge("node_network_mtu_bytes", "Largest packet", unit="bytes")] = None
    speed_bytes: Annotated[
        int | None, gauge("node_network_speed_bytes", "Speed of the link a second", unit="bytes")
    ] = None


class NetworkProtocols(Record, frozen=True, kw_only=True):
    """Counters of /proc/net/netstat, snmp and snmp6: those that node_exporter shows by default."""

    icmp_in_messages: Annotated[int | None, _protocol("Icmp_InMsgs", "ICMP messages received")] = None
    icmp_in_errors: Annotated[int | None, _protocol("Icmp_InErrors", "ICMP messages received broken")] = None
    icmp_out_messages: Annotated[int | None, _protocol("Icmp_OutMsgs", "ICMP messages sent")] = None
    icmp6_in_messages: Annotated[int | None, _protocol("Icmp6_InMsgs", "ICMPv6 messages received")] = None
    icmp6_in_errors: Annotated[int | None, _protocol("Icmp6_InErrors", "ICMPv6 messages received broken")] = (
        None
    )
    icmp6_out_messages: Annotated[int | None, _protocol("Icmp6_OutMsgs", "ICMPv6 messages sent")] = None
    ip_forwarding: Annotated[
        int | None, _protocol("Ip_Forwarding", "1 if the machine forwards packets, 2 if not")
    ] = None
    ip_in_octets: Annotated[int | None, _protocol("IpExt_InOctets", "Bytes received over IPv4")] = None
    ip_out_octets: Annotated[int | None, _protocol("IpExt_OutOctets", "Bytes sent over IPv4")] = None
    ip6_in_octets: Annotated[int | None, _protocol("Ip6_InOctets", "Bytes received over IPv6")] = None
    ip6_out_octets: Annotated[int | None, _protocol("Ip6_OutOctets", "Bytes sent over IPv6")] = None
    listen_drops: Annotated[
        int | None, _protocol("TcpExt_ListenDrops", "Connections dropped before a program accepted them")
    ] = None
    listen_overflows: Annotated[
        int | None,
        _protocol("TcpExt_ListenOverflows", "Connections dropped because a program's queue was full"),
    ] = None
    syn_cookies_failed: Annotated[
        int | None, _protocol("TcpExt_SyncookiesFailed", "Wrong SYN cookies received")
    ] = None
    syn_cookies_received: Annotated[
        int | None, _protocol("TcpExt_SyncookiesRecv", "SYN cookies received")
    ] = None
    syn_cookies_sent: Annotated[int | None, _protocol("TcpExt_SyncookiesSent", "SYN cookies sent")] = None
    tcp_out_of_order: Annotated[
        int | None, _protocol("TcpExt_TCPOFOQueue", "Segments that came out of order and were kept")
    ] = None
    tcp_receive_queue_drops: Annotated[
        int | None, _protocol("TcpExt_TCPRcvQDrop", "Segments dropped for a full receive queue")
    ] = None
    tcp_syn_retransmitted: Annotated[
        int | None, _protocol("TcpExt_TCPSynRetrans", "SYN and SYN-ACK segments sent again")
    ] = None
    tcp_timeouts: Annotated[int | None, _protocol("TcpExt_TCPTimeouts", "Timeouts of TCP")] = None
    tcp_active_opens: Annotated[int | None, _protocol("Tcp_ActiveOpens", "Connections opened from here")] = (
        None
    )
    tcp_passive_opens: Annotated[
        int | None, _protocol("Tcp_PassiveOpens", "Connections opened from elsewhere")
    ] = None
    tcp_established: Annotated[int | None, _protocol("Tcp_CurrEstab", "Connections that are open now")] = None
    tcp_in_errors: Annotated[int | None, _protocol("Tcp_InErrs", "Segments received broken")] = None
    tcp_in_segments: Annotated[int | None, _protocol("Tcp_InSegs", "Segments received")] = None
    tcp_out_segments: Annotated[int | None, _protocol("Tcp_OutSegs", "Segments sent")] = None
    tcp_out_resets: Annotated[int | None, _protocol("Tcp_OutRsts", "Resets sent")] = None
    tcp_retransmitted: Annotated[int | None, _protocol("Tcp_RetransSegs", "Segments sent again")] = None
    udp_in_datagrams: Annotated[int | None, _protocol("Udp_InDatagrams", "Datagrams received")] = None
    udp_out_datagrams: Annotated[int | None, _protocol("Udp_OutDatagrams", "Datagrams sent")] = None
    udp_in_errors: Annotated[
        int | None, _protocol("Udp_InErrors", "Datagrams received broken or dropped")
    ] = None
    udp_no_ports: Annotated[
        int | None, _protocol("Udp_NoPorts", "Datagrams to a port where nobody listens")
    ] = None
    udp_receive_buffer_errors: Annotated[
        int | None, _protocol("Udp_RcvbufErrors", "Datagrams dropped for a full receive buffer")
    ] = None
    udp_send_buffer_errors: Annotated[
        int | None, _protocol("Udp_SndbufErrors", "Datagrams dropped for a full send buffer")
    ] = None
    udp_lite_in_errors: Annotated[
        int | None, _protocol("UdpLite_InErrors", "UDP-Lite datagrams received broken")
    ] = None
    udp6_in_datagrams: Annotated[
        int | None, _protocol("Udp6_InDatagrams", "Datagrams received over IPv6")
    ] = None
    udp6_out_datagrams: Annotated[int | None, _protocol("Udp6_OutDatagrams", "Datagrams sent over IPv6")] = (
        None
    )
    udp6_in_errors: Annotated[
        int | None, _protocol("Udp6_InErrors", "Datagrams received broken or dropped over IPv6")
    ] = None
    udp6_no_ports: Annotated[
        int | None, _protocol("Udp6_NoPorts", "Datagrams to a port where nobody listens over IPv6")
    ] = None
    udp6_receive_buffer_errors: Annotated[
        int | None, _protocol("Udp6_RcvbufErrors", "Datagrams dropped for a full receive buffer over IPv6")
    ] = None
    udp6_send_buffer_errors: Annotated[
        int | None, _protocol("Udp6_SndbufErrors", "Datagrams dropped for a full send buffer over IPv6")
    ] = None
    udp_lite6_in_errors: Annotated[
        int | None, _protocol("UdpLite6_InErrors", "UDP-Lite datagrams received broken over IPv6")
    ] = None


class Sockets(Record, frozen=True, kw_only=True):
    """Sockets in use (/proc/net/sockstat, sockstat6)."""

    used: Annotated[int | None, _sockets("sockets_used", "Sockets of every kind")] = None
    tcp_in_use: Annotated[int | None, _sockets("TCP_inuse", "TCP sockets over IPv4 in use")] = None
    tcp6_in_use: Annotated[int | None, _sockets("TCP6_inuse", "TCP sockets over IPv6 in use")] = None
    tcp_allocated: Annotated[int | None, _sockets("TCP_alloc", "TCP sockets allocated")] = None
    tcp_orphaned: Annotated[int | None, _sockets("TCP_orphan", "TCP sockets that no process holds")] = None
    tcp_time_wait: Annotated[int | None, _sockets("TCP_tw", "TCP sockets in TIME-WAIT")] = None
    tcp_memory_pages: Annotated[int | None, _sockets("TCP_mem", "Pages that TCP buffers take")] = None
    tcp_memory_bytes: Annotated[int | None, _sockets("TCP_mem_bytes", "Memory that TCP buffers take")] = None
    udp_in_use: Annotated[int | None, _sockets("UDP_inuse", "UDP sockets over IPv4 in use")] = None
    udp6_in_use: Annotated[int | None, _sockets("UDP6_inuse", "UDP sockets over IPv6 in use")] = None
    udp_memory_pages: Annotated[int | None, _sockets("UDP_mem", "Pages that UDP buffers take")] = None
    udp_memory_bytes: Annotated[int | None, _sockets("UDP_mem_bytes", "Memory that UDP buffers take")] = None
    udp_lite_in_use: Annotated[int | None, _sockets("UDPLITE_inuse", "UDP-Lite sockets over IPv4 in use")] = (
        None
    )
    udp_lite6_in_use: Annotated[
        int | None, _sockets("UDPLITE6_inuse", "UDP-Lite sockets over IPv6 in use")
    ] = None
    raw_in_use: Annotated[int | None, _sockets("RAW_inuse", "Raw sockets over IPv4 in use")] = None
    raw6_in_use: Annotated[int | None, _sockets("RAW6_inuse", "Raw sockets over IPv6 in use")] = None
    fragments_in_use: Annotated[int | None, _sockets("FRAG_inuse", "IPv4 packets being put together")] = None
    fragments6_in_use: Annotated[int | None, _sockets("FRAG6_inuse", "IPv6 packets being put together")] = (
        None
    )
    fragments_memory: Annotated[
        int | None, _sockets("FRAG_memory", "Memory of IPv4 packets being put together")
    ] = None
    fragments6_memory: Annotated[
        int | None, _sockets("FRAG6_memory", "Memory of IPv6 packets being put together")
    ] = None


class PacketQueue(Record, frozen=True, kw_only=True):
    """What one core did with packets received (/proc/net/softnet_stat)."""

    cpu: Annotated[str, Label("cpu")]
    processed: Annotated[int | None, counter("node_softnet_processed_total", "Packets processed")] = None
    dropped: Annotated[
        int | None, counter("node_softnet_dropped_total", "Packets dropped because its queue was full")
    ] = None
    squeezed: Annotated[
        int | None,
        counter("node_softnet_times_squeezed_total", "How often it had no time left for more packets"),
    ] = None
    collisions: Annotated[
        int | None, counter("node_softnet_cpu_collision_total", "Collisions with another core while sending")
    ] = None
    woken: Annotated[
        int | None, counter("node_softnet_received_rps_total", "How often another core woke it for packets")
    ] = None
    flow_limited: Annotated[
        int | None, counter("node_softnet_flow_limit_count_total", "Packets dropped at the limit of a flow")
    ] = None
    backlog: Annotated[int | None, gauge("node_softnet_backlog_len", "Packets waiting")] = None


class UdpQueues(Record, frozen=True, kw_only=True):
    """Bytes waiting in the queues of all UDP sockets, by version of IP."""

    ip: Annotated[str, Label("ip")]
    waiting: Annotated[
        dict[str, int], gauge("node_udp_queues", "Waiting to be sent (tx) or read (rx)", "bytes", key="queue")
    ] = {}
