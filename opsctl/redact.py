"""Secrets never leave: every text is redacted before it is kept, shown, saved or served.

Two nets: values known to be secret (resolved from `password_env`, env files, container
environments), and patterns for those nobody told us about (`opsctl/redact_patterns.py`).
"""

from __future__ import annotations

import re
import threading
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from opsctl.redact_patterns import MASK, without_patterns

if TYPE_CHECKING:
    from collections.abc import Iterable

T = TypeVar("T")

MIN_LENGTH = 4
"""Known values shorter than this are left to the patterns: they would eat innocent text."""
_WHOLE_WORDS_BELOW = 12
"""Known values shorter than this are replaced only where they stand alone: `test` is not in `latest`."""
_MIN_CUT = 6
"""A text that ends with this many first characters of a secret was cut inside it."""

_SECRET_PARTS = (
    "password", "passwd", "passphrase", "pwd", "secret", "token", "apikey", "api_key", "api_hash",
    "privatekey", "private_key", "accesskey", "access_key", "credential", "jwt", "dsn", "salt",
    "encryptionkey", "signingkey", "authkey", "mnemonic",
)  # fmt: skip
_SECRET_WORDS = frozenset(("pass", "pw", "psk"))
_NO_PASS = frozenset(("bypass", "compass", "encompass", "surpass"))
_SECRET_ENDS = ("key", "auth", "seed")
_HARMLESS_ENDS = (
    "file", "path", "dir", "sock", "socket", "name", "type", "header", "algorithm", "alg", "issuer",
    "audience", "method", "length", "min", "max", "ttl", "lifetime", "timeout", "seconds", "minutes",
    "hours", "days", "rounds", "enabled", "required", "policy", "expire", "expires", "expiration", "expiry",
    "count", "limit", "prefix", "version", "format", "bits", "size",
)  # fmt: skip
_HARMLESS_KEYS = frozenset((
    "primary", "public", "foreign", "partition", "sort", "routing", "cache", "hot", "shard", "group",
    "unique", "index", "message", "tls", "ssl", "idempotency", "translation", "object", "lookup", "random",
))  # fmt: skip
"""What stands before `_KEY` where the value is no secret."""
_KEY_FILE = (".pem", ".key", ".crt", ".cer", ".pub")


def is_secret_name(name: str) -> bool:
    """Return whether a variable of this name holds a secret. Pure; no pattern is compiled for it."""
    words = name.lower().replace("-", "_").replace(".", "_").strip("_").split("_")
    whole = "_".join(words)
    if whole in ("pwd", "oldpwd") or words[-1] in _HARMLESS_ENDS or words[-1].startswith("expir"):
        return False
    plain = [word.rstrip("0123456789") for word in words]
    if any(word in _SECRET_WORDS or word.endswith("pass") for word in plain if word not in _NO_PASS):
        return True
    if any(part in whole for part in _SECRET_PARTS) and "tokeniz" not in whole:
        return True
    if words[-1] not in _SECRET_ENDS:
        return False
    return words[-1] == "auth" or (len(words) > 1 and words[-2] not in _HARMLESS_KEYS)


_ORDINARY = """
true false none null nil undefined enabled disabled default public private local localhost main master
host docker container systemd postgres postgresql redis http https tls nginx php telegram logs config
network data backup monitoring static admin root user users guest test testing demo dev development
staging prod production password passwd secret token changeme example backend frontend database app
application service server client refused timeout missing permission closed unknown critical warning
error info debug trace file unit required optional name path port address status value
"""
ORDINARY_WORDS = frozenset(_ORDINARY.split())
"""Values that say something else almost everywhere: replaced only where a pattern shows a secret."""


class Redactor:
    """Knows the secrets of one run. Thread-safe: probes add while others redact."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._values: dict[str, frozenset[str]] = {}
        self._kept: frozenset[str] = ORDINARY_WORDS
        self._known: _Known | None = None

    def add(self, value: str | None) -> None:
        """Remember a secret value.

        Very short ones, ordinary words and short numbers are left to the patterns.
        """
        if not value or len(value) < MIN_LENGTH or value in self._values:
            return
        forms = frozenset(_forms(value))
        with self._lock:
            self._known = None  # first: what is cleaned while `count` says more is cleaned of all
            self._values[value] = forms

    def known(self) -> list[str]:
        """Return the values remembered; for handing them to another redactor, and for nothing else."""
        return sorted(self._values)

    def count(self) -> int:
        """Return how many values are remembered."""
        return len(self._values)

    def keep(self, words: Iterable[str]) -> None:
        """Never replace these words where they stand alone: names of services, kinds, hosts."""
        with self._lock:
            self._kept |= {word.lower() for word in words}
            self._known = None

    def _ready(self) -> _Known:
        """Return the forms to look for; put together anew only where a secret came in between."""
        known = self._known
        if known is None:
            with self._lock:
                forms = {
                    form
                    for value, ways in self._values.items()
                    if value.lower() not in self._kept and not (value.isdigit() and len(value) < 6)
                    for form in ways
                }
                known = self._known = _Known(sorted(forms, key=lambda text: (-len(text), text)))
        return known

    def add_environment(self, values: dict[str, str], also: frozenset[str] = frozenset()) -> None:
        """Remember the values of all variables whose names say that they are secret.

        Credentials inside URLs are taken out of every value, whatever its name. A value that is the
        name of another of the variables (`TOKEN_VARIABLE=BOT_TOKEN`) is no secret: hiding it would
        hide which variable is meant.
        """
        for name, value in values.items():
            secret = name in also or is_secret_name(name)
            if secret and value not in values and not value.endswith(_KEY_FILE):
                self.add(value)
            if "://" in value:
                for password in url_passwords(value):
                    self.add(password)
                if "webhook" in name.lower():
                    self.add(_secret_path(value))

    def text(self, text: str) -> str:
        """Return the text without secrets."""
        known = self._ready()
        for form, alone in known.forms:
            if form in text:
                text = text.replace(form, MASK) if alone is None else alone.sub(MASK, text)
        return without_patterns(_without_cut_secret(text, known))

    def value(self, value: Any) -> Any:
        """Return a plain value (of dicts, lists, strings, numbers) without secrets."""
        if isinstance(value, str):
            return self.text(value) if value else value
        if isinstance(value, dict):
            return {self.value(key): self.value(item) for key, item in value.items()}
        if isinstance(value, (list, tuple)):
            return [self.value(item) for item in value]
        return value

    def record(self, value: T) -> T:
        """Return a struct with every text in it redacted; names of fields and types stay as they are."""
        cleaned: T = self._cleaned(value)
        return cleaned

    def _cleaned(self, value: Any) -> Any:
        if type(value) is str:
            return self.text(value) if value else value
        if isinstance(value, msgspec.Struct):
            changed = {}
            for name in value.__struct_fields__:
                before = getattr(value, name)
                after = self._cleaned(before)
                if after is not before:
                    changed[name] = after
            return msgspec.structs.replace(value, **changed) if changed else value
        if isinstance(value, dict):
            return {self._cleaned(key): self._cleaned(item) for key, item in value.items()}
        if isinstance(value, (list, tuple)):
            return type(value)(self._cleaned(item) for item in value)
        return value


class _Known:
    """The forms in which known secrets may be written, the longest first, ready to be looked for."""

    def __init__(self, forms: list[str]) -> None:
        self.forms = [(form, _alone(form) if len(form) < _WHOLE_WORDS_BELOW else None) for form in forms]
        self.beginnings = {form[:_MIN_CUT] for form in forms}
        self.longest = len(forms[0]) if forms else 0


def _alone(form: str) -> re.Pattern[str]:
    before = r"(?<![A-Za-z0-9])" if form[0].isalnum() else ""
    after = r"(?![A-Za-z0-9])" if form[-1].isalnum() else ""
    return re.compile(before + re.escape(form) + after)


def _without_cut_secret(text: str, known: _Known) -> str:
    """Mask the beginning of a known secret at the very end of a text that was cut too early."""
    size = len(text)
    if size < _MIN_CUT or not known.longest:
        return text
    first = max(0, size - known.longest)
    tail = text[first:]
    if not any(beginning in tail for beginning in known.beginnings):
        return text
    for at in range(first, size - _MIN_CUT + 1):
        if text[at : at + _MIN_CUT] not in known.beginnings:
            continue
        for form, _ in known.forms:
            if len(form) > _MIN_CUT and form.startswith(text[at:]) and size - at > _open_part(form):
                return text[:at] + MASK
    return text


def _open_part(form: str) -> int:
    """Return how much of a secret everybody may see: of a URL, all before its password."""
    for separator, colon in (("://", ":"), ("%3A//", "%3A"), ("%3A%2F%2F", "%3A")):
        start = form.find(separator)
        if start >= 0:
            at = form.find(colon, start + len(separator))
            return at + len(colon) if at >= 0 else len(form)
    return 0


def _secret_path(url: str) -> str | None:
    """Return the path of a webhook's URL, which is its secret; None where it is too plain to be one."""
    path = url.partition("://")[2].partition("/")[2].partition("#")[0]
    words = {word for word in path.replace("?", "/").lower().split("/") if word}
    return f"/{path}" if len(path) >= _WHOLE_WORDS_BELOW and words - _PLAIN_PATHS else None


_PLAIN_PATHS = frozenset(
    ("api", "bot", "telegram", "tg", "webhook", "webhooks", "hook", "hooks", "callback", "v1", "v2")
)


def url_passwords(text: str) -> set[str]:
    """Return the passwords of a URL or DSN, as written and percent-decoded. Pure; never raises."""
    from urllib.parse import unquote

    found: set[str] = set()
    for match in re.finditer(r"://[^\s/:@'\"]{0,200}:([^\s'\"]{1,500})@", text):
        written = match.group(1)
        if re.match(r"\d{1,5}(?:/|$)", written):  # that was a port: no credentials before it
            continue
        found |= {written, unquote(written)}
    return found


def _forms(value: str) -> set[str]:
    """Return the ways in which a secret may be written: as it is, in a URL, in JSON, in Python, by line."""
    import json
    from urllib.parse import quote, quote_plus

    encodable = value.encode("utf-8", "replace").decode("utf-8")
    forms = {
        value,
        value.strip(),
        quote(encodable, safe=""),
        quote(encodable),
        quote_plus(encodable),
        json.dumps(value)[1:-1],
        json.dumps(value, ensure_ascii=False)[1:-1],
        repr(value)[1:-1],
    }
    if "\n" in value:
        forms |= {line.strip() for line in value.splitlines() if len(line.strip()) >= _WHOLE_WORDS_BELOW}
    return {form for form in forms if len(form) >= MIN_LENGTH}
