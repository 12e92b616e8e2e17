"""`--web.config.file`: TLS, passwords and headers, in the syntax that all exporters share.

https://github.com/prometheus/exporter-toolkit/blob/master/docs/web-configuration.md; what is not
done here (HTTP/2, cipher lists, client names) is refused rather than ignored, where ignoring it
would leave a door open.
"""

from __future__ import annotations

import difflib
import ssl
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from opsctl.errors import UserError, shown_path

if TYPE_CHECKING:
    from pathlib import Path

MOST_BYTES = 256 * 1024
CLIENT_AUTHENTICATION = Literal[
    "",
    "NoClientCert",
    "RequestClientCert",
    "RequireAnyClientCert",
    "VerifyClientCertIfGiven",
    "RequireAndVerifyClientCert",
]
VERSIONS = {"TLS12": ssl.TLSVersion.TLSv1_2, "TLS13": ssl.TLSVersion.TLSv1_3}
HEADERS = (
    "Strict-Transport-Security",
    "X-Content-Type-Options",
    "X-Frame-Options",
    "X-XSS-Protection",
    "Content-Security-Policy",
)


class TlsConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`tls_server_config`; files are relative to the configuration file."""

    cert_file: str = ""
    key_file: str = ""
    client_auth_type: CLIENT_AUTHENTICATION = ""
    client_ca_file: str = ""
    min_version: Literal["TLS12", "TLS13"] = "TLS12"
    max_version: Literal["TLS12", "TLS13"] = "TLS13"
    prefer_server_cipher_suites: bool = True


class HttpConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`http_server_config`; `http2` is accepted, HTTP/1.1 is what is spoken."""

    http2: bool = True
    headers: dict[str, str] = {}


class WebConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The whole file."""

    tls_server_config: TlsConfig | None = None
    http_server_config: HttpConfig = HttpConfig()
    basic_auth_users: dict[str, str] = {}


def parse(data: bytes, shown: str) -> WebConfig:
    """Read a web configuration. Pure; no value of it is in a message.

    Raises:
        UserError: it is not YAML, or holds what is not known or not done here.
    """
    import yaml

    try:
        value = yaml.load(data, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)) or {}  # noqa: S506
    except (yaml.YAMLError, UnicodeDecodeError, ValueError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f":{mark.line + 1}" if mark is not None else ""
        raise UserError(f"{shown}{where}: no YAML") from None
    if isinstance(value, dict):
        for key in ("tls_server_config", "http_server_config", "basic_auth_users"):
            if key in value and value[key] is None:  # a heading with nothing below it
                del value[key]
    try:
        config = msgspec.convert(value, WebConfig)
    except msgspec.ValidationError as error:
        raise UserError(f"{shown}: {_words(error)}") from None
    _check(config, shown)
    return config


def _words(error: msgspec.ValidationError) -> str:
    """Return what is wrong; an unknown key comes with the one that was probably meant."""
    text = str(error)
    if "unknown field" in text:
        wrong = text.partition("`")[2].partition("`")[0]
        known = [name for part in (WebConfig, TlsConfig, HttpConfig) for name in part.__struct_fields__]
        close = difflib.get_close_matches(wrong, known, n=1)
        return f"{wrong} is not known, or not done by opsctl" + (f"; {close[0]} is" if close else "")
    if "Invalid enum" in text:
        return "a value that is none of those allowed" + text.partition(" - ")[2].join((" (", ")"))
    return text


def _check(config: WebConfig, shown: str) -> None:
    tls = config.tls_server_config
    if tls is not None:
        if not (tls.cert_file and tls.key_file):
            raise UserError(f"{shown}: tls_server_config needs cert_file and key_file")
        verifies = tls.client_auth_type in ("VerifyClientCertIfGiven", "RequireAndVerifyClientCert")
        if verifies and not tls.client_ca_file:
            raise UserError(f"{shown}: client_auth_type {tls.client_auth_type} needs client_ca_file")
        if tls.client_ca_file and not verifies:
            raise UserError(f"{shown}: client_ca_file needs a client_auth_type that verifies")
        if tls.client_auth_type == "RequireAnyClientCert":
            raise UserError(f"{shown}: client_auth_type RequireAnyClientCert is not done by opsctl")
        if VERSIONS[tls.min_version] > VERSIONS[tls.max_version]:
            raise UserError(f"{shown}: min_version is above max_version")
    for name in config.http_server_config.headers:
        if name not in HEADERS:
            raise UserError(f"{shown}: headers: only {', '.join(HEADERS)} can be set")
    for user, hashed in config.basic_auth_users.items():
        if ":" in user or not hashed.startswith(("$2a$", "$2b$", "$2y$")) or len(hashed) != 60:
            raise UserError(f'{shown}: basic_auth_users: each needs a bcrypt hash (htpasswd -nBC 10 "")')


def tls_context(tls: TlsConfig, folder: Path) -> ssl.SSLContext:
    """Return the TLS settings, certificates read.

    Raises:
        UserError: a file cannot be read, or key and certificate do not belong together.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version, context.maximum_version = VERSIONS[tls.min_version], VERSIONS[tls.max_version]
    context.options |= ssl.OP_NO_COMPRESSION
    certificate, key = folder / tls.cert_file, folder / tls.key_file
    try:
        context.load_cert_chain(certificate, key, password=_no_password)
        if tls.client_ca_file:
            context.load_verify_locations(folder / tls.client_ca_file)
            required = tls.client_auth_type == "RequireAndVerifyClientCert"
            context.verify_mode = ssl.CERT_REQUIRED if required else ssl.CERT_OPTIONAL
    except ssl.SSLError as error:
        raise UserError(
            f"{shown_path(str(certificate))}, {shown_path(str(key))}: {error.reason or 'not usable'}"
        ) from None
    except (OSError, ValueError) as error:
        words = getattr(error, "strerror", None) or str(error)
        raise UserError(f"cannot read the certificate or its key: {words}") from None
    return context


def _no_password(*_: Any) -> str:
    raise ValueError("the key is encrypted; a key without a passphrase is needed")
