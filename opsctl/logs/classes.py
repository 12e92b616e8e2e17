"""What an error in a log is about: a connection, the database, the application, or nothing here. Pure.

`connection`: something could not be reached. `database`: it was reached and refused or failed.
`application`: the service's own code or settings. `client`: somebody outside went away or asked
for what does not exist; that is no error of the service.
"""

from __future__ import annotations

import re
from typing import NamedTuple

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


def _any(phrases: str) -> re.Pattern[str]:
    """Compile a list of patterns, one a line."""
    return re.compile("|".join(line.strip() for line in phrases.strip().splitlines()))


_CLIENT = _any(
    r"""
    client (?:prematurely )?(?:closed|disconnected|intended to send too large body|timed out|canceled)
    clientdisconnect
    client sent (?:invalid|plain http)
    while (?:reading client request|ssl handshaking(?! to upstream))
    invalid http request received
    (?:could not (?:receive|send) data (?:from|to)) client
    unexpected eof on client
    limiting (?:requests|connections)
    access forbidden by rule
    directory index of .{0,300} is forbidden
    open\(\) .{0,400} failed \(2: no such file
    user .{0,100} (?:was not found in|: password mismatch)
    no user/password was provided
    csrf token mismatch
    notfoundhttpexception
    methodnotallowedhttpexception
    tokenmismatchexception
    requestvalidationerror
    unauthenticated\.
    httpexception: 4\d\d
    status(?: |_)?code[=: ]+4\d\d
    canceling statement due to user request
    query is empty
    """
)
_PEERS = (
    (
        "telegram",
        _any(r"""
    telegram
    aiogram
    getupdates
    api\.telegram\.org
    """),
    ),
    (
        "redis",
        _any(r"""
    redis
    :6379\b
    celery.{0,40}broker
    phpredis
    predis
    """),
    ),
    (
        "postgres",
        _any(r"""
    psycopg
    asyncpg
    postgres
    sqlalchemy
    pgsql
    sqlstate
    :5432\b
    port 5432
    pg_hba
    libpq
    queuepool
    """),
    ),
    (
        "upstream",
        _any(r"""
    upstream
    """),
    ),
)
_RULES = (
    (
        "application",
        "telegram-conflict",
        _any(
            r"""
    telegramconflicterror
    conflict: terminated by other getupdates
    terminated by other getupdates
    can't use getupdates method while webhook is active
    """
        ),
    ),
    (
        "application",
        "address-in-use",
        _any(
            r"""
    address already in use
    \beaddrinuse
    errno 98\b
    failed \(98:
    """
        ),
    ),
    (
        "application",
        "disk-full",
        _any(
            r"""
    no space left on device
    \benospc
    errno 28\b
    disk quota exceeded
    disk full
    """
        ),
    ),
    (
        "application",
        "out-of-memory",
        _any(
            r"""
    \bout of memory\b
    memoryerror
    cannot allocate memory
    allowed memory size of
    \benomem
    oom command not allowed
    """
        ),
    ),
    (
        "database",
        "too-many-connections",
        _any(
            r"""
    too many clients
    too many connections
    remaining connection slots
    sqlstate\[?53300
    max number of clients
    no more connections allowed
    """
        ),
    ),
    (
        "database",
        "pool-exhausted",
        _any(
            r"""
    queuepool limit
    pool (?:limit|exhausted|timeout)
    pooltimeout(?!.{0,40}http)
    couldn't get a connection after
    connection pool exhausted
    pool is (?:exhausted|full)
    """
        ),
    ),
    (
        "database",
        "auth-failed",
        _any(
            r"""
    password authentication failed
    no pg_hba\.conf entry
    noauth\s
    wrongpass
    invalid username-password
    role \S{1,80} does not exist
    invalidpassword
    invalidauthorization
    authentication required
    sqlstate\[?28
    """
        ),
    ),
    (
        "application",
        "",
        _any(
            r"""
    violates (?:unique|foreign key|not-null|check|exclusion) constraint
    uniqueviolation
    integrityerror
    foreignkeyviolation
    notnullviolation
    checkviolation
    duplicate key value
    sqlstate\[?2[23]
    invalid input (?:syntax|value)
    invalidtextrepresentation
    value too long for type
    dataerror
    """
        ),
    ),
    (
        "database",
        "",
        _any(
            r"""
    the database system is (?:starting up|shutting down|in recovery)
    cannot connect now
    cannotconnectnow
    sqlstate\[?(?:42|40|25|55|53|57|3d|3f|xx|58)
    database \S{1,80} does not exist
    (?:relation|table|column|function|schema|type) \S{1,120} does not exist
    undefinedtable
    undefinedcolumn
    no such table
    deadlock detected
    deadlockdetected
    could not serialize
    serializationfailure
    canceling statement due to (?:statement|lock) timeout
    querycanceled
    lock timeout
    locknotavailable
    lock wait timeout
    read-only transaction
    readonlysqltransaction
    readonlyerror
    you can't write against a read only
    misconf\s
    loading redis is loading
    busyloadingerror
    busy redis is busy
    clusterdown
    masterdown
    could not (?:write|read|open|extend|fsync) (?:block|file|to file)
    invalid page
    current transaction is aborted
    pendingrollback
    programmingerror
    internalerror
    server process .{0,40}was terminated
    terminating any other active server
    crash of another server process
    permission denied for (?:table|relation|schema|database|sequence)
    insufficientprivilege
    """
        ),
    ),
    (
        "connection",
        "",
        _any(
            r"""
    connection (?:to server .{0,200})?(?:refused|reset|timed out|timeout|aborted|failed|lost|error)
    connection (?:was |is )?closed
    connectionrefused
    connectionreset
    connectionerror
    connecterror
    connecttimeout
    readtimeout
    writetimeout
    connectionaborted
    newconnectionerror
    maxretryerror
    remotedisconnected
    remoteprotocolerror
    serverdisconnected
    clientconnector
    clientoserror
    server disconnected
    \beconnrefused
    \beconnreset
    \betimedout
    \behostunreach
    \benotfound
    \beai_again
    \bepipe
    no route to host
    host is unreachable
    network is unreachable
    name or service not known
    temporary failure in name resolution
    nodename nor servname
    could not translate host name
    could not resolve
    failed to resolve
    nameresolution
    getaddrinfo
    host not found in upstream
    no resolver defined
    php_network_getaddresses
    server closed the connection
    connection has been closed
    terminating connection
    connection pool is closed
    sqlstate\[?(?:08|hy000\]? \[2002)
    (?:connect|recv|send|read|write)\(\) (?:to \S{1,200} )?failed \(\d
    upstream timed out
    upstream prematurely closed
    no live upstreams
    upstream sent (?:no valid|invalid)
    telegramnetworkerror
    networkerror
    cannot connect to host
    can't connect to
    could not connect
    unable to connect
    failed to connect
    error .{0,10}connecting to
    errno 1(?:11|04|10|13)\b
    timeout (?:reading from|connecting to|expired)
    timed out
    timeouterror
    connectiondoesnotexist
    interfaceerror
    broken ?pipe
    bad gateway
    gateway time-?out
    http/\d(?:\.\d)?\" 50[24]\b
    operationalerror
    """
        ),
    ),
    (
        "database",
        "",
        _any(
            r"""
    databaseerror
    queryexception
    psycopg
    asyncpg
    sqlalchemy\.exc
    pdoexception
    sqlstate
    redis\.exceptions
    responseerror
    rediserror
    """
        ),
    ),
)
"""The first rule that holds wins: what names its cause comes before what only sounds alike."""

_CRASH = _any(
    r"""
    segmentation fault
    segfault
    core dumped
    panic:
    fatal python error
    was terminated by signal
    worker .{0,40}(?:was sent sig|timeout|failed to boot)
    application startup failed
    unhandled exception in thread
    exited on signal
    """
)


def meaning(text: str, format: str = "plain") -> Meaning:
    """Return what an error's text is about.

    Args:
        text: the message, the exception's own line, and what was said with it.
        format: the log's format; in PostgreSQL's own log what no rule knows is about the database.
    """
    lowered = text[:2000].lower()
    if _CLIENT.search(lowered):
        return Meaning(CLIENT)
    marker = "crash" if _CRASH.search(lowered) else ""
    for category, named, pattern in _RULES:
        if pattern.search(lowered):
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
    found = next((name for name, pattern in _PEERS if pattern.search(lowered)), "")
    if (
        not found
        and category == "connection"
        and re.search(r"resol|getaddrinfo|enotfound|eai_again", lowered)
    ):
        return "dns"
    return found
