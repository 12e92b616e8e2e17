"""What only a second look a moment later shows: evictions, refused writes, growing queues.

Lifetime totals are never judged as rates. The wait is spent only where one of them may matter. Where
looks follow each other nobody waits: the first look is the one before.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import msgspec

from opsctl.probes.redis_parsing import info_fields, info_values
from opsctl.probes.remembering import earlier

if TYPE_CHECKING:
    from collections.abc import Mapping

    from opsctl.facts.redis import Queue
    from opsctl.probes.base import ProbeContext
    from opsctl.probes.redis_client import RedisClient

WINDOW_SECONDS = 1.0
NEAR_FULL = 0.9
LENGTH_COMMANDS = {"list": "LLEN", "stream": "XLEN", "zset": "ZCARD", "set": "SCARD"}


def queue_lengths(client: RedisClient, kinds: dict[str, Any]) -> dict[str, Any]:
    """Return the length of each queue that can have one; a missing key is an empty queue."""
    commands = {name: LENGTH_COMMANDS[kind] for name, kind in kinds.items() if kind in LENGTH_COMMANDS}
    answers = client.ask([(command, name) for name, command in commands.items()])
    found = {name: 0 for name, kind in kinds.items() if kind == "none"}
    return found | dict(zip(commands, answers, strict=True))


def near_full(values: dict[str, Any]) -> bool:
    """Return whether so much of maxmemory is in use that keys may be evicted or writes refused now."""
    used, limit = values.get("used_memory"), values.get("maxmemory")
    return bool(used and limit and used >= NEAR_FULL * limit)


def measure(client: RedisClient, left: float, kinds: dict[str, Any], values: dict[str, Any]) -> None:
    """Add rates to the values: of evictions and refusals where memory is nearly full, of long queues.

    Args:
        client: asked a second time.
        left: seconds that may be spent.
        kinds: the type of each queue's key.
        values: fields of `RedisFacts` as first read; changed in place.
    """
    queues: list[Queue] = values["queues"]
    long = [queue for queue in queues if queue.length is not None and queue.length >= queue.limit]
    full = near_full(values)
    if not full and values.get("maxmemory") is not None:
        values |= {"evicted_per_second": 0.0, "refused_writes_per_second": 0.0}
    window = min(WINDOW_SECONDS, left)
    if window < 0.2 or not (long or full):
        return
    began = time.monotonic()
    time.sleep(window)
    info = info_values(info_fields(client.command("INFO"))) if full else {}
    lengths = queue_lengths(client, {queue.name: kinds[queue.name] for queue in long})
    seconds = time.monotonic() - began
    _add_rates(values, values, info, seconds)
    grown = {
        queue.name: round((lengths[queue.name] - (queue.length or 0)) / seconds, 1)
        for queue in long
        if isinstance(lengths.get(queue.name), int)
    }
    values["queues"] = [
        msgspec.structs.replace(queue, growth_per_second=grown.get(queue.name)) for queue in queues
    ]


def since_the_last_look(context: ProbeContext, values: dict[str, Any]) -> None:
    """Add the same rates to the values, since an earlier look; changed in place."""
    queues: list[Queue] = values["queues"]
    sample = {name: values.get(name) for name in ("evicted_keys", "refused_writes")}
    lengths = {queue.name: queue.length for queue in queues}
    found = earlier(context, "counters", (sample, lengths), WINDOW_SECONDS)
    full = near_full(values)
    if not full and values.get("maxmemory") is not None:
        values |= {"evicted_per_second": 0.0, "refused_writes_per_second": 0.0}
    if found is None:
        return
    seconds, (first, before) = found
    if full:
        _add_rates(values, first, sample, seconds)
    values["queues"] = [
        msgspec.structs.replace(queue, growth_per_second=round((queue.length - old) / seconds, 1))
        if queue.length is not None
        and queue.length >= queue.limit
        and (old := before.get(queue.name)) is not None
        else queue
        for queue in queues
    ]


def _add_rates(
    values: dict[str, Any], before: Mapping[str, Any], after: Mapping[str, Any], seconds: float
) -> None:
    for total, rate in (
        ("evicted_keys", "evicted_per_second"),
        ("refused_writes", "refused_writes_per_second"),
    ):
        first, second = before.get(total), after.get(total)
        if first is not None and second is not None:
            values[rate] = round(max(second - first, 0) / seconds, 1)
