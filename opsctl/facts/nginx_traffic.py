"""What an nginx's access logs have brought since they have been followed; the exporter's alone."""

from __future__ import annotations

from opsctl.facts.base import Annotated, Label, Record, counter, gauge, histogram

DURATION = "opsctl_nginx_http_request_duration_seconds"
UPSTREAM_DURATION = "opsctl_nginx_http_upstream_duration_seconds"
_DURATION_HELP = "Time from the first byte of a request to the last of its answer"
_UPSTREAM_HELP = "Time that upstreams took to answer"


class NginxRequests(Record, frozen=True, kw_only=True):
    """Requests of one route, upstream, method and status; no upstream where nginx answered by itself."""

    upstream: Annotated[str, Label("upstream", optional=True)] = ""
    route: Annotated[str, Label("route")]
    method: Annotated[str, Label("method")]
    status: Annotated[str, Label("status")]
    count: Annotated[int, counter("opsctl_nginx_http_requests_total", "Requests in the access log")] = 0


class NginxRoute(Record, frozen=True, kw_only=True):
    """Bytes and times of one route's requests by upstream; times only where the log format has them."""

    upstream: Annotated[str, Label("upstream", optional=True)] = ""
    route: Annotated[str, Label("route")]
    bytes: Annotated[
        int, counter("opsctl_nginx_http_response_bytes_total", "Bytes of the answers", unit="bytes")
    ] = 0
    buckets: Annotated[dict[str, int] | None, histogram(DURATION, _DURATION_HELP, "seconds")] = None
    sum: Annotated[float | None, histogram(DURATION, _DURATION_HELP, "seconds", "sum")] = None
    count: Annotated[int | None, histogram(DURATION, _DURATION_HELP, "seconds", "count")] = None


class NginxUpstreamTime(Record, frozen=True, kw_only=True):
    """How long one upstream took; of several that were tried for one request, the last."""

    upstream: Annotated[str, Label("upstream")]
    buckets: Annotated[dict[str, int], histogram(UPSTREAM_DURATION, _UPSTREAM_HELP, "seconds")] = {}
    sum: Annotated[float, histogram(UPSTREAM_DURATION, _UPSTREAM_HELP, "seconds", "sum")] = 0.0
    count: Annotated[int, histogram(UPSTREAM_DURATION, _UPSTREAM_HELP, "seconds", "count")] = 0


class NginxTraffic(Record, frozen=True, kw_only=True):
    """What the access logs have brought."""

    lines: Annotated[int, counter("opsctl_nginx_access_log_lines_total", "Lines of the access logs")] = 0
    unparsed: Annotated[
        int,
        counter(
            "opsctl_nginx_access_log_unparsed_lines_total",
            "Lines of the access log that are not of its format",
        ),
    ] = 0
    unread: Annotated[
        int | None,
        gauge("opsctl_nginx_access_log_unread_bytes", "Bytes that are still to be read", unit="bytes"),
    ] = None
    read_at: Annotated[
        float | None,
        gauge(
            "opsctl_nginx_access_log_followed_timestamp_seconds",
            "When new lines were looked for",
            unit="seconds",
        ),
    ] = None
    requests: list[NginxRequests] = []
    routes: list[NginxRoute] = []
    upstreams: list[NginxUpstreamTime] = []
