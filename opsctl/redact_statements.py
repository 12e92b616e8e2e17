"""Secrets among the values of a statement or a call: they have no name, their place is all there is. Pure.

Which value of `INSERT INTO users VALUES ('a', 'b')` is the password cannot be told, so all go.
"""

from __future__ import annotations

import re

MASK = "[redacted]"

STATEMENT_HINTS = (
    "insert",
    "replace into",
    "update",
    "delete from",
    "select",
    "values",
    "where",
    "statement:",
    "sql:",
    "execute",
)
STATEMENT = (
    r"(?is)\b(?:(?:insert|replace|merge)\s{1,4}into\s|delete\s{1,4}from\s|values\s{0,4}\("
    r"|update\s{1,4}[^\s']{1,130}\s{1,4}(?:as\s{1,4}\w{1,60}\s{1,4})?set\s"
    r"|select\s(?=[^;]{0,400}?\sfrom\s)"
    r"|where\s{1,4}[\w.\"`(]{1,130}\s{0,4}(?:=|<>|!=|i?like\b|in\s{0,4}\()"
    r"|(?:statement|sql|execute\s{1,4}\S{1,64}):\s)[^']{0,4000}'.*"
)
"""From a statement's first word to the end of the text: what follows it is its own."""
PARAMETERS = r"(\$\d{1,5} = )'(?:[^'\n]|'')*'?"
"""PostgreSQL's values of a prepared statement."""
CALL_HINTS = ("->", "::", "_connect", "_pconnect", "_login", "_auth", "_bind", "password_")
CALL = (
    r"(?i)((?:(?:->|::)(?:__construct|\w{0,40}connect\w{0,40}|\w{0,40}auth\w{0,20}|\w{0,40}log_?in"
    r"|\w{0,20}attempt\w{0,20}|\w{0,40}(?:password|secret|credential)\w{0,20})|\bhash\w{0,10}(?:->|::)\w{1,20}"
    r"|\b(?:mysqli?|pg|oci|ldap|ftp|ssh2|imap)_\w{0,10}(?:connect|login|auth|bind)\w{0,15}"
    r"|\bpassword_(?:hash|verify))\()(?=[^()\n]{0,400}')[^\n]{1,1000}"
)
"""A call in a PHP trace that is given a login; its arguments have no names."""
_LITERAL = re.compile(r"'((?:[^']|'')+)'?")
_ARGUMENT = re.compile(r"'([^'\n]*)(?:'|\Z)")
_DSN = re.compile(r"\w{1,20}:(?!.*(?:pass|pwd))[\w=;.,:/@ -]*\Z", re.I)


def without_literals(match: re.Match[str]) -> str:
    """Return a statement without its strings; numbers and names stay."""
    text = match.group(0)
    first = text.index("'")
    if "\\'" in text:  # where a string ends is up to the dialect then
        last = text.rindex("'")
        return f"{text[:first]}'{MASK}'{text[last + 1 :]}" if last > first else f"{text[:first]}'{MASK}'"
    return text[:first] + _LITERAL.sub(f"'{MASK}'", text[first:])


def without_arguments(match: re.Match[str]) -> str:
    """Return a call without the strings given to it; a DSN that holds no password stays."""
    kept = len(match.group(1))
    text = match.group(0)

    def masked(argument: re.Match[str]) -> str:
        return argument.group(0) if _DSN.match(argument.group(1)) else f"'{MASK}'"

    return text[:kept] + _ARGUMENT.sub(masked, text[kept:])
