"""From an env file's values to verdicts about them. Pure; no value is in what it returns."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from opsctl.facts.config import Variable
from opsctl.redact import is_secret_name, url_passwords

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

MAX_VARIABLES = 500
SHORT_BELOW = 8
"""A declared secret with fewer characters can be guessed (NIST SP 800-63B: at least 8)."""

_PLACEHOLDER = re.compile(
    r"(?i)^(?:change[-_ ]?(?:me|this|it)\w*|your[-_ ].*|.*[-_]here|<.*>|\{\{.*\}\}|\[.*\]|x{3,}|\*{3,}|\.{3,}"
    r"|(?:my|the|a|some|very|super|top)[-_ ]?(?:secret|password|token|key)(?:[-_ ]?(?:password|key|token))?"
    r"|(?:password|passwd|secret|token|admin|root|example|default|placeholder|todo|fixme|dummy|sample|qwerty"
    r"|letmein|replace[-_ ]?me|set[-_ ]?me|insert.*|none|null|undefined|abc123)\d{0,4}"
    r"|12345\d{0,5}|0{4,}|.*(?:changeme|change_me|replace_me|your_token|your_secret|insecure-default).*)$"
)
_TELEGRAM_EXAMPLE = re.compile(r"^123456:ABC-DEF|^110201543:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw")
_DEBUG_NAMES = frozenset({"DEBUG", "APP_DEBUG", "FLASK_DEBUG", "DJANGO_DEBUG", "FASTAPI_DEBUG"})
_ORIGIN_NAME = re.compile(
    r"(?i)^(?:\w+_)?(?:allowed_origins?|cors_\w*origins?\w*|allow_origins?|cors_origins?)$"
)
_ENVIRONMENT_NAMES = frozenset({"ENVIRONMENT", "APP_ENV", "ENV", "NODE_ENV", "FLASK_ENV", "RAILS_ENV"})
_TRUE = frozenset({"1", "true", "yes", "on", "y", "t"})


def variables(
    values: Mapping[str, str], required: Iterable[str], secret: Iterable[str], production: bool
) -> list[Variable]:
    """Return the variables that matter with a verdict on each, in the file's order, missing ones first."""
    wanted, declared = list(dict.fromkeys(required)), set(secret)
    names = [name for name in wanted if not values.get(name, "").strip()]
    names += [name for name in values if name not in names]
    names += [name for name in declared if name not in values and name not in names]
    result: list[Variable] = []
    for name in names[:MAX_VARIABLES]:
        value = values.get(name, "").strip()
        is_secret = name in declared or is_secret_name(name)
        verdict = judged(name, value, name in declared, is_secret, production)
        if verdict or name in wanted or is_secret or name in declared:
            result.append(
                Variable(
                    name=name[:100],
                    required=name in wanted,
                    secret=is_secret,
                    present=bool(value),
                    length=len(value) if is_secret else None,
                    verdict=verdict,
                )
            )
    return result


def judged(name: str, value: str, declared: bool, is_secret: bool, production: bool) -> str:
    """Return the verdict word on one value, empty where there is nothing to say."""
    if not value or value.startswith(("${", "$(")):
        return ""
    if is_secret:
        if is_placeholder(value):
            return "placeholder"
        if declared and len(value) < SHORT_BELOW:
            return "short"
        if declared and len(set(value)) <= 2:
            return "repeated"
    elif "://" in value and any(is_placeholder(password) for password in url_passwords(value)):
        return "placeholder"
    if not production:
        return ""
    if name in _DEBUG_NAMES and value.lower() in _TRUE:
        return "debug"
    if _ORIGIN_NAME.match(name) and "*" in re.split(r"[\s,;\"'\[\]]+", value):
        return "any-origin"
    if name in _ENVIRONMENT_NAMES and value.lower() not in ("production", "prod", "live"):
        return "not-production"
    return ""


def is_placeholder(value: str) -> bool:
    """Return whether a secret is one that examples and manuals use."""
    return bool(_PLACEHOLDER.match(value[:200]) or _TELEGRAM_EXAMPLE.match(value))
