"""The questions that `opsctl diagnose` asks of the small stack, as commands one after another.

One command a question, the way a person works through a checklist: no question is asked twice,
none is asked that opsctl does not ask.
"""

from __future__ import annotations

import os
import subprocess

from tests.servers.small_stack import DATABASE_PASSWORD, SmallStack

POSTGRES_QUESTIONS = (
    "select count(*), current_setting('max_connections') from pg_stat_activity",
    "select state, count(*) from pg_stat_activity group by 1",
    "select pid, now() - xact_start from pg_stat_activity where state = 'idle in transaction'",
    "select pid, pg_blocking_pids(pid) from pg_stat_activity where cardinality(pg_blocking_pids(pid)) > 0",
    "select pid, now() - query_start, query from pg_stat_activity where state = 'active'",
    "select datname, deadlocks, temp_bytes, blks_hit, blks_read from pg_stat_database",
    "select pg_is_in_recovery(), current_setting('default_transaction_read_only')",
    "select application_name, state, replay_lag from pg_stat_replication",
    "select slot_name, active, pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn) from pg_replication_slots",
    "select archived_count, failed_count, last_failed_time from pg_stat_archiver",
    "select datname, age(datfrozenxid) from pg_database",
    "select relname, n_dead_tup, last_autovacuum from pg_stat_user_tables order by 2 desc limit 10",
    "select checkpoints_timed, checkpoints_req from pg_stat_bgwriter",
    "select indexrelid::regclass from pg_index where not indisvalid",
    "select schemaname, sequencename, last_value, max_value from pg_sequences",
    "select datname, checksum_failures from pg_stat_database",
    "select count(*), max(mean_exec_time) from pg_stat_statements",
    "select now() - pg_last_xact_replay_timestamp()",
    "show listen_addresses",
    "show server_version",
)
REDIS_QUESTIONS = (
    ("PING",),
    ("INFO", "memory"),
    ("INFO", "persistence"),
    ("INFO", "replication"),
    ("INFO", "clients"),
    ("INFO", "stats"),
    ("CONFIG", "GET", "maxclients"),
    ("CONFIG", "GET", "maxmemory-policy"),
    ("CONFIG", "GET", "bind"),
    ("SLOWLOG", "GET", "10"),
)
HOST_QUESTIONS = (
    ["df", "-h"],
    ["df", "-i"],
    ["free", "-m"],
    ["uptime"],
    ["timedatectl"],
    ["cat", "/proc/sys/net/netfilter/nf_conntrack_count", "/proc/sys/net/netfilter/nf_conntrack_max"],
    ["ls", "-l", "--time-sort", "/etc/nginx"],
    ["cat", "/proc/pressure/cpu", "/proc/pressure/memory", "/proc/pressure/io"],
    ["cat", "/proc/sys/fs/file-nr"],
    ["grep", "-E", "oom_kill|pswp", "/proc/vmstat"],
    ["dmesg", "--level=err,crit"],
    ["ps", "-eo", "pid,stat,rss,pcpu,args", "--sort=-pcpu"],
    ["ss", "-ltn"],
    ["systemctl", "status", "--no-pager"],
    ["docker", "ps", "-a"],
)


def commands(small: SmallStack) -> list[list[str]]:
    """Return the checklist for a running small stack."""
    psql = ["psql", "-X", "-w", "-h", "127.0.0.1", "-p", str(small.postgres.port), "-U", small.postgres.role]
    psql += ["-d", small.postgres.database, "-c"]
    redis = ["redis-cli", "-p", str(small.redis.port)]
    curl = ["curl", "-sS", "-m", "3", "-o", os.devnull, "-w", "%{http_code} %{time_total}"]
    urls = (
        small.api.url("/health"),
        small.api.url("/items"),
        small.nginx.url("/"),
        small.nginx.url("/api/health"),
        small.nginx.status_url,
    )
    files = (small.api.log, small.nginx.error_log, small.nginx.access_log)
    return [
        *([*psql, question] for question in POSTGRES_QUESTIONS),
        *([*redis, *question] for question in REDIS_QUESTIONS),
        *([*curl, url] for url in urls),
        *(["tail", "-n", "200", str(path)] for path in files),
        ["nginx", "-t", "-p", str(small.nginx.folder), "-c", str(small.nginx.config)],
        *HOST_QUESTIONS,
    ]


def ask_all(small: SmallStack) -> int:
    """Run the checklist; return how many commands there were (a missing program counts, at no cost)."""
    checklist = commands(small)
    environment = {**os.environ, "PGPASSWORD": DATABASE_PASSWORD}
    for argv in checklist:
        try:
            subprocess.run(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env=environment,
                timeout=20,
                check=False,
            )
        except FileNotFoundError:
            continue
    return len(checklist)
