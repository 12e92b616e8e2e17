"""Phrases that tell what an error was talking to, and whether it is one of the service at all. Pure."""

from __future__ import annotations

from opsctl.logs.patterns import Phrases

CLIENT = Phrases(
    r"""
    client (?:prematurely )?(?:closed|disconnected|intended to send too large body|timed out|canceled)
    clientdisconnect
    client sent (?:invalid|plain http)
    while (?:reading client request|ssl handshaking(?! to upstream))
    invalid http request received
    (?:could not (?:receive|send) data (?:from|to)) client
    unexpected eof on client
    connection to client lost
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
"""Somebody outside went away, or asked for what does not exist."""

PEERS = {
    "telegram": Phrases(
        r"""
        telegram
        aiogram
        getupdates
        api\.telegram\.org
        """
    ),
    "redis": Phrases(
        r"""
        redis
        :6379\b
        celery.{0,40}broker
        phpredis
        predis
        """
    ),
    "postgres": Phrases(
        r"""
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
        """
    ),
    "upstream": Phrases(
        r"""
        upstream
        """
    ),
}

CRASH = Phrases(
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
