"""Looks at a Redis server: PING, then INFO, a few CONFIG GET, the slow log and queues in one round trip.

Never KEYS or SCAN, never a password asked for. One connection; metrics keep it, a diagnosis closes it.
"""

from __future__ import annotations

import socket
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

import msgspec

from opsctl.facts.base import Connection, FactProblem
from opsctl.facts.redis import Queue, RedisFacts
from opsctl.probes.addresses import beyond_loopback
from opsctl.probes.connection import connection_state
from opsctl.probes.listeners import listen_addresses
from opsctl.probes.redis_batch import SLOW_LOG_ENTRIES, Batch, keep_config, known_config, slow_log
from opsctl.probes.redis_client import RedisClient
from opsctl.probes.redis_details import detail_values
from opsctl.probes.redis_kept import Line
from opsctl.probes.redis_parsing import (
    CONFIG_NAMES,
    answer_state,
    config_fields,
    config_values,
    info_fields,
    info_values,
    slow_command,
    slow_entries,
)
from opsctl.probes.redis_protocol import ErrorReply, NotRedis, RedisError
from opsctl.probes.redis_window import LENGTH_COMMANDS, measure, queue_lengths, since_the_last_look
from opsctl.probes.remembering import for_metrics, remembered
from opsctl.stack.specs import RedisSpec

if TYPE_CHECKING:
    from opsctl.probes.base import ProbeContext

SOCKETS_SECONDS = 60.0
"""For how long they believe where the server listens."""


def probe(context: ProbeContext) -> RedisFacts:
    """Return the facts of one Redis server; refusals and hangs are facts as well."""
    spec = context.spec
    assert isinstance(spec, RedisSpec)
    password = context.secrets.resolve(context.service, spec.password_env, spec.password_file)
    user = urlsplit(spec.url).username
    line = Line(
        context,
        lambda seconds: RedisClient(spec.url, password, seconds),
        (spec.url, password or ""),
        None if password is None else (unquote(user), password) if user else (password,),
    )
    good = False
    base: dict[str, Any] = {
        "address": context.target.address,
        "may_be_exposed": spec.exposed,
        "expected_replicas": spec.replicas,
        "expected_replica": spec.replica,
    }
    began = time.monotonic()
    try:
        detail = ""
        try:
            base["ping_seconds"] = line.greet()
        except RedisError as error:
            state = _answer(error)
            if state not in ("ok", "loading"):
                return _not_answering(context, spec, base, _failure(error, context))
            base["loading"], detail = state == "loading", str(error)
        try:
            if base.get("loading"):
                return _loading(context, line.client, base, detail)
            facts = _read(context, line, spec, password, base, began)
            good = True
            return facts
        except RedisError as error:
            base.pop("ping_seconds", None)  # it answered once and then no more
            return _not_answering(context, spec, base, _failure(error, context))
    finally:
        line.end(good)


def _answer(error: Exception) -> str:
    """Return the state that the server's own words mean, empty where these are not its words."""
    if not isinstance(error, ErrorReply):
        return ""
    return answer_state(str(error), [kind.__name__ for kind in type(error).__mro__])


def _failure(error: Exception, context: ProbeContext) -> Connection:
    """Say how the connection failed in the words of `Connection`."""
    text = str(error)
    state = _answer(error)
    if state in ("", "ok"):
        state = "protocol" if isinstance(error, NotRedis) else connection_state(error)
    return Connection(state=state, detail=context.redactor.text(text)[:300], address=context.target.address)


def _not_answering(
    context: ProbeContext, spec: RedisSpec, base: dict[str, Any], connection: Connection
) -> RedisFacts:
    """Return the facts of a server that gave no useful answer; where it gave none at all, see why."""
    values = dict(base)
    if connection.state in ("closed", "protocol"):
        words = _farewell(spec)
        state = answer_state(words)
        if state:
            connection = msgspec.structs.replace(connection, state=state, detail=words[:300])
    if connection.state in ("timeout", "closed", "protocol"):
        connection = _or_stranger(context, spec, connection)
    if connection.state == "timeout":
        from opsctl.probes.redis_process import process_values

        values["accepted"] = _accepts(spec)
        values |= process_values(context, spec.url)
    return RedisFacts(up=False, connection=connection, **values)


def _or_stranger(context: ProbeContext, spec: RedisSpec, connection: Connection) -> Connection:
    """Return the connection, or that something else than a Redis answers there."""
    from opsctl.probes.redis_process import NAMES
    from opsctl.probes.stranger import who_answers

    parts = urlsplit(spec.url)
    if parts.scheme != "redis":
        return connection
    host, port = parts.hostname or "127.0.0.1", parts.port or 6379
    said = who_answers(context, host, port, NAMES, own=("-", "+", "$", "*", ":"))
    return msgspec.structs.replace(connection, state="protocol", detail=said[:300]) if said else connection


def _accepts(spec: RedisSpec) -> bool:
    """Return whether a connection is accepted at all: the kernel does so for a frozen process too."""
    try:
        with _socket(spec):
            return True
    except OSError:
        return False


def _farewell(spec: RedisSpec) -> str:
    """Return what a server says that shuts the door at once: too many clients, protected mode.

    Said before we send anything; a client that sends first often sees just the closed connection.
    """
    try:
        with _socket(spec) as connection:
            return connection.recv(600).decode("utf-8", "replace").strip().removeprefix("-")
    except OSError:
        return ""


def _socket(spec: RedisSpec) -> socket.socket:
    parts = urlsplit(spec.url)
    if parts.scheme != "unix":
        return socket.create_connection((parts.hostname or "127.0.0.1", parts.port or 6379), timeout=0.15)
    connection = socket.socket(socket.AF_UNIX)
    try:
        connection.settimeout(0.15)
        connection.connect(parts.path)
    except OSError:
        connection.close()
        raise
    return connection


def _loading(context: ProbeContext, client: RedisClient, base: dict[str, Any], detail: str) -> RedisFacts:
    """Return what a server tells that still reads its data: INFO alone is answered."""
    info = info_values(info_fields(client.command("INFO")))
    still = info["loading"] is not False
    return RedisFacts(
        up=not still,
        connection=Connection(
            state="loading" if still else "ok", detail=detail[:300], address=context.target.address
        ),
        problems=[]
        if still
        else [FactProblem(part="CONFIG GET", code="timeout", message="it has just finished loading")],
        **(base | info | {"loading": still}),
    )


def _read(
    context: ProbeContext,
    line: Line,
    spec: RedisSpec,
    password: str | None,
    base: dict[str, Any],
    began: float,
) -> RedisFacts:
    client, detailed = line.client, for_metrics(context)
    names = (*CONFIG_NAMES, "databases") if detailed else CONFIG_NAMES
    known = known_config(context)
    batch = Batch(client)
    batch.add("CLIENT", "SETNAME", "opsctl")  # the client may have connected anew
    batch.add("INFO")
    if known is None:
        for name in names:  # one by one: CONFIG GET takes several names only since Redis 7
            batch.add("CONFIG", "GET", name)
    if detailed:
        batch.add("SLOWLOG", "LEN")
        batch.add("SLOWLOG", "GET", 1)
    else:
        batch.add("SLOWLOG", "GET", SLOW_LOG_ENTRIES)
    database = _database(spec)
    if database:
        batch.add("SELECT", database)
    for name in spec.queues:
        batch.add("TYPE", name)
    if detailed:
        batch.add("INFO", "commandstats")
    batch.run()

    values = dict(base)
    batch.take("")
    info = info_fields(batch.take("INFO", "let the user run INFO"))
    values |= info_values(info)
    config = {} if known is None else known
    if known is None:
        for _ in names:
            config |= config_fields(batch.take("CONFIG GET", "let the user run CONFIG GET"))
        keep_config(context, config)
    values |= config_values(config)
    length = batch.take("SLOWLOG", "let the user run SLOWLOG") if detailed else None
    slow = slow_entries(batch.take("SLOWLOG", "let the user run SLOWLOG GET"))
    if detailed:
        slow = slow_log(context, client, slow)
    values["slow_commands"] = [slow_command(entry) for entry in slow]
    if database:
        batch.take(f"SELECT {database}")
    kinds = {name: batch.take(f"queue {name}", f"let the user run TYPE {name}") for name in spec.queues}
    if detailed:
        commands = info_fields(batch.take("INFO", "let the user run INFO"))
        values |= detail_values(info, commands, config, length)
    values["queues"] = _queues(client, spec, database, kinds, batch.problems)
    values |= _exposure(context, spec, password, values)
    if detailed:
        since_the_last_look(context, values)
    else:
        measure(client, context.left - 0.4, kinds, values)
    return RedisFacts(
        up=True,
        connection=Connection(state="ok", address=context.target.address, seconds=time.monotonic() - began),
        problems=batch.problems,
        **values,
    )


def _database(spec: RedisSpec) -> int:
    parts = urlsplit(spec.url)
    if parts.scheme == "unix":
        from urllib.parse import parse_qs

        text = parse_qs(parts.query).get("db", ["0"])[0]
    else:
        text = parts.path.strip("/")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 6 else 0


def _queues(
    client: RedisClient, spec: RedisSpec, database: int, kinds: dict[str, Any], problems: list[FactProblem]
) -> list[Queue]:
    lengths = queue_lengths(client, kinds)
    for name, kind in kinds.items():
        message = ""
        if isinstance(lengths.get(name), Exception):
            message = f"queue {name}: {lengths.pop(name)}"
        elif kind is not None and name not in lengths:
            message = f"queue {name}: a {kind} has no length"
        if message:
            hint = "name a list, stream, set or sorted set under queues:"
            problems.append(
                FactProblem(part=f"queue {name}", code="unsupported", message=message[:300], hint=hint)
            )
    return [
        Queue(
            database=f"db{database}",
            name=name,
            limit=limit,
            length=lengths.get(name),
            command=LENGTH_COMMANDS.get(kinds.get(name, ""), "LLEN"),
        )
        for name, limit in spec.queues.items()
    ]


def _exposure(
    context: ProbeContext, spec: RedisSpec, password: str | None, values: dict[str, Any]
) -> dict[str, Any]:
    """Return where the server can be reached from, as this machine's sockets show it.

    `bind` inside a container says nothing about what the machine publishes, so the sockets count
    wherever they can be seen, and `bind` only for a server that runs outside containers.
    """
    parts = urlsplit(spec.url)
    found: dict[str, Any] = {}
    if password is None:
        found["needs_password"] = False  # it answered us without one
    elif not parts.username:
        found["needs_password"] = True  # the default user has one, or AUTH had failed
    addresses = None
    if parts.scheme != "unix":
        host, port = parts.hostname or "127.0.0.1", parts.port or 6379
        (addresses,) = remembered(
            context, "listening", SOCKETS_SECONDS, lambda: (listen_addresses(context.shared, host, port),)
        )
    if addresses:
        beyond = [address for address in addresses if beyond_loopback(address)]
        found |= {"listens_on": beyond[:20], "listens_beyond_loopback": bool(beyond)}
    elif context.service.container:
        found |= {"listens_on": [], "listens_beyond_loopback": None}
    return found
