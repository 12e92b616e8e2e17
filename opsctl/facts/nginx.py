"""What is known of an nginx: its processes, configuration, status page, upstreams and last log minute.

Metric names follow nginx-prometheus-exporter where it has one.
"""

from __future__ import annotations

from opsctl.facts.base import Annotated, Connection, Facts, Label, Record, counter, gauge
from opsctl.facts.nginx_traffic import NginxTraffic


class Upstream(Record, frozen=True, kw_only=True):
    """One server that the configuration passes requests to; `group` is its upstream block or itself."""

    address: Annotated[str, Label("upstream")]
    group: str = ""
    reachable: Annotated[
        bool | None, gauge("opsctl_nginx_upstream_reachable", "1 if the upstream accepts connections")
    ] = None
    state: str = ""


class LogErrors(Record, frozen=True, kw_only=True):
    """Lines of one class in the error log's last minute.

    `followed_by_success`: a later request to the same place went well, so it is over. The class
    `upstream-gone` holds what workers of an earlier configuration said of servers that are not in the
    present one.
    """

    name: Annotated[str, Label("class")]
    count: Annotated[int, gauge("opsctl_nginx_log_errors", "Lines of that class in the last minute")] = 0
    clients: Annotated[
        int, gauge("opsctl_nginx_log_error_clients", "Clients concerned in the last minute")
    ] = 0
    last_at: Annotated[
        float | None,
        gauge("opsctl_nginx_log_error_last_timestamp_seconds", "Time of the last line", unit="seconds"),
    ] = None
    followed_by_success: bool | None = None
    example: str = ""
    upstreams: list[str] = []


class StaticPath(Record, frozen=True, kw_only=True):
    """A file or folder that the stack file says is served."""

    path: Annotated[str, Label("path")]
    exists: Annotated[bool | None, gauge("opsctl_nginx_static_exists", "1 if it exists")] = None
    readable: Annotated[
        bool | None, gauge("opsctl_nginx_static_readable", "1 if nginx's workers may read it")
    ] = None
    reason: str = ""


class LogFile(Record, frozen=True, kw_only=True):
    """A log that nginx writes; `reason` says why it cannot."""

    path: Annotated[str, Label("path")]
    writable: Annotated[bool | None, gauge("opsctl_nginx_log_writable", "1 if log lines arrive")] = None
    reason: str = ""


class Refusal(Record, frozen=True, kw_only=True):
    """A page of the stack file that nginx itself would not serve, in the words of its error log.

    `status` is the answer that such a line goes with, `file` the file or folder that it names.
    """

    host: Annotated[str, Label("host")] = ""
    path: Annotated[str, Label("path")]
    status: Annotated[str, Label("status")]
    count: Annotated[int, gauge("opsctl_nginx_refusals", "Lines that say so in the last minute")] = 0
    reason: str = ""
    file: str = ""


class NginxFacts(Facts, frozen=True, kw_only=True, tag="nginx"):
    """One nginx at one moment. None is "not read", never zero."""

    up: Annotated[bool, gauge("nginx_up", "1 if nginx answers")] = True
    connection: Connection
    listen: str = ""
    config: str = ""
    master_pid: int | None = None
    workers: Annotated[int | None, gauge("opsctl_nginx_workers", "Worker processes")] = None
    workers_started_at: Annotated[
        float | None,
        gauge("opsctl_nginx_workers_start_timestamp_seconds", "Start of the oldest worker", unit="seconds"),
    ] = None
    config_changed_at: Annotated[
        float | None,
        gauge("opsctl_nginx_config_change_timestamp_seconds", "Last change of any file", unit="seconds"),
    ] = None
    config_changed_file: str = ""
    config_valid: Annotated[
        bool | None, gauge("opsctl_nginx_config_valid", "1 if nginx -t accepts the files")
    ] = None
    config_error: str = ""

    connections_active: Annotated[
        int | None, gauge("nginx_connections_active", "Client connections, idle ones too")
    ] = None
    connections_accepted: Annotated[
        int | None, counter("nginx_connections_accepted", "Client connections accepted")
    ] = None
    connections_handled: Annotated[
        int | None, counter("nginx_connections_handled", "Client connections handled")
    ] = None
    connections_reading: Annotated[
        int | None, gauge("nginx_connections_reading", "Connections whose request is being read")
    ] = None
    connections_writing: Annotated[
        int | None, gauge("nginx_connections_writing", "Connections that are being answered")
    ] = None
    connections_waiting: Annotated[
        int | None, gauge("nginx_connections_waiting", "Idle keep-alive connections")
    ] = None
    requests: Annotated[int | None, counter("nginx_http_requests_total", "Requests")] = None
    connection_limit: Annotated[
        int | None,
        gauge("opsctl_nginx_connection_limit", "worker_processes times worker_connections"),
    ] = None

    upstreams: list[Upstream] = []
    errors: list[LogErrors] = []
    refusals: list[Refusal] = []
    static: list[StaticPath] = []
    logs: list[LogFile] = []

    window_seconds: Annotated[
        float | None,
        gauge("opsctl_nginx_window_seconds", "Span of the access log that was counted", unit="seconds"),
    ] = None
    window_requests: Annotated[
        int | None, gauge("opsctl_nginx_window_requests", "Requests in that span, opsctl's own left out")
    ] = None
    window_errors: Annotated[
        int | None, gauge("opsctl_nginx_window_errors", "Requests of the window that were answered with 5xx")
    ] = None
    window_limited: Annotated[
        int | None,
        gauge("opsctl_nginx_window_limited", "Requests of the window that a rate limit turned away"),
    ] = None
    window_clients: Annotated[
        int | None, gauge("opsctl_nginx_window_clients", "Client addresses in that span")
    ] = None
    newest_errors: Annotated[
        int | None, gauge("opsctl_nginx_newest_errors", "5xx among the ten newest requests")
    ] = None
    worst_path: str = ""
    traffic: NginxTraffic | None = None

    cache_path: str = ""
    cache_filesystem_used: Annotated[
        float | None,
        gauge("opsctl_nginx_cache_filesystem_used_ratio", "Used part of the cache's file system"),
    ] = None
    cache_filesystem_free: Annotated[
        int | None,
        gauge("opsctl_nginx_cache_filesystem_free_bytes", "Free for the cache", unit="bytes"),
    ] = None

    def log_errors(self, name: str) -> LogErrors | None:
        """Return the last minute's lines of a class, None where there were none."""
        return next((item for item in self.errors if item.name == name), None)
