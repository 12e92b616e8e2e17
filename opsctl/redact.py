"""Secrets never leave: every text is redacted before it is kept, shown, saved or served.

Two nets: values known to be secret (resolved from `password_env`, env files, container
environments), and patterns for those nobody told us about (credentials in URLs, `password=`,
bot tokens, JSON Web Tokens, private keys). Every pattern runs in linear time: log lines may be
long and hostile.
"""

from __future__ import annotations

import re
import threading
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

T = TypeVar("T")

MASK = "[redacted]"
MIN_LENGTH = 4
"""Known values shorter than this are left to the patterns: they would eat innocent text."""
_WHOLE_WORDS_BELOW = 12
"""Known values shorter than this are replaced only where they stand alone: `test` is not in `latest`."""
_MIN_CUT = 6
"""A text that ends with this many first characters of a secret was cut inside it."""

SECRET_NAME = re.compile(
    r"(?i)^(?!(?:old)?pwd$)"
    r"(?!.*(?:_file|_path|_dir|_sock|_socket|_name|_type|_header|_algorithm|_alg|_issuer|_audience|_method"
    r"|_length|_min|_max|_ttl|_lifetime|_timeout|_seconds|_minutes|_hours|_days|_rounds|_enabled|_required"
    r"|_policy|_expire\w*|_expiration|_expiry)$)"
    r"(?=.*(?:pass(?:word|wd|phrase)?(?:_|$|\d)|password|pwd|secret|token|api_?key|private_?key|access_?key"
    r"|credential|jwt|dsn|salt|app_key|session_key|signing_key|encryption_key|_auth$|^auth$|auth_key))"
)
"""Names of variables whose values are secret; `.search(name)`."""

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

_WORD = r"(?<![A-Za-z0-9])"
_VALUE = r"(?!\[redacted\])(?:\"(?:[^\"\\\n]|\\.)*\"?|'(?:[^'\\\n]|\\.)*'?|[^\s&\"'<>]+)"
_KEY_END = r"[A-Za-z0-9_-]{0,40}\\?[\"']?\]?"
_STRONG = (
    r"password|passwd|passphrase|secret|api[_-]?key|private[_-]?key|access[_-]?key|signing[_-]?key"
    r"|encryption[_-]?key|session[_-]?key|app[_-]?key|requirepass|masterauth"
)
_WEAK = r"token|credentials?|jwt|pwd|auth(?!or)"
_VERDICTS = (
    r"(?!(?:is|was|are|has|had|not|no|missing|invalid|expired|expires|required|empty|none|null|nil|true|false"
    r"|must|should|wrong|incorrect|failed|fails|unset|set|unknown|expected|unexpected|mismatch|error|ok"
    r"|cannot|could|too|the|a|an|please|field|authentication|denied|rejected|unauthorized)\b)"
)
_RANDOM = r"(?=[^\s\"',;]{0,200}(?:[0-9]|(?-i:[a-z][A-Z])))[^\s\"',;]{8,}"


def _masked(match: re.Match[str]) -> str:
    """Keep the name and the punctuation after the value."""
    value = match.group(0)[len(match.group(1)) :]
    bare = value.rstrip(",;:.)]}")
    return f"{match.group(1)}{MASK}{value[len(bare) :][:3]}" if bare else match.group(0)


_Replacement = tuple[re.Pattern[str], "str | Callable[[re.Match[str]], str]"]


def _named(before: str, after: str) -> _Replacement:
    """A secret that stands after its name."""
    return re.compile(f"(?i)({before}){after}"), _masked


def _shown(pattern: str, kept: str = "") -> _Replacement:
    """A secret that shows by its form what it is; `kept` is what stays of the match."""
    return re.compile(pattern), f"{kept}{MASK}"


_KEY = r"-----{} [A-Z ]{{0,30}}PRIVATE KEY-----"
_DSN = r"(?:postgres(?:ql)?|rediss?|mysql|mariadb|mongodb|amqps?)(?:\+[a-z0-9]{1,20})?://[^\s:@/'\"]{0,200}"
_PREFIXES = r"(?:gh[pousr]_|github_pat_|glpat-|xox[abprs]-|[sr]k_(?:live|test)_|SG\.)"
_SCHEME = r"(?:bearer|basic|token|digest)"
_NAMES = rf"(?:{_STRONG}|{_WEAK})"
_PATTERNS: tuple[_Replacement, ...] = (
    _shown(f"(?s){_KEY.format('BEGIN')}.*?(?:{_KEY.format('END')}|\\Z)"),
    # credentials in URLs; in a DSN the password may hold a slash, and a port is no password
    _shown(rf"(?i)\b({_DSN}):(?!\d{{1,5}}(?:[/?,\s'\"]|\Z))[^\s'\"<>]{{0,500}}(?=@)", r"\1:"),
    _shown(r"(://[^\s/:@'\"?#]{0,200}):[^\s/'\"]{0,500}(?=@)", r"\1:"),
    _shown(r"(://)[A-Za-z0-9_-]{20,200}(?=@)", r"\1"),
    # tokens
    _shown(r"(?<!\d)\d{6,12}(?::|%3[aA])[A-Za-z0-9_-]{30,}"),
    _shown(_WORD + r"eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{4,}(?:\.[A-Za-z0-9_-]*)?"),
    _shown(_WORD + _PREFIXES + r"[A-Za-z0-9_.-]{16,}"),
    _shown(_WORD + r"A(?:KIA|SIA)[A-Z0-9]{16}(?![A-Za-z0-9])"),
    # headers
    _shown(
        r"(?i)\b((?:bearer|basic|digest)\s{1,4})(?=\S{0,200}[0-9=]|\S{0,200}(?-i:[a-z][A-Z]))"
        r"[A-Za-z0-9._~+/=-]{8,}",
        r"\1",
    ),
    _shown(r"(?i)((?:set-)?cookie\\?[\"']?\s{0,4}:\s{0,4}\\?[\"']?)[^\r\n\"']+", r"\1"),
    _named(
        rf"(?:authorization|x-api-key|x-auth-token)\\?[\"']?\s{{0,4}}[:=]\s{{0,4}}\\?[\"']?(?:{_SCHEME}\s{{1,4}})?",
        rf"(?!\[redacted\]|{_SCHEME}\b)[^\s\"',;]+",
    ),
    # NAME=value, "name": "value", name: value, --name value, PASSWORD 'value'
    _named(rf"{_NAMES}{_KEY_END}\s{{0,4}}=>?\s{{0,4}}", rf"(?![=\s]){_VALUE}"),
    _named(rf"{_WORD}(?:pass|salt|dsn)\s{{0,4}}=\s{{0,4}}", rf"(?![=\s]){_VALUE}"),
    _named(
        rf"{_NAMES}[A-Za-z0-9_-]{{0,40}}\\?[\"']\s{{0,4}}:\s{{0,4}}",
        rf"(?:\\\"(?:[^\"\\]|\\[^\"])*\\\"|{_VALUE})",
    ),
    _named(rf"(?:{_STRONG})[A-Za-z0-9_-]{{0,40}}\s{{0,4}}:\s{{0,4}}", _VERDICTS + _VALUE),
    _named(rf"(?:{_WEAK})[A-Za-z0-9_-]{{0,40}}\s{{0,4}}:\s{{0,4}}", _RANDOM),
    _named(
        r"--[a-z0-9-]{0,40}(?:password|passphrase|secret|token|api-key)[a-z0-9-]{0,20}[= ]", rf"(?!-){_VALUE}"
    ),
    _named(r"\b(?:password|identified by|requirepass|masterauth)\s{1,4}", r"'(?:[^'\n]|'')*'?"),
    _named(r"\b(?:requirepass|masterauth)\s{1,4}", r"(?![=:'\"]|\[redacted\])\S+"),
)
_HINTS = (
    "://", "%3a", "eyj", "private key", "ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat", "glpat-", "xox",
    "k_live", "k_test", "sg.", "akia", "asia", "pass", "secret", "token", "key", "credential", "jwt", "pwd",
    "auth", "bearer", "basic", "digest", "cookie", "identified", "salt", "dsn",
)  # fmt: skip
_LONG_AFTER_COLON = re.compile(r":[A-Za-z0-9_-]{30}")


def _may_hold_a_secret(text: str) -> bool:
    """Return False where no pattern can match: the quick way out for nearly all texts."""
    lowered = text.lower()
    return any(word in lowered for word in _HINTS) or _LONG_AFTER_COLON.search(text) is not None


class Redactor:
    """Knows the secrets of one run. Thread-safe: probes add while others redact."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._values: frozenset[str] = frozenset()
        self._kept: frozenset[str] = ORDINARY_WORDS
        self._forms: tuple[tuple[str, re.Pattern[str] | None], ...] = ()

    def add(self, value: str | None) -> None:
        """Remember a secret value.

        Very short ones, ordinary words and short numbers are left to the patterns.
        """
        if not value or len(value) < MIN_LENGTH or value in self._values:
            return
        with self._lock:
            self._values |= {value}
            self._rebuild()

    def known(self) -> list[str]:
        """Return the values remembered; for handing them to another redactor, and for nothing else."""
        return sorted(self._values)

    def keep(self, words: Iterable[str]) -> None:
        """Never replace these words where they stand alone: names of services, kinds, hosts."""
        with self._lock:
            self._kept |= {word.lower() for word in words}
            self._rebuild()

    def _rebuild(self) -> None:
        forms = {
            form
            for value in self._values
            if value.lower() not in self._kept and not (value.isdigit() and len(value) < 6)
            for form in _forms(value)
        }
        ordered = sorted(forms, key=lambda text: (-len(text), text))
        self._forms = tuple(
            (form, _alone(form) if len(form) < _WHOLE_WORDS_BELOW else None) for form in ordered
        )

    def add_environment(self, values: dict[str, str], also: frozenset[str] = frozenset()) -> None:
        """Remember the values of all variables whose names say that they are secret.

        Credentials inside URLs are taken out of every value, whatever its name.
        """
        for name, value in values.items():
            if name in also or SECRET_NAME.search(name):
                self.add(value)
            if "://" in value:
                for password in url_passwords(value):
                    self.add(password)

    def text(self, text: str) -> str:
        """Return the text without secrets."""
        forms = self._forms
        for form, alone in forms:
            if form in text:
                text = text.replace(form, MASK) if alone is None else alone.sub(MASK, text)
        text = _without_cut_secret(text, forms)
        if _may_hold_a_secret(text):
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


def _alone(form: str) -> re.Pattern[str]:
    before = r"(?<![A-Za-z0-9])" if form[0].isalnum() else ""
    after = r"(?![A-Za-z0-9])" if form[-1].isalnum() else ""
    return re.compile(before + re.escape(form) + after)


def _without_cut_secret(text: str, forms: tuple[tuple[str, re.Pattern[str] | None], ...]) -> str:
    """Mask the beginning of a known secret at the very end of a text that was cut too early."""
    size = len(text)
    if size < _MIN_CUT or not forms:
        return text
    beginnings = {form[:_MIN_CUT] for form, _ in forms}
    first = max(0, size - len(forms[0][0]))  # the longest comes first
    for at in range(first, size - _MIN_CUT + 1):
        if text[at : at + _MIN_CUT] not in beginnings:
            continue
        for form, _ in forms:
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
