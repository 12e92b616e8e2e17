"""Redis: memory and disk."""

from __future__ import annotations

from typing import TYPE_CHECKING

from opsctl.checks.base import CheckContext, Limits, check
from opsctl.checks.redis_wording import INFO_HINT, redis_cli
from opsctl.checks.wording import bytes_text
from opsctl.model import Status

if TYPE_CHECKING:
    from collections.abc import Iterator

    from opsctl.facts.redis import RedisFacts
    from opsctl.model import Finding

CLIENT_BUFFERS = 64 * 1024
"""What the buffers of a client that writes take of maxmemory while it writes: 16 KiB each way, and more
for what it sends (networking.c, PROTO_IOBUF_LEN and PROTO_REPLY_CHUNK_BYTES)."""
NEARLY_FULL = 0.9
FRAGMENTED_FLOOR = 100 * 1024 * 1024
"""Bytes of holes below which nothing is said: Redis' own active-defrag-ignore-bytes is 100mb."""


BIG_KEYS = (
    "At a quiet hour, `redis-cli --bigkeys -i 0.01` names the largest keys; it walks through all of them."
)


@check(
    "redis/memory-full",
    needs="INFO memory, maxmemory-policy",
    limits=Limits(0.9, 1.0, "ratio", source="at maxmemory Redis answers writes with OOM"),
)
def memory_full(facts: RedisFacts, context: CheckContext) -> Iterator[Finding]:
    """Writes are refused because maxmemory is reached and nothing may be evicted."""
    used = context.need(facts.used_memory, "used_memory", INFO_HINT)
    limit = context.need(facts.maxmemory, "maxmemory", INFO_HINT)
    if limit == 0:
        yield context.ok(f"{bytes_text(used)} used, no maxmemory")
        return
    policy = facts.maxmemory_policy or "an unknown policy"
    counted = used - (facts.not_counted_for_eviction or 0)
    over = (facts.over_maxmemory_milliseconds or 0) / 1000
    amount = f"{bytes_text(counted)} of {bytes_text(limit)}"
    details = {
        "source": redis_cli(facts, "INFO memory"),
        "fix": "Raise maxmemory, delete what is not needed, or choose an evicting policy if all of it is "
        f"a cache. {BIG_KEYS}",
        "commands": [redis_cli(facts, "INFO memory | grep -E '^(used_memory|maxmemory)'")],
    }
    if policy == "noeviction":
        rate = facts.refused_writes_per_second or 0
        no_room = counted / limit >= NEARLY_FULL and counted + CLIENT_BUFFERS >= limit
        if no_room or over > 0 or rate > 0:
            refused = f", {rate:g} a second" if rate else ""
            yield context.critical(
                f"{amount} used with noeviction: Redis refuses writes{refused}",
                value=round(counted / limit, 4),
                threshold=1.0,
                unit="ratio",
                **details,
            )
        else:
            yield context.judge(
                counted / limit,
                f"{amount} used; with noeviction writes are refused when it is full",
                **details,
            )
    elif facts.refused_writes_per_second or (over >= 1 and counted >= limit and not facts.evicted_per_second):
        yield context.critical(
            f"{amount} used and {policy} finds nothing to evict: Redis refuses writes",
            value=round(counted / limit, 4),
            threshold=1.0,
            unit="ratio",
            **details,
        )
    else:
        yield context.ok(f"{amount} used; {policy} makes room")


@check(
    "redis/evicting",
    needs="INFO stats, twice within a second",
    limits=Limits(10, None, "keys/s", source="a cache that just turns over evicts a few keys a second"),
)
def evicting(facts: RedisFacts, context: CheckContext) -> Iterator[Finding]:
    """Redis throws keys away that are still wanted because its memory is full."""
    rate = context.need(facts.evicted_per_second, "evictions a second", INFO_HINT)
    if rate == 0:
        yield context.ok("nothing is evicted")
        return
    limit = facts.maxmemory or 0
    yield context.judge(
        rate,
        f"{rate:.0f} keys a second are evicted ({facts.maxmemory_policy}, maxmemory {bytes_text(limit)})",
        source=redis_cli(facts, "INFO stats") + ": evicted_keys, twice",
        fix=f"Give it more memory, or put fewer or shorter-lived keys into it. {BIG_KEYS}",
        commands=[redis_cli(facts, "INFO stats | grep -E '^(evicted_keys|keyspace_)'")],
    )


@check(
    "redis/fragmented",
    needs="INFO memory",
    limits=Limits(1.5, None, "ratio", source="Redis' documentation, INFO memory; from 100 MiB on"),
    role="risk",
)
def fragmented(facts: RedisFacts, context: CheckContext) -> Iterator[Finding]:
    """Redis holds much more memory than its data needs."""
    ratio, holes = facts.allocator_fragmentation_ratio, facts.allocator_fragmentation
    field = "allocator_frag_ratio"
    if not ratio or holes is None:  # another allocator than jemalloc
        ratio = context.need(facts.fragmentation_ratio, "mem_fragmentation_ratio", INFO_HINT)
        resident = context.need(facts.used_memory_rss, "used_memory_rss", INFO_HINT)
        holes = resident - context.need(facts.used_memory, "used_memory", INFO_HINT)
        field = "mem_fragmentation_ratio"
    if holes < FRAGMENTED_FLOOR:
        yield context.ok(f"{bytes_text(max(holes, 0))} are lost to fragmentation")
        return
    yield context.judge(
        ratio,
        f"{bytes_text(holes)} are lost to fragmentation (ratio {ratio:.2f})",
        evidence=[],
        source=redis_cli(facts, "INFO memory") + f": {field}",
        fix="Switch active defragmentation on (it costs some CPU), or restart Redis when it suits.",
        commands=[
            redis_cli(facts, "INFO memory | grep -E 'frag|used_memory_rss_human'"),
            redis_cli(facts, "MEMORY DOCTOR"),
        ],
    )


@check("redis/save-failing", needs="INFO persistence, CONFIG GET")
def save_failing(facts: RedisFacts, context: CheckContext) -> Iterator[Finding]:
    """The last background save failed; by default Redis then refuses writes (MISCONF)."""
    fine = context.need(facts.rdb_last_save_ok, "rdb_last_bgsave_status", INFO_HINT)
    changes = facts.rdb_changes_since_save
    if fine:
        yield context.ok("the last background save succeeded")
        return
    stopped = facts.stop_writes_on_save_error and facts.saves_by_itself and facts.role != "slave"
    unsaved = f", {changes} changes are not on disk" if changes is not None else ""
    if stopped:
        effect = "and writes are refused (MISCONF)"
    elif facts.stop_writes_on_save_error is None:
        effect = "and by default writes are refused then"
    else:
        effect = "; writes go on"
    joint = "" if effect.startswith(";") else " "
    folder = facts.data_directory
    yield context.finding(
        Status.CRITICAL if stopped else Status.WARNING,
        f"the last background save failed{joint}{effect}{unsaved}",
        value="err",
        source=redis_cli(facts, "INFO persistence") + ": rdb_last_bgsave_status",
        fix="Make the data directory writable again (disk full, folder missing, owner, memory for the fork), "
        "then save once by hand.",
        commands=[
            f"df -h {folder}" if folder else "df -h",
            f"ls -ld {folder}" if folder else redis_cli(facts, "CONFIG GET dir"),
            redis_cli(facts, "BGSAVE"),
        ],
    )


@check("redis/append-failing", needs="INFO persistence")
def append_failing(facts: RedisFacts, context: CheckContext) -> Iterator[Finding]:
    """Redis cannot write its append only file and refuses writes (MISCONF)."""
    enabled = context.need(facts.aof_enabled, "aof_enabled", INFO_HINT)
    if not enabled:
        yield context.ok("append only mode is off")
        return
    fine = context.need(facts.aof_last_write_ok, "aof_last_write_status", INFO_HINT)
    if fine:
        yield context.ok("the last append succeeded")
        return
    folder = facts.data_directory
    yield context.critical(
        "the append only file cannot be written and writes are refused (MISCONF)",
        value="err",
        source=redis_cli(facts, "INFO persistence") + ": aof_last_write_status",
        fix="Make room on the disk of the data directory; Redis tries again every second by itself.",
        commands=[
            f"df -h {folder}" if folder else "df -h",
            redis_cli(facts, "INFO persistence | grep ^aof_last"),
        ],
    )
