"""Names, certificates and keys. Pure: bytes and text in, values out."""

from __future__ import annotations

import ipaddress
from typing import Any

MAX_NAMES = 50


def split_address(text: str, default_port: int = 443) -> tuple[str, int]:
    """Return (host, port) of `host`, `host:port`, `[v6]:port` or a bare IPv6 address.

    Raises:
        ValueError: the port is not a number from 1 to 65535.
    """
    text = text.strip()
    if text.startswith("["):
        host, _, rest = text[1:].partition("]")
        port = rest.removeprefix(":")
    elif text.count(":") == 1:
        host, _, port = text.partition(":")
    else:
        host, port = text, ""
    if not port:
        return host, default_port
    if not (port.isascii() and port.isdigit() and 0 < int(port[:6]) < 65536):
        raise ValueError(f"not a port: {port[:20]!r}")
    return host, int(port)


def is_ip(host: str) -> bool:
    """Return whether a host is written as an IP address."""
    try:
        ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return True


def name_matches(host: str, names: list[str]) -> bool:
    """Return whether one of a certificate's names covers the host, as RFC 6125 section 6.4 has it.

    A `*` stands for exactly one whole leftmost label; IP addresses must be equal.
    """
    if is_ip(host):
        wanted = ipaddress.ip_address(host.partition("%")[0])
        return any(is_ip(name) and ipaddress.ip_address(name) == wanted for name in names)
    host = _ascii(host)
    return any(_covers(_ascii(name), host) for name in names)


def _ascii(name: str) -> str:
    name = name.strip().rstrip(".").lower()
    try:
        return name if name.isascii() else name.encode("idna").decode("ascii")
    except UnicodeError:
        return name


def _covers(pattern: str, host: str) -> bool:
    if not pattern.startswith("*."):
        return bool(pattern) and pattern == host
    label, _, rest = host.partition(".")
    return bool(label) and rest == pattern[2:] and "." in rest


def certificate_values(der: bytes) -> dict[str, Any]:
    """Return the fields of `TlsFacts` that a served certificate holds.

    Raises:
        ValueError: it is not a certificate.
    """
    from cryptography import x509

    certificate = x509.load_der_x509_certificate(der)
    return {
        "subject": certificate.subject.rfc4514_string()[:300],
        "issuer": certificate.issuer.rfc4514_string()[:300],
        "names": _names(certificate)[:MAX_NAMES],
        "not_before": certificate.not_valid_before_utc.timestamp(),
        "not_after": certificate.not_valid_after_utc.timestamp(),
        "fingerprint": _fingerprint(certificate),
    }


def _names(certificate: Any) -> list[str]:
    from cryptography import x509

    try:
        extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, ValueError):
        return []
    names = extension.get_values_for_type(x509.DNSName)
    addresses = extension.get_values_for_type(x509.IPAddress)
    return [str(name)[:255] for name in [*names, *addresses]]


def _fingerprint(certificate: Any) -> str:
    from cryptography.hazmat.primitives.hashes import SHA256

    return str(certificate.fingerprint(SHA256()).hex())


def file_values(pem: bytes) -> dict[str, Any]:
    """Return the fields of `TlsFacts` about the first certificate of a PEM file.

    Raises:
        ValueError: there is none in it.
    """
    from cryptography import x509

    certificate = x509.load_pem_x509_certificate(pem)
    return {
        "file_fingerprint": _fingerprint(certificate),
        "file_not_before": certificate.not_valid_before_utc.timestamp(),
        "file_not_after": certificate.not_valid_after_utc.timestamp(),
    }


class Encrypted(ValueError):
    """The key file can be read with a passphrase only."""


def key_matches(certificate_pem: bytes, key_pem: bytes) -> bool:
    """Return whether a key file is the key of a certificate file. The key itself is not kept.

    Raises:
        Encrypted: the key is protected by a passphrase.
        ValueError: one of them is not what it should be.
    """
    from cryptography import x509
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import (
        Encoding,
        PublicFormat,
        load_pem_private_key,
    )

    form = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    certificate = x509.load_pem_x509_certificate(certificate_pem)
    try:
        key = load_pem_private_key(key_pem, None)
        return key.public_key().public_bytes(*form) == certificate.public_key().public_bytes(*form)
    except TypeError:
        raise Encrypted("the key is protected by a passphrase") from None
    except UnsupportedAlgorithm:
        raise ValueError("a kind of key that is not known here") from None
    except ValueError:
        raise ValueError("not a private key in PEM form") from None  # the library may quote the file
