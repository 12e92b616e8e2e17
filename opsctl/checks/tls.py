"""TLS: the certificate that visitors are shown, and the files it should come from."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from opsctl.checks.base import CheckContext, Limits, NotObserved, check
from opsctl.checks.wording import seconds_text, speaks_no_tls
from opsctl.model import Status

if TYPE_CHECKING:
    from collections.abc import Iterator

    from opsctl.facts.tls import TlsFacts
    from opsctl.model import Finding

DAY = 86400.0
LONG_ENOUGH_DAYS = 42.0
"""Certificates that live shorter than this are warned of later, in proportion."""
_EXPIRED, _NOT_YET_VALID = 10, 9
"""X509_V_ERR_CERT_HAS_EXPIRED and X509_V_ERR_CERT_NOT_YET_VALID (openssl verify(1))."""


def _shown(facts: TlsFacts) -> str:
    """Return the command that prints the certificate as it is served."""
    ask = f"openssl s_client -connect {facts.address} -servername {facts.name} </dev/null 2>/dev/null"
    return f"{ask} | openssl x509 -noout -subject -issuer -dates -ext subjectAltName"


def _date(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%d %H:%M UTC")


def _outside_validity(facts: TlsFacts, now: float) -> bool:
    """Return whether the certificate itself has expired or is not valid yet."""
    over = facts.not_after is not None and facts.not_after <= now
    return over or (facts.not_before is not None and facts.not_before > now)


@check("tls/handshake-failed", needs="a connection and a TLS handshake", reachability=True)
def handshake_failed(facts: TlsFacts, context: CheckContext) -> Iterator[Finding]:
    """The port is open and no TLS handshake comes about."""
    connection = facts.connection
    said = connection.detail or connection.state
    if speaks_no_tls(connection.detail):
        said = f"what listens there speaks no TLS ({said})"
    if facts.up:
        yield context.ok(f"the handshake with {facts.address} succeeded")
    elif connection.state in ("tls", "closed", "protocol"):
        yield context.critical(
            f"no TLS handshake with {facts.address} for {facts.name}: {said}",
            value=connection.state,
            source=f"openssl s_client -connect {facts.address} -servername {facts.name} </dev/null",
            fix="What listens there does not speak TLS for this name: `listen 443` without `ssl`, no "
            "certificate for the name, protocols or ciphers without overlap, a proxy in between.",
            commands=[
                f"openssl s_client -connect {facts.address} -servername {facts.name} -brief </dev/null",
                f"curl -sv -o /dev/null http://{facts.address}/",
            ],
        )
    else:
        raise NotObserved(
            f"no certificate was seen: {facts.address} gives {said}",
            "the fault is not in the certificate: see who should listen there",
        )


@check("tls/key-mismatch", needs="certificate_file and key_file of the stack file", reachability=True)
def key_mismatch(facts: TlsFacts, context: CheckContext) -> Iterator[Finding]:
    """Key file and certificate file do not belong together: the server will not start with them."""
    if not (facts.certificate_file and facts.key_file):
        nothing = "the stack file names no key file to compare"
        yield context.ok(nothing) if facts.up else context.finding(Status.BLOCKED, nothing)
        return
    context.need_part(facts, "certificate_file", "key_file")
    matches = context.need(facts.key_matches, "the key file", "run as root")
    if matches:
        yield context.ok(f"{facts.key_file} is the key of {facts.certificate_file}")
        return
    yield context.finding(
        Status.WARNING if facts.up else Status.CRITICAL,
        f"{facts.key_file} is not the key of {facts.certificate_file}"
        + ("; what is served was loaded before" if facts.up else ""),
        value="different public keys",
        source=f"openssl x509 -noout -pubkey -in {facts.certificate_file}; openssl pkey -pubout -in "
        f"{facts.key_file}",
        fix="Put certificate and key of the same issue there (certbot: fullchain.pem and privkey.pem of one "
        "archive number). Until then the server cannot be reloaded or restarted.",
        commands=[
            f"openssl x509 -noout -pubkey -in {facts.certificate_file} | sha256sum",
            f"openssl pkey -pubout -in {facts.key_file} | sha256sum",
            "nginx -t",
        ],
    )


@check("tls/expired", needs="a TLS handshake")
def expired(facts: TlsFacts, context: CheckContext) -> Iterator[Finding]:
    """The certificate has expired, or is not valid yet; browsers refuse the page."""
    until = context.need(facts.not_after, "the certificate's last day")
    now = context.at.timestamp()
    details = {"source": _shown(facts), "commands": ["certbot certificates", _shown(facts), "date -u"]}
    if until <= now:
        yield context.critical(
            f"the certificate of {facts.name} expired {seconds_text(now - until)} ago ({_date(until)})",
            value=until,
            threshold=now,
            unit="unix seconds",
            fix="Renew it and reload the server: `certbot renew`, then `systemctl reload nginx`.",
            **details,
        )
    elif facts.not_before is not None and facts.not_before > now:
        yield context.critical(
            f"the certificate of {facts.name} is not valid before {_date(facts.not_before)}",
            value=facts.not_before,
            threshold=now,
            unit="unix seconds",
            fix="Is this machine's clock right? If it is, install a certificate that is valid now.",
            **details,
        )
    else:
        yield context.ok(f"valid until {_date(until)}")


@check(
    "tls/expiring",
    needs="a TLS handshake",
    limits=Limits(
        14,
        3,
        "days",
        below=True,
        source="certbot renews 30 days before the end: at 14 it has failed for two weeks, at 3 a weekend "
        "may come between",
    ),
)
def expiring(facts: TlsFacts, context: CheckContext) -> Iterator[Finding]:
    """The certificate ends within days and nobody has renewed it.

    For certificates that live less than 42 days the limits shrink in proportion: a 6-day certificate
    is warned of when 2 days are left.
    """
    until = context.need(facts.not_after, "the certificate's last day")
    now = context.at.timestamp()
    if _outside_validity(facts, now):
        yield context.finding(Status.BLOCKED, "not judged: tls/expired says more")
        return
    left = (until - now) / DAY
    life = (until - facts.not_before) / DAY if facts.not_before is not None else LONG_ENOUGH_DAYS
    shrunk = max(min(1.0, life / LONG_ENOUGH_DAYS), 0.001)
    status = context.limits.status(left / shrunk)
    limit = context.limits.limit_for(status)
    yield context.finding(
        status,
        f"the certificate of {facts.name} ends in {seconds_text(until - now)} ({_date(until)})",
        value=round(left, 2),
        threshold=None if limit is None else round(limit * shrunk, 2),
        unit="days",
        source=_shown(facts),
        fix="Find out why it was not renewed (timer off, port 80 closed to the authority, DNS moved), renew "
        "it with `certbot renew` and reload the server.",
        commands=[
            "systemctl list-timers certbot.timer --all",
            "certbot certificates",
            "certbot renew --dry-run",
        ],
    )


@check("tls/name-mismatch", needs="a TLS handshake")
def name_mismatch(facts: TlsFacts, context: CheckContext) -> Iterator[Finding]:
    """The certificate is for another name; browsers refuse the page."""
    matches = context.need(facts.name_matches, "the certificate's names")
    names = ", ".join(facts.names[:5]) or "no name at all"
    more = f" and {len(facts.names) - 5} more" if len(facts.names) > 5 else ""
    if matches:
        yield context.ok(f"it is for {facts.name}")
        return
    yield context.critical(
        f"the certificate served for {facts.name} is for {names}{more}",
        value=names,
        threshold=facts.name,
        source=_shown(facts),
        fix="The server picks another block for this name (server_name missing, default_server), or the "
        "certificate was issued without it: issue it anew with every name.",
        commands=[_shown(facts), "nginx -T 2>/dev/null | grep -nE 'server_name|ssl_certificate|listen'"],
    )


@check("tls/untrusted", needs="a TLS handshake, the system's certificates or ca_file")
def untrusted(facts: TlsFacts, context: CheckContext) -> Iterator[Finding]:
    """The chain does not lead to an authority that clients trust."""
    context.need_part(facts, "ca_file")
    trusted = context.need(facts.trusted, "the chain")
    if trusted:
        yield context.ok(f"issued by {facts.issuer}")
        return
    dated = facts.verify_code in (_EXPIRED, _NOT_YET_VALID)
    if dated and _outside_validity(facts, context.at.timestamp()):
        yield context.finding(Status.BLOCKED, "not judged: tls/expired says more")
        return
    yield context.critical(
        f"the certificate of {facts.name} is not trusted: {facts.verify_message}",
        value=facts.verify_code,
        threshold=0,
        source=f"openssl s_client -connect {facts.address} -servername {facts.name} </dev/null | grep Verif",
        fix="Serve the whole chain (fullchain.pem, not cert.pem). An authority of your own must be installed "
        "on the clients, and named here as `ca_file`.",
        commands=[
            f"openssl s_client -connect {facts.address} -servername {facts.name} -showcerts </dev/null "
            "2>/dev/null | grep -E '^ *[0-9]+ s:|^ *i:'"
        ],
    )


@check("tls/file-newer-than-served", needs="a TLS handshake, certificate_file of the stack file")
def file_newer_than_served(facts: TlsFacts, context: CheckContext) -> Iterator[Finding]:
    """A newer certificate lies on disk than the one served: the server was not reloaded."""
    if not facts.certificate_file:
        yield context.ok("the stack file names no certificate file to compare")
        return
    context.need_part(facts, "certificate_file")
    if facts.file_fingerprint == facts.fingerprint:
        yield context.ok(f"{facts.certificate_file} is what is served")
        return
    served = context.need(facts.not_before, "the served certificate's first day")
    in_file = context.need(facts.file_not_before, "the file's first day")
    file_ends = context.need(facts.file_not_after, "the file's last day")
    served_ends = context.need(facts.not_after, "the served certificate's last day")
    if (in_file, file_ends) <= (served, served_ends):
        yield context.ok(f"{facts.certificate_file} holds another certificate, not a newer one")
        return
    yield context.warning(
        f"{facts.certificate_file} holds a newer certificate (until {_date(file_ends)}) than is served for "
        f"{facts.name} (until {_date(served_ends)})",
        value=file_ends,
        threshold=served_ends,
        unit="unix seconds",
        source=f"openssl x509 -noout -dates -fingerprint -sha256 -in {facts.certificate_file}",
        fix="Reload the server, and let the renewal do so from now on (certbot: --deploy-hook "
        "'systemctl reload nginx').",
        commands=["nginx -t", "systemctl reload nginx", _shown(facts)],
    )
