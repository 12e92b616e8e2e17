"""What secrets look like that nobody told us about: by name, by form, by the command they stand in. Pure.

Every pattern runs in linear time: log lines may be long and hostile. A pattern is compiled when a
text first holds one of its hints, so that a run that meets nothing of the kind pays nothing.
What must be redacted and what must stay readable is a table: tests/unit/data/redact/*.txt.
"""

from __future__ import annotations

import functools
import re
from typing import TYPE_CHECKING, NamedTuple

from opsctl.redact_statements import (
    CALL,
    CALL_HINTS,
    PARAMETERS,
    STATEMENT,
    STATEMENT_HINTS,
    without_arguments,
    without_literals,
)
from opsctl.redact_statements import MASK as MASK

if TYPE_CHECKING:
    from collections.abc import Callable

_AGAIN = 4
"""What one pattern uncovers, another may have to redact: this many rounds at most."""
_SHORTEST = 6

_WORD = r"(?<![A-Za-z0-9])"
_NOT_YET = r"(?!\[redacted\])"
_BARE = r"(?:[^\s&\"'<>]|&(?![A-Za-z0-9_.\[\]-]{1,40}=))+"
_VALUE = rf"{_NOT_YET}(?:\"(?:[^\"\\\n]|\\.)*\"?|'(?:[^'\\\n]|\\.)*'?|{_BARE})"
_KEY_END = r"[A-Za-z0-9_-]{0,40}\\?[\"']?\]?"
_HARMLESS_END = (
    r"(?![A-Za-z0-9_-]{0,40}_(?:file|path|dir|name|type|ttl|count|length|min|max|policy|expir\w{0,8}|seconds"
    r"|minutes|hours|days|lifetime|timeout|algorithm|alg|method|limit|enabled|required|version)\b)"
)
_STRONG_NAMES = (
    r"password|passwd|passphrase|secret|api[_-]?key|private[_-]?key|access[_-]?key|signing[_-]?key"
    r"|encryption[_-]?key|session[_-]?key|app[_-]?key|account[_-]?key|master[_-]?key|license[_-]?key"
    r"|auth[_-]?key|service[_-]?key|api[_-]?hash|requirepass|masterauth"
    r"|(?:totp|otp|mfa|wallet|master|hd)[_-]?seed|seed[_-]?phrase"
)
_STRONG = rf"(?:{_STRONG_NAMES}){_HARMLESS_END}"
_WEAK = (
    rf"(?!(?<!_)pwd\\?[\"']?\s{{0,4}}[=:]\s{{0,4}}\\?[\"']?/)"
    rf"(?:token(?!iz)|credentials?|jwt|pwd|auth(?!or)){_HARMLESS_END}"
)
_SHORT = rf"{_WORD}(?:pass|pw|psk|salt|dsn|mnemonic)"
_IS = r"\s{0,4}(?::=|=>?)\s{0,4}"
_ENDED = r"(?=[\s\"',;&)}\]]|\Z)"
_SAYS_NOTHING = rf"(?!(?:true|false|null|none|nil|yes|no){_ENDED})"
_HARMLESS_VALUE = (
    r"(?!(?:true|false|null|none|nil|yes|no|ok|failed|failure|success|required|optional|enabled|disabled"
    rf"|basic|bearer|digest|trust|peer|md5|scram-sha-256|\d{{1,6}}){_ENDED})"
)
_VERDICTS = (
    r"(?!(?:is|was|are|has|had|not|no|yes|missing|invalid|expired|expires|required|empty|none|null|nil|true"
    r"|false|must|should|wrong|incorrect|failed|fails|unset|set|unknown|expected|unexpected|mismatch|error|ok"
    r"|cannot|could|too|the|a|an|please|field|authentication|denied|rejected|unauthorized)\b)"
)
_SENTENCES = (
    r"(?!(?:accepted|about|already|also|an?|and|as|at|being|blank|bad|by|case|changed|correct|denied|different"
    r"|disabled|empty|enabled|encrypted|expired|expiring|false|for|from|hashed|hidden|how|ignored|in|incorrect"
    r"|insecure|invalid|just|kept|known|like|long|longer|mandatory|masked|missing|my|needed|never|no|none|not"
    r"|now|null|ok|older|on|only|optional|or|our|over|please|rejected|required|reset|same|sent|set|short|shorter"
    r"|still|stored|strong|tested|that|the|their|to|too|true|under|unset|unknown|unused|updated|used|useless"
    r"|valid|validated|very|weak|what|when|where|with|without|wrong|your)\b)"
)
_RANDOM = r"(?=[^\s\"',;]{0,200}(?:[0-9]|(?-i:[a-z][A-Z])))[^\s\"',;]{8,}"
_DSN = r"(?!(?:https?|wss?)://)[a-z][a-z0-9+.-]{1,24}://[^\s:@/'\"]{0,200}"
_SCHEME = r"(?:bearer|basic|token|digest|negotiate)"
_GAP = r"[^\n|;\[]{0,300}?\s"
"""Between a command and its option; never over what is redacted already."""
_PEM = r"-{{4,5}} ?{} [A-Z0-9 ]{{0,30}}PRIVATE KEY(?: BLOCK)? ?-{{4,5}}"
_QUERY_NAMES = (
    r"x-(?:amz|goog)-(?:signature|credential|security-token)|(?:access|id|refresh|auth|session)?_?token"
    r"|sig|signature|key|api-?_?key|subscription-key|code|s?sid|session(?:_?id)?|ticket|hash|pw|pass|pwd|auth"
    r"|jwt|otp|nonce|assertion"
)
_NOT_KEYS = (
    "PRIMARY|PUBLIC|FOREIGN|PARTITION|SORT|ROUTING|CACHE|HOT|SHARD|GROUP|UNIQUE|INDEX|MESSAGE|TLS|SSL|IDEMPOTENCY"
    "|TRANSLATION|OBJECT|LOOKUP"
)
_HOOKS = (
    r"hooks\.slack\.com/(?:services|workflows|triggers)|discord(?:app)?\.com/api/webhooks"
    r"|[a-z0-9.-]{0,60}webhook\.office\.com|outlook\.office\.com|hooks\.zapier\.com/hooks"
    r"|chat\.googleapis\.com/v1/spaces"
)
_PLAIN_PATH = r"(?!(?:api|bot|telegram|tg|webhooks?|hooks?|callback|v\d|/){1,8}(?:[\s\"'<>]|\Z))"


def _masked(match: re.Match[str]) -> str:
    """Keep the name and the punctuation after the value."""
    value = match.group(0)[len(match.group(1)) :]
    bare = value.rstrip(",;:.)]}")
    return f"{match.group(1)}{MASK}{value[len(bare) :][:3]}" if bare else match.group(0)


class _Rule(NamedTuple):
    """One pattern: where one of the lower-case `hints` and all of `needs` are in a text, it is tried."""

    hints: tuple[str, ...]
    pattern: str
    replacement: str | Callable[[re.Match[str]], str]
    needs: str = ""


def _named(hints: str, before: str, after: str, needs: str = "") -> _Rule:
    """A secret that stands after its name."""
    return _Rule(tuple(hints.split()), f"(?i)({before}){after}", _masked, needs)


def _shown(hints: tuple[str, ...], pattern: str, kept: str = "", needs: str = "") -> _Rule:
    """A secret that shows by its form what it is; `kept` is what stays of the match."""
    return _Rule(hints, pattern, f"{kept}{MASK}", needs)


_BEGINNINGS = (
    "ghp_ gho_ ghu_ ghs_ ghr_ github_pat glpat- gldt- xox xapp- k_live k_test whsec_ sg. hf_ npm_ pypi-"
    " hvs. hvb. hvr. dop_v1_ shpat_ shpca_ shppa_ shpss_ gocspx- ya29. age-secret-key- aiza sk- akia asia"
)
_TOKENS = (
    _WORD
    + r"(?:gh[pousr]_[A-Za-z0-9]{16,}|(?:github_pat_|glpat-|gldt-|xox[abeprs]-|xapp-|[prs]k_(?:live|test)_"
    r"|whsec_|SG\.|hv[sbr]\.|pypi-|dop_v1_|shp(?:at|ca|pa|ss)_|GOCSPX-|ya29\.|AGE-SECRET-KEY-)[A-Za-z0-9_.-]{16,}"
    r"|(?:hf|npm)_[A-Za-z0-9]{30,}|AIza[A-Za-z0-9_-]{30,}|A(?:KIA|SIA)[A-Z0-9]{16}(?![A-Za-z0-9])"
    r"|sk-(?=[A-Za-z_-]{0,60}[0-9])[A-Za-z0-9_-]{16,})"
)
_NAMES_HINTS = "pass secret key hash token credential jwt pwd auth seed"
_RULES: tuple[_Rule, ...] = (
    _shown(("private key",), f"(?s){_PEM.format('BEGIN')}.*?(?:{_PEM.format('END')}|\\Z)"),
    # credentials in URLs; in a DSN the password may hold a slash, and a port is no password
    _shown(
        ("://",),
        rf"(?i)(?<![a-z0-9+.-])({_DSN}):(?!\d{{1,5}}(?:[/?,\s'\"]|\Z))[^\s'\"<>]{{0,500}}(?=@)",
        r"\1:",
        "@",
    ),
    _shown(("://",), r"(://[^\s/:@'\"?#]{0,200}):[^\s/'\"]{0,500}(?=@)", r"\1:", "@"),
    _shown(("://",), r"(://)[A-Za-z0-9_-]{20,200}(?=@)", r"\1", "@"),
    _shown(
        ("@tcp(", "@unix(", "@udp("),
        r"((?<![A-Za-z0-9_.-])[A-Za-z0-9_.-]{1,64}:)[^\s@/'\"]{1,200}(?=@(?:tcp|udp|unix)\()",
        r"\1",
    ),
    # tokens by their form
    _shown(("",), r"(?<!\d)\d{6,12}(?::|%3[aA])[A-Za-z0-9_-]{30,}"),
    _shown(("eyj",), _WORD + r"eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{0,}(?:\.[A-Za-z0-9_-]*){0,3}"),
    _shown(tuple(_BEGINNINGS.split()), _TOKENS),
    _shown(("",), r"(?<![^\s\"'(])(?=\S{0,75}[a-z])(?=\S{0,75}[A-Z])(?=\S{0,75}[0-9])"
           r"[A-Za-z0-9+][A-Za-z0-9+/]{59,4095}={0,2}(?![^\s\"'),;])"),
    # webhooks whose path is the secret
    _shown(
        ("hooks.slack", "webhook", "outlook.office", "hooks.zapier", "chat.googleapis"),
        rf"(?i)((?:{_HOOKS})/){_NOT_YET}[^\s\"'<>]+",
        r"\1",
    ),
    _named(
        "webhook",
        r"webhook\w{0,30}\\?[\"']?\s{0,4}[=:]\s{0,4}\\?[\"']?https?://[^\s/\"'?#]{1,200}/",
        rf"{_NOT_YET}{_PLAIN_PATH}[^\s\"'<>]{{4,}}",
    ),
    _named("webhook", r"/webhooks?/(?:[a-z]{1,20}/)?", _RANDOM.replace("{8,}", "{16,}")),
    # headers
    _shown(
        ("bearer", "basic", "digest"),
        r"(?i)\b((?:bearer|basic|digest)\s{1,4})(?![a-z_]{1,30}=)(?=\S{0,200}[0-9=]|\S{0,200}(?-i:[a-z][A-Z]))"
        r"[A-Za-z0-9._~+/=-]{8,}",
        r"\1",
    ),
    _shown(("cookie",), r"(?i)((?:set-)?cookie\\?[\"']?\s{0,4}:\s{0,4}\\?[\"']?)[^\r\n\"']+", r"\1"),
    _named(
        "authorization x-api-key x-auth-token",
        rf"(?:authorization|x-api-key|x-auth-token)\\?[\"']?\s{{0,4}}[:=]\s{{0,4}}\\?[\"']?(?:{_SCHEME}\s{{1,4}})?",
        rf"(?!\[redacted\]|{_SCHEME}\b)[^\s\"',;]+",
    ),
    # parameters of a URL or a form; three digits are a status, not a key
    _named(
        "token sig key code sid session ticket hash pw pass auth jwt otp nonce assertion x-amz x-goog",
        rf"(?:[?&]|&amp;|\\u0026|%26|%3f)(?:{_QUERY_NAMES})=",
        rf"{_NOT_YET}(?!\d{{1,3}}(?:[&\s\"'#]|\Z))[^&\s\"'<>#]+",
        "=",
    ),
    _named(
        "sess sid xsrf csrf",
        rf"{_WORD}(?:phpsessid|jsessionid|asp\.net_sessionid|connect\.sid|[a-z]{{1,20}}_session|session_?id"
        r"|xsrf-token|csrf_?token)\s{0,4}=\s{0,4}",
        rf"{_NOT_YET}{_RANDOM}",
        "=",
    ),
    # NAME=value, "name": "value", name: value
    _named(
        _NAMES_HINTS,
        rf"{_STRONG}{_KEY_END}{_IS}",
        rf"(?![=\s]){_SAYS_NOTHING}{_VALUE}",
        "=",
    ),
    _named(
        "token credential jwt pwd auth",
        rf"{_WEAK}{_KEY_END}{_IS}",
        rf"(?![=\s]){_HARMLESS_VALUE}{_VALUE}",
        "=",
    ),
    _named(
        "pass pw psk salt dsn mnemonic",
        rf"{_SHORT}\\?[\"']?\]?{_IS}",
        rf"(?![=\s]){_SAYS_NOTHING}{_VALUE}",
        "=",
    ),
    _Rule(
        ("_key",),
        rf"({_WORD}(?!(?:[A-Z0-9_]{{0,40}}_)?(?:{_NOT_KEYS})_KEY)[A-Z0-9_]{{1,40}}_KEY\\?[\"']?\]?\s{{0,4}}[=:]\s{{0,4}}"
        r"\\?[\"']?)"
        r"(?![=\s]|[\w./~-]{1,200}\.(?:pem|key|crt|cer|pub)\b|\[redacted\])[^\s\"'&<>\\]+",
        _masked,
    ),
    _named(
        _NAMES_HINTS,
        rf"{_STRONG}[A-Za-z0-9_-]{{0,40}}\\?[\"']\s{{0,4}}:\s{{0,4}}(?:\[(?!redacted\])\s{{0,4}})?",
        rf"(?!\{{){_SAYS_NOTHING}(?:\\\"(?:[^\"\\]|\\[^\"])*\\\"|{_VALUE})",
        ":",
    ),
    _named(
        "token credential jwt pwd auth",
        rf"{_WEAK}[A-Za-z0-9_-]{{0,40}}\\?[\"']\s{{0,4}}:\s{{0,4}}(?:\[(?!redacted\])\s{{0,4}})?",
        rf"(?!\{{){_HARMLESS_VALUE}(?:\\\"(?:[^\"\\]|\\[^\"])*\\\"|{_VALUE})",
        ":",
    ),
    _named(
        "pass pw psk salt dsn mnemonic",
        rf"{_SHORT}\\?[\"']\s{{0,4}}:\s{{0,4}}",
        rf"(?!\{{){_SAYS_NOTHING}(?:\\\"(?:[^\"\\]|\\[^\"])*\\\"|{_VALUE})",
        ":",
    ),
    _named(_NAMES_HINTS, rf"{_STRONG}[A-Za-z0-9_-]{{0,40}}\s{{0,4}}:(?!=)\s{{0,4}}", _VERDICTS + _VALUE, ":"),
    _named(
        "token credential jwt pwd auth pw pass",
        rf"(?:{_WEAK}[A-Za-z0-9_-]{{0,40}}|{_SHORT})\s{{0,4}}:(?!=)\s{{0,4}}",
        rf"{_NOT_YET}{_RANDOM}",
        ":",
    ),
    # in markup, in a form that is encoded once more, in an object of its own, after a blank
    _named(
        _NAMES_HINTS,
        rf"<(?:[a-z][\w-]{{0,30}}:)?[\w.-]{{0,40}}(?:{_STRONG}|{_WEAK})[\w.-]{{0,40}}(?:\s[^<>]{{0,200}})?>"
        r"\s{0,4}(?:<!\[CDATA\[)?",
        rf"{_NOT_YET}[^<]{{1,2000}}(?=</[\w:.-]{{0,80}}(?:pass|pwd|secret|token|key|cred|jwt|auth|seed))",
        "<>",
    ),
    _named(
        f"{_NAMES_HINTS} pw psk salt dsn",
        rf"(?:{_STRONG}|{_WEAK}|(?:{_WORD}|(?<=%26))(?:pass|pw|psk|salt|dsn))[A-Za-z0-9_-]{{0,40}}%(?:25)?3D",
        rf"{_NOT_YET}(?:[^\s&\"'<>%]|%(?!(?:25)?26))+",
        "%",
    ),
    _named(
        _NAMES_HINTS,
        rf"(?:{_STRONG}|{_WEAK})[A-Za-z0-9_-]{{0,40}}\\?[\"']\s{{0,4}}:\s{{0,4}}\{{[^{{}}]{{0,300}}?"
        r"\\?[\"'](?:value|plain\w{0,10}|raw|input|data|current|old|new|text|string)\\?[\"']\s{0,4}:\s{0,4}",
        rf"{_SAYS_NOTHING}(?:\\\"(?:[^\"\\]|\\[^\"])*\\\"|{_VALUE})",
        "{:",
    ),
    _named(
        "_secret -secret _token -token _key -key _password -password",
        rf"{_WORD}(?:client|app|api|auth|access|refresh|shared|consumer|webhook|bot|session|user|db)"
        r"[_-](?:secret|token|key|password)\s{1,4}",
        rf"(?![/.~]|\w{{1,30}}\(|\d{{4}}-\d\d-){_NOT_YET}{_RANDOM}",
    ),
    # other languages, and a login as it was typed
    _named(
        "парол секрет токен passwort kennwort passe contrase senha",
        r"(?:парол\w{1,3}|секрет\w{0,5}|токен\w{0,3}|passwort|kennwort|mot de passe|contrase[ñn]a|senha)"
        r"\\?[\"']?\s{0,4}(?::=|=>?|:)\s{0,4}\\?",
        rf"(?!(?:не|нет|невер\w*|недейств\w*|ист[её]к\w*|пуст\w*|обязат\w*|слишком|falsch|ungültig|fehlt|leer"
        rf"|nicht|abgelaufen|invalide?|inválid\w*|incorrect\w*|manquant)\b){_SAYS_NOTHING}{_VALUE}",
    ),
    _named(
        "login logon log-in log sign auth credential",
        r"\b(?:log[ -]?[io]n|sign[ -]?in|auth\w{0,20}|credentials?)\b[^\n:]{0,40}?"
        r"\b(?:fail\w{0,4}|refused|denied|rejected|invalid|wrong|bad)\b[^\n:]{0,40}?"
        r"\b(?:for|of|as|with|by)(?: user)? [\"'(]?"
        r"(?!(?:user\w{0,4}|role|account|host|ip|e-?mail|https?|[a-z]{2,10}sql|redis|[0-9a-f]{1,4}):)"
        r"[a-z][\w.@+-]{0,63}:",
        rf"(?![/:]|\d{{1,5}}(?![\w])){_NOT_YET}[^\s\"'<>)]+",
        ":",
    ),
    # values that have no name
    _Rule(("= '",), PARAMETERS, rf"\1'{MASK}'", "$"),
    _Rule(STATEMENT_HINTS, STATEMENT, without_literals, "'"),
    _Rule(CALL_HINTS, CALL, without_arguments, "('"),
    # command lines
    _named(
        "--",
        r"--[a-z0-9-]{0,40}(?:password|passwd|passphrase|secret|token|api-key|pass)[a-z0-9-]{0,20}[= ]",
        rf"(?!-){_VALUE}",
        "-",
    ),
    _named(
        "curl --user --proxy-user",
        rf"(?:\bcurl\b{_GAP}-u ?|--(?:proxy-)?user[= ])[\"']?(?!\d+:\d+\b)(?!([\w-]{{1,40}}):\2(?![\w-]))"
        r"[^\s:\"']{1,100}:",
        rf"{_NOT_YET}[^\s\"']+",
        ":",
    ),
    _Rule(
        ("mysql", "mariadb"),
        rf"(\b(?:mysql\w{{0,10}}|mariadb[\w-]{{0,10}})\b{_GAP}-p)(?!\s|\[redacted\])\S+",
        _masked,
        "-",
    ),
    _Rule(
        ("sshpass", "login", "mongo"),
        rf"(\b(?:sshpass|(?:docker|podman|nerdctl|registry) login|mongo\w{{0,10}})\b{_GAP}-p\s{{0,4}})"
        r"(?!-|\[redacted\])\S+",
        _masked,
        "-",
    ),
    _named("redis-cli valkey-cli", rf"\b(?:redis|valkey)-cli\b{_GAP}-a\s{{1,4}}", rf"(?!-){_VALUE}"),
    _named("-pass", r"-pass(?:in|out)?\s{1,4}pass:", rf"{_NOT_YET}\S+"),
    # SQL, Redis and SMTP
    _named(
        "password identified requirepass masterauth",
        r"\b(?:password|identified by|requirepass|masterauth)\s{1,4}",
        r"'(?:[^'\n]|'')*'?",
    ),
    _named("requirepass masterauth", r"\b(?:requirepass|masterauth)\s{1,4}", r"(?![=:'\"]|\[redacted\])\S+"),
    _named("setuser", r"\bsetuser\s{1,4}\S{1,100}[^\n\[]{0,200}?\s>", rf"{_NOT_YET}\S+", ">"),
    _Rule(
        ("auth",),
        r"((?<![\w-])[\"']?AUTH[\"']?(?: PLAIN| LOGIN| XOAUTH2)?\s{1,4}(?:[\"']?default[\"']?\s{1,4})?)"
        r"(?![\"']?(?:PLAIN|LOGIN|XOAUTH2|CRAM-MD5|NTLM|GSSAPI|SCRAM\S*|DIGEST-MD5|EXTERNAL|command|called"
        r"|required|failed|failure|error|ok|success\w*|timeout|disabled|enabled|token|module|denied|is|was|not"
        r"|<password>)\b|<|\[redacted\])"
        r"(?:[\"'][^\"'\n]+[\"']?(?:\s{1,4}[\"'][^\"'\n]+[\"']?)?|\S+\s{1,4}\S+(?=\s*$)|\S+(?=\s*$)"
        r"|(?=\S{0,200}[0-9]|\S{0,200}[a-z][A-Z])\S{4,})",
        _masked,
        "A",
    ),
    # sentences
    _named(
        "pass pwd",
        r"\b(?:password|passwd|passphrase|pwd)(?: (?:for|of) (?:the )?(?:user |role )?\S{1,60})?"
        r" (?:is|was|are|set to|changed to|=)(?: now)?:? {1,3}",
        rf"{_SENTENCES}{_VALUE}",
    ),
    _named(
        "pass token secret key credential",
        r"\b(?:(?:with|using|and) (?:password|passwd)|(?:token|secret|api[ _-]?key|credentials?)"
        r" (?:is|was|set to|changed to)(?: now)?):? {1,3}",
        rf"{_NOT_YET}{_RANDOM}",
    ),
)  # fmt: skip
_HINTS = tuple(dict.fromkeys(hint for rule in _RULES for hint in rule.hints if hint))


def _fewest(hints: tuple[str, ...]) -> tuple[str, ...]:
    """Return the hints without those that hold another one: one test serves both."""
    return tuple(one for one in hints if not any(other in one and other != one for other in hints))


_ANY = _fewest(_HINTS)


@functools.cache
def _compiled(rule: _Rule) -> re.Pattern[str]:
    return re.compile(rule.pattern)


def _hinted(lowered: str, hints: tuple[str, ...]) -> bool:
    for hint in hints:  # noqa: SIM110 - a generator would cost twice as much, and this runs for every text
        if hint in lowered:
            return True
    return False


def _has_a_long_run(text: str) -> bool:
    """Return whether a text is long enough for the forms that have no hint: bot tokens, key material."""
    return len(text) >= 37 and _LONG.search(text) is not None


_LONG = re.compile("[A-Za-z0-9_+/-]{30}")


def without_patterns(text: str) -> str:
    """Return the text without what shows by name, form or place that it is a secret."""
    if len(text) < _SHORTEST or (len(text) < 20 and text.replace("_", "").isalnum()):
        return text
    for _ in range(_AGAIN):
        before = text
        lowered = text.lower()
        long = _has_a_long_run(text)
        if not long and not _hinted(lowered, _ANY):
            return text
        for rule in _RULES:
            if rule.hints == ("",):
                if not long:
                    continue
            elif not _hinted(lowered, rule.hints):
                continue
            if all(character in text for character in rule.needs):
                text = _compiled(rule).sub(rule.replacement, text)
        if text == before:
            return text
    return text
