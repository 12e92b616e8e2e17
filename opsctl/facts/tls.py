"""What is known of a certificate as it is served, and of the files it should come from."""

from __future__ import annotations

from opsctl.facts.base import Annotated, Connection, Facts, Info, gauge


class TlsFacts(Facts, frozen=True, kw_only=True, tag="tls"):
    """One certificate at one address. None is "not read". Times are unix seconds."""

    up: Annotated[bool, gauge("probe_success", "1 if it answered as it should")] = True
    """A TLS handshake succeeded."""
    connection: Connection = Connection(state="ok")
    address: str = ""
    name: str = ""
    """The host name that clients ask for."""

    subject: str = ""
    issuer: Annotated[str, Info("opsctl_tls_certificate_info", "issuer", "The certificate served")] = ""
    names: list[str] = []
    """The names and addresses that it is for (subjectAltName), 50 at most."""
    not_before: Annotated[
        float | None,
        gauge("opsctl_tls_not_before_timestamp_seconds", "The certificate is valid from", unit="seconds"),
    ] = None
    not_after: Annotated[
        float | None,
        gauge("probe_ssl_earliest_cert_expiry", "The certificate served is valid until", unit="seconds"),
    ] = None
    fingerprint: str = ""
    name_matches: Annotated[
        bool | None, gauge("opsctl_tls_name_matches", "1 if the certificate is for the name asked for")
    ] = None
    trusted: Annotated[
        bool | None, gauge("opsctl_tls_trusted", "1 if the chain leads to a certificate that is trusted")
    ] = None
    verify_code: int | None = None
    """OpenSSL's X509_V_ERR_* where it is not trusted."""
    verify_message: str = ""

    certificate_file: str = ""
    key_file: str = ""
    file_fingerprint: str = ""
    file_not_before: float | None = None
    file_not_after: Annotated[
        float | None,
        gauge(
            "opsctl_tls_file_not_after_timestamp_seconds",
            "The certificate in the file is valid until",
            unit="seconds",
        ),
    ] = None
    file_modified: float | None = None
    key_matches: Annotated[
        bool | None, gauge("opsctl_tls_key_matches", "1 if key file and certificate file belong together")
    ] = None
