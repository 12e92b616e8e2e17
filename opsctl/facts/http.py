"""What is known of a page or an API endpoint: how it answered, how fast, and what the body says.

Metric names follow blackbox_exporter where it has one.
"""

from __future__ import annotations

from opsctl.facts.base import Annotated, Connection, Facts, Info, Label, Record, gauge
from opsctl.facts.http_details import HttpDetails


class Dependency(Record, frozen=True, kw_only=True):
    """Something that the health body says is not well; `state` is the body's own word for it."""

    name: Annotated[str, Label("dependency")]
    state: str = ""
    bad: Annotated[bool, gauge("opsctl_http_dependency_bad", "1 if the health body calls it bad")] = True


class ExpectedMetric(Record, frozen=True, kw_only=True):
    """A metric that the stack file wants on the page."""

    name: Annotated[str, Label("metric")]
    present: Annotated[bool | None, gauge("opsctl_http_metric_present", "1 if the page holds the metric")] = (
        None
    )


class HttpFacts(Facts, frozen=True, kw_only=True, tag="http"):
    """One URL at one moment. `up` says that HTTP was answered, whatever the status code."""

    up: Annotated[bool, gauge("opsctl_http_up", "1 if an HTTP answer came, whatever its status")] = True
    connection: Connection
    success: Annotated[bool | None, gauge("probe_success", "1 if it answered as it should")] = None
    """Status and body were as the stack file wants them."""
    url: str = ""
    method: str = "GET"
    phase: str = ""
    expected_status: list[int] = []
    max_seconds: Annotated[
        float, gauge("opsctl_http_max_seconds", "Slower than this is a finding", unit="seconds")
    ] = 1.0

    status_code: Annotated[int | None, gauge("probe_http_status_code", "Status code of the answer")] = None
    server: Annotated[str, Info("opsctl_http_server_info", "server", "The answer's Server header")] = ""
    duration_seconds: Annotated[
        float | None,
        gauge(
            "probe_duration_seconds",
            "Time of the whole probe; of a page to its end, the better of two tries",
            unit="seconds",
        ),
    ] = None
    first_try_seconds: Annotated[
        float | None,
        gauge("opsctl_http_first_try_seconds", "Time of the first try, where it was slow", unit="seconds"),
    ] = None
    phases: Annotated[
        dict[str, float],
        gauge(
            "probe_http_duration_seconds",
            "Time by phase: resolve, connect, tls, processing, transfer",
            unit="seconds",
            key="phase",
        ),
    ] = {}
    content_length: Annotated[
        int | None, gauge("probe_http_content_length", "Content-Length of the answer", unit="bytes")
    ] = None
    body_length: Annotated[
        int | None,
        gauge("probe_http_uncompressed_body_length", "Bytes of the body that were read", unit="bytes"),
    ] = None
    redirects: Annotated[int | None, gauge("probe_http_redirects", "Redirects followed on the same host")] = (
        None
    )
    redirect_loop: Annotated[
        bool | None, gauge("opsctl_http_redirect_loop", "1 if the redirects lead back to themselves")
    ] = None
    location: str = ""
    retry_after: str = ""

    contains: str = ""
    contains_found: Annotated[
        bool | None, gauge("opsctl_http_contains_found", "1 if the body holds the wanted text")
    ] = None
    dependencies: list[Dependency] = []
    excerpt: str = ""
    metrics: list[ExpectedMetric] = []

    window_seconds: Annotated[
        float | None,
        gauge(
            "opsctl_http_window_seconds", "Time between two readings of the page's counters", unit="seconds"
        ),
    ] = None
    window_requests: Annotated[
        float | None, gauge("opsctl_http_window_requests", "Requests counted in that window")
    ] = None
    window_errors: Annotated[
        float | None, gauge("opsctl_http_window_errors", "Requests answered with 5xx in that window")
    ] = None
    details: HttpDetails | None = None
    """Only where metrics are wanted."""
