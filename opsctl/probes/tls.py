"""Looks at a certificate as it is served, and at the files that it should come from.

A healthy server sees one handshake that ends at once; where the chain is not trusted a second one,
unverified, fetches the certificate that was refused.
"""

from __future__ import annotations

import os
import socket
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from opsctl.facts.base import Connection, FactProblem
from opsctl.facts.tls import TlsFacts
from opsctl.probes.addresses import is_here
from opsctl.probes.base import ProbeError
from opsctl.probes.connection import connection_state
from opsctl.probes.tls_parsing import (
    Encrypted,
    certificate_values,
    file_values,
    is_ip,
    key_matches,
    name_matches,
    split_address,
)
from opsctl.stack.specs import TlsSpec

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable

    from opsctl.probes.base import ProbeContext

MAX_FILE_BYTES = 1024 * 1024
CERTBOT = Path("/etc/letsencrypt/live")


def probe(context: ProbeContext) -> TlsFacts:
    """Return what is served and what lies on disk; a port that refuses is a fact as well."""
    spec = context.spec
    assert isinstance(spec, TlsSpec)
    try:
        name, port = split_address(spec.name)
        address = split_address(spec.connect, port) if spec.connect else (name, port)
    except ValueError as error:
        raise ProbeError("missing", f"tls {spec.name}: {error}", "write HOST or HOST:PORT") from None
    problems: list[FactProblem] = []
    values: dict[str, Any] = {"address": f"{address[0]}:{address[1]}", "name": name}
    values |= _files(context, spec, address, problems)
    began = time.monotonic()
    try:
        values |= _served(context, spec, name, address, problems)
    except (OSError, ValueError) as error:
        return TlsFacts(up=False, connection=_failure(error, values["address"]), problems=problems, **values)
    seconds = time.monotonic() - began
    connection = Connection(state="ok", address=values["address"], seconds=seconds)
    return TlsFacts(connection=connection, problems=problems, **values)


def _failure(error: Exception, address: str) -> Connection:
    state = connection_state(error)
    words = getattr(error, "strerror", None) or str(error)
    return Connection(state=state, detail=str(words)[:300], address=address)


def _served(
    context: ProbeContext,
    spec: TlsSpec,
    name: str,
    address: tuple[str, int],
    problems: list[FactProblem],
) -> dict[str, Any]:
    """Return what the server shows.

    Raises:
        OSError: no connection, or no handshake even without verification.
        ValueError: what it shows is no certificate.
    """
    import ssl

    values: dict[str, Any] = {"trusted": None}
    verified = _verifying(context, spec, problems)
    if verified is not None:
        try:
            der = _handshake(verified, name, address, context.left * 0.5)
            values["trusted"] = True
        except ssl.SSLCertVerificationError as error:
            values |= {
                "trusted": False,
                "verify_code": error.verify_code,
                "verify_message": str(error.verify_message)[:300],
            }
            verified = None
    if verified is None:
        der = _handshake(_trusting(), name, address, context.left * 0.7)
    values |= certificate_values(der)
    values["name_matches"] = name_matches(name, values["names"])
    return values


def _verifying(context: ProbeContext, spec: TlsSpec, problems: list[FactProblem]) -> ssl.SSLContext | None:
    """Return a context that verifies against the system's store and the stack's `ca_file`."""
    path = context.stack.path(spec.ca_file) if spec.ca_file else None
    try:  # reading the system's store takes tens of milliseconds
        return context.shared.once(("trust store", path), lambda: _store(path))
    except OSError as error:  # an SSLError too: not a certificate
        assert path is not None
        problems.append(_problem("ca_file", path, error))
        return None


def _store(ca_file: Path | None) -> ssl.SSLContext:
    """Return a context that trusts the system's store and the authority in `ca_file`.

    Raises:
        OSError: the file cannot be read, or holds no certificate.
    """
    import ssl

    tls = ssl.create_default_context()
    tls.check_hostname = False  # judged apart, so that each fault has its own finding
    tls.verify_flags &= ~ssl.VERIFY_X509_STRICT
    if ca_file is not None:
        tls.load_verify_locations(cafile=str(ca_file))
    return tls


def _trusting() -> ssl.SSLContext:
    """Return a context that takes any certificate: only to read what is served."""
    import ssl

    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    tls.check_hostname = False
    tls.verify_mode = ssl.CERT_NONE
    return tls


def _handshake(tls: ssl.SSLContext, name: str, address: tuple[str, int], seconds: float) -> bytes:
    server_name = None if is_ip(name) else name
    with (
        socket.create_connection(address, timeout=seconds) as plain,
        tls.wrap_socket(plain, server_hostname=server_name) as wrapped,
    ):
        certificate = wrapped.getpeercert(binary_form=True)
    if certificate is None:
        raise ValueError("the server shows no certificate")
    return certificate


def _renewed_here(address: tuple[str, int]) -> Path | None:
    """Return certbot's file for a name that this machine itself answers for, where it may be read."""
    path = CERTBOT / address[0] / "fullchain.pem"
    try:
        if not os.access(path, os.R_OK):
            return None
        found = socket.getaddrinfo(address[0], address[1], type=socket.SOCK_STREAM)
        return path if all(is_here(str(item[4][0])) for item in found) else None
    except (OSError, ValueError):
        return None


def _files(
    context: ProbeContext, spec: TlsSpec, address: tuple[str, int], problems: list[FactProblem]
) -> dict[str, Any]:
    """Return what the files on disk hold, as far as they can be read."""
    values: dict[str, Any] = {"certificate_file": spec.certificate_file, "key_file": spec.key_file}
    path = context.stack.path(spec.certificate_file) if spec.certificate_file else _renewed_here(address)
    if path is None:
        return values
    values["certificate_file"] = str(path)

    def attempt(part: str, path: Path, read: Callable[[], Any]) -> Any:
        try:
            return read()
        except (OSError, ValueError) as error:
            problems.append(_problem(part, path, error))
            return None

    pem = attempt("certificate_file", path, lambda: _read(path))
    if pem is None:
        return values
    values |= attempt("certificate_file", path, lambda: file_values(pem)) or {}
    values["file_modified"] = attempt("certificate_file", path, lambda: path.stat().st_mtime)
    if spec.key_file and "file_fingerprint" in values:
        key_path = context.stack.path(spec.key_file)
        values["key_matches"] = attempt("key_file", key_path, lambda: key_matches(pem, _read(key_path)))
    return values


def _read(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(MAX_FILE_BYTES)


def _problem(part: str, path: Path, error: Exception) -> FactProblem:
    words = getattr(error, "strerror", None) or str(error)
    hint, code = "name an existing file in the stack file", "missing"
    if isinstance(error, PermissionError):
        hint, code = "run as root", "permission"
    elif isinstance(error, Encrypted):
        hint, code = "ask openssl with the passphrase: openssl pkey -in FILE -pubout", "unsupported"
    elif not isinstance(error, FileNotFoundError):
        hint, code = "put a PEM file there", "unsupported"
    return FactProblem(part=part, code=code, message=f"{part} {path}: {words}"[:300], hint=hint)
