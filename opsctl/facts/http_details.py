"""Facts of an HTTP answer that only metrics want: what dashboards of probes chart."""

from __future__ import annotations

from opsctl.facts.base import Annotated, Info, Record, gauge


class HttpDetails(Record, frozen=True, kw_only=True):
    """What is kept for metrics alone."""

    lookup_seconds: Annotated[
        float | None, gauge("probe_dns_lookup_time_seconds", "Time of the name lookup", unit="seconds")
    ] = None
    encrypted: Annotated[bool | None, gauge("probe_http_ssl", "1 if the answer came over TLS")] = None
    version: Annotated[float | None, gauge("probe_http_version", "HTTP version of the answer")] = None
    tls_version: Annotated[str, Info("probe_tls_version_info", "version", "TLS version in use")] = ""
    certificate_expiry: Annotated[
        float | None,
        gauge("probe_ssl_earliest_cert_expiry", "The certificate served is valid until", unit="seconds"),
    ] = None
