"""What an error in a log is about: a connection, the database, the application, or nothing here. Pure.

`connection`: something could not be reached. `database`: it was reached and refused or failed.
`application`: the service's own code or settings. `client`: somebody outside went away or asked
for what does not exist; that is no error of the service.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from opsctl.logs.class_rules import RULES
from opsctl.logs.class_words import CLIENT as CLIENT_PHRASES
from opsctl.logs.class_words import CRASH, PEERS

CLASSES = ("connection", "database", "application")
CLIENT = "client"


class Meaning(NamedTuple):
    """The class of an error, what it was talking to, and a word for texts that name their cause.

    `peer` is postgres, redis, telegram, upstream, dns or empty; `marker` is telegram-conflict,
    address-in-use, disk-full, out-of-memory, pool-exhausted, too-many-connections, auth-failed,
    crash or empty.
    """

    category: str
    peer: str = ""
    marker: str = ""


def meaning(text: str, format: str = "plain") -> Meaning:
    """Return what an error's text is about.

    Args:
        text: the message, the exception's own line, and what was said with it.
        format: the log's format; in PostgreSQL's own log what no rule knows is about the database.
    """
    lowered = text[:2000].lower()
    if CLIENT_PHRASES.hold(lowered):
        return Meaning(CLIENT)
    marker = "crash" if CRASH.hold(lowered) else ""
    for category, named, phrases in RULES:
        if phrases.hold(lowered):
            if format == "postgres":  # its own log: what it refuses to a client is the client's fault
                return _in_postgres(category, named or marker, lowered)
            return Meaning(category, _peer(lowered, category), named or marker)
    if format == "postgres":
        return Meaning("database", "", marker)
    return Meaning("application", "", marker)


def meaning_of_warning(text: str, format: str = "plain") -> Meaning:
    """Return what a mere warning is about: only a peer that fails, or a cause named outright, counts."""
    found = meaning(text, format)
    if found.category in ("connection", "database") and (found.peer or found.marker):
        return found
    return found if found.marker == "telegram-conflict" else Meaning(CLIENT)


def _in_postgres(category: str, marker: str, lowered: str) -> Meaning:
    if category == "application" and not marker:
        return Meaning(CLIENT)
    if category == "connection" and "terminating connection" in lowered:
        return Meaning(CLIENT)
    if category == "connection" and not re.search(
        r"primary|replication|archive|ldap|resolve|translate", lowered
    ):
        return Meaning(CLIENT)
    return Meaning("database" if not marker or category == "database" else category, "", marker)


def _peer(lowered: str, category: str) -> str:
    found = next((name for name, phrases in PEERS.items() if phrases.hold(lowered)), "")
    if (
        not found
        and category == "connection"
        and re.search(r"resol|getaddrinfo|enotfound|eai_again", lowered)
    ):
        return "dns"
    return found
