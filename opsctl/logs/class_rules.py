"""The phrases by which an error in a log is told to be about a connection, the database or the application.

They are in small letters, as texts are lowered before.
"""

from __future__ import annotations

from typing import NamedTuple

from opsctl.logs.patterns import Phrases


class Rule(NamedTuple):
    """What it means where one of the phrases stands in an error's text."""

    category: str
    marker: str
    phrases: Phrases


RULES = (
    Rule(
        "application",
        "telegram-conflict",
        Phrases(
            r"""
        telegramconflicterror
        conflict: terminated by other getupdates
        terminated by other getupdates
        can't use getupdates method while webhook is active
        """
        ),
    ),
    Rule(
        "application",
        "address-in-use",
        Phrases(
            r"""
        address already in use
        \beaddrinuse
        errno 98\b
        failed \(98:
        """
        ),
    ),
    Rule(
        "application",
        "disk-full",
        Phrases(
            r"""
        no space left on device
        \benospc
        errno 28\b
        disk quota exceeded
        disk full
        """
        ),
    ),
    Rule(
        "application",
        "out-of-memory",
        Phrases(
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
    Rule(
        "database",
        "too-many-connections",
        Phrases(
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
    Rule(
        "database",
        "pool-exhausted",
        Phrases(
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
    Rule(
        "database",
        "auth-failed",
        Phrases(
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
    Rule(
        "application",
        "",
        Phrases(
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
    Rule(
        "database",
        "",
        Phrases(
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
    Rule(
        "connection",
        "",
        Phrases(
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
    Rule(
        "database",
        "",
        Phrases(
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
