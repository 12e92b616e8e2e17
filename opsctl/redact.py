"""Secrets never leave: every text is redacted before it is kept, shown, saved or served.

Two nets: values known to be secret (resolved from `password_env`, env files, container
environments), and patterns for those nobody told us about (credentials in URLs, `password=`,
bot tokens, JSON Web Tokens, private keys).
"""

from __future__ import annotations

import re
from typing import Any

MASK = "[redacted]"
MIN_LENGTH = 4
"""Known values shorter than this are not replaced everywhere: they would eat innocent text."""

SECRET_NAME = re.compile(
    r"(?i)(pass(word|wd|phrase)?|pwd|secret|token|api_?key|private_?key|access_?key|credential|jwt|dsn|salt"
    r"|app_key|session_key|signing_key|encryption_key|_auth$|^auth)"
)
"""Names of variables whose values are secret."""

_PATTERNS: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.S), MASK),
    (re.compile(r"([a-zA-Z][a-zA-Z0-9+.-]{1,30}://[^\s/:@'\"]*):[^\s/'\"]*@"), rf"\1:{MASK}@"),
    (re.compile(r"\b\d{6,12}:[A-Za-z0-9_-]{30,}"), MASK),
    (re.compile(r"\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{4,}(\.[A-Za-z0-9_-]*)?"), MASK),
    (re.compile(r"(?i)\b(bearer|basic)\s+(?!realm)[A-Za-z0-9._~+/=-]{8,}"), rf"\1 {MASK}"),
    (
        re.compile(
            r"(?i)((?:[\w.-]*(?:password|passwd|passphrase|pwd|secret|token|api_?key|private_?key|access_?key"
            r"|credential)[\w-]*)[\"']?\s*(?:=|:)\s*)(\"(?:[^\"\\]|\\.)*\"|'[^']*'|[^\s,;&)}\]]+)"
        ),
        rf"\1{MASK}",
    ),
)


class Redactor:
    """Knows the secrets of one run. Adding is thread-safe by the nature of sets and rebuilds."""

    def __init__(self) -> None:
        self._values: set[str] = set()
        self._known: re.Pattern[str] | None = None

    def add(self, value: str | None) -> None:
        """Remember a secret value; empty and very short ones are left to the patterns."""
        if not value or len(value) < MIN_LENGTH or value in self._values:
            return
        self._values = {*self._values, value}
        forms = sorted(
            {form for known in self._values for form in _forms(known)}, key=lambda text: (-len(text), text)
        )
        self._known = re.compile("|".join(re.escape(form) for form in forms))

    def add_environment(self, values: dict[str, str], also: frozenset[str] = frozenset()) -> None:
        """Remember the values of all variables whose names say that they are secret.

        Credentials inside URLs are taken out of every value, whatever its name.
        """
        for name, value in values.items():
            if name in also or SECRET_NAME.search(name):
                self.add(value)
            match = re.match(r"[a-zA-Z][\w+.-]*://[^\s/:@]*:([^\s/]*)@", value)
            if match:
                self.add(match.group(1))

    def text(self, text: str) -> str:
        """Return the text without secrets."""
        if self._known is not None:
            text = self._known.sub(MASK, text)
        for pattern, replacement in _PATTERNS:
            text = pattern.sub(replacement, text)
        return text

    def value(self, value: Any) -> Any:
        """Return a plain value (of dicts, lists, strings, numbers) without secrets."""
        if isinstance(value, str):
            return self.text(value) if value else value
        if isinstance(value, dict):
            return {self.value(key): self.value(item) for key, item in value.items()}
        if isinstance(value, (list, tuple)):
            return [self.value(item) for item in value]
        return value


def _forms(value: str) -> set[str]:
    """Return the ways in which a secret may be written: as it is, in a URL, in JSON."""
    import json
    from urllib.parse import quote, quote_plus

    return {value, quote(value, safe=""), quote_plus(value), json.dumps(value)[1:-1], repr(value)[1:-1]}
