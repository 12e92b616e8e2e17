"""The questions put to PostgreSQL 12 to 18: statistics views and catalogs only.

No question takes a lock on a table of the application, so none can wait behind one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

SETTINGS = (
    "archive_command",
    "archive_library",
    "archive_mode",
    "autovacuum",
    "autovacuum_freeze_max_age",
    "autovacuum_max_workers",
    "autovacuum_multixact_freeze_max_age",
    "autovacuum_vacuum_scale_factor",
    "autovacuum_vacuum_threshold",
    "checkpoint_timeout",
    "checkpoint_warning",
    "data_checksums",
    "deadlock_timeout",
    "default_transaction_read_only",
    "effective_cache_size",
    "fsync",
    "listen_addresses",
    "maintenance_work_mem",
    "max_connections",
    "max_locks_per_transaction",
    "max_wal_senders",
    "max_wal_size",
    "max_worker_processes",
    "min_wal_size",
    "random_page_cost",
    "reserved_connections",
    "seq_page_cost",
    "shared_buffers",
    "superuser_reserved_connections",
    "track_activities",
    "wal_segment_size",
    "work_mem",
)

MAX_DATABASES = 200

SERVER = """
select current_setting('server_version') as version,
       version() as version_text,
       current_setting('server_version_num')::int as number,
       extract(epoch from pg_postmaster_start_time())::float8 as started_at,
       pg_is_in_recovery() as in_recovery,
       current_database() as database,
       current_user::text as role,
       pg_has_role('pg_read_all_stats', 'usage') as sees_all,
       pg_conf_load_time()::text as configured_at,
       (select n.nspname from pg_catalog.pg_extension e
          join pg_catalog.pg_namespace n on n.oid = e.extnamespace
         where e.extname = 'pg_stat_statements') as statements_schema
"""


def settings(more: Iterable[str] = ()) -> str:
    """Return the question for the settings that matter; `more` are further ones."""
    names = ", ".join(f"'{name}'" for name in (*SETTINGS, *more))
    return f"""
select json_object_agg(name, json_build_array(setting, unit, reset_val, source)) as settings
  from pg_catalog.pg_settings
 where name in ({names})
"""


SLOTS = """
select json_object_agg(name, json_build_array(setting, unit, reset_val, source)) as settings
  from pg_catalog.pg_settings
 where name in ('max_connections', 'superuser_reserved_connections', 'reserved_connections')
"""

ACTIVITY = """
select pid, datname, usename, application_name as application, backend_type,
       case when client_addr is not null then host(client_addr)
            when client_port = -1 then 'local' end as client,
       state, wait_event_type, wait_event, left(query, 2000) as query,
       extract(epoch from clock_timestamp() - xact_start)::float8 as transaction_seconds,
       extract(epoch from clock_timestamp() - query_start)::float8 as query_seconds,
       extract(epoch from clock_timestamp() - state_change)::float8 as state_seconds
  from pg_catalog.pg_stat_activity
 where pid <> pg_backend_pid() and (usesysid is not null or datid is not null)
 limit 10000
"""

ALL_SIZES = """
select d.datname, pg_catalog.pg_database_size(d.oid) as size
  from pg_catalog.pg_database d
 where d.datallowconn and has_database_privilege(d.oid, 'connect')
"""

SIZES = f"{ALL_SIZES} order by d.datname = current_database() desc limit 50"

INDEXES = """
select c.relname as "table", i.relname as name, x.indisunique as "unique",
       exists (select from pg_catalog.pg_locks l where l.relation = x.indrelid and l.granted
                 and l.mode = 'ShareUpdateExclusiveLock'
                 and l.database = (select oid from pg_database where datname = current_database())
              ) as building
  from pg_catalog.pg_index x
  join pg_catalog.pg_class i on i.oid = x.indexrelid and i.relkind = 'i'
  join pg_catalog.pg_class c on c.oid = x.indrelid
 where not x.indisvalid
 order by 1, 2 limit 50
"""

# A sequence that somebody locks is left out before its value is asked for: the materialized step
# comes first. The smaller end counts: of the sequence, or of the column that it fills.
SEQUENCES = """
with busy as materialized (
       select l.relation from pg_catalog.pg_locks l
        where l.relation is not null and l.mode in
              ('ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock')),
     chosen as materialized (
       select s.seqrelid, n.nspname, c.relname, s.seqmax
         from pg_catalog.pg_sequence s
         join pg_catalog.pg_class c on c.oid = s.seqrelid and c.relpersistence = 'p'
         join pg_catalog.pg_namespace n on n.oid = c.relnamespace
        where s.seqincrement > 0 and not s.seqcycle
          and c.oid not in (select relation from busy)
        limit 500),
     valued as materialized (
       select chosen.*, case when has_sequence_privilege(seqrelid, 'select,usage')
                             then pg_catalog.pg_sequence_last_value(seqrelid) end as last
         from chosen)
select v.nspname || '.' || v.relname as name,
       coalesce(t.relname || '.' || a.attname, '') as "column",
       v.last,
       least(v.seqmax, case a.atttypid when 'int2'::regtype then 32767
                                       when 'int4'::regtype then 2147483647 end) as "limit"
  from valued v
  left join pg_catalog.pg_depend d
    on d.classid = 'pg_class'::regclass and d.objid = v.seqrelid
   and d.refclassid = 'pg_class'::regclass and d.deptype in ('a', 'i') and d.refobjsubid > 0
  left join pg_catalog.pg_attribute a on a.attrelid = d.refobjid and a.attnum = d.refobjsubid
  left join pg_catalog.pg_class t on t.oid = d.refobjid
 where v.last is not null
 order by v.last::float8 / least(v.seqmax, case a.atttypid when 'int2'::regtype then 32767
                                                           when 'int4'::regtype then 2147483647 end) desc
 limit 10
"""

_TABLES = """
with eligible as (
       select c.oid, c.relpages from pg_catalog.pg_class c
         join pg_catalog.pg_namespace n on n.oid = c.relnamespace
        where c.relkind in ('r', 'm') and n.nspname !~ '^pg_' and n.nspname <> 'information_schema'),
     chosen as materialized ({chosen}),
     usual as materialized (
       select current_setting('block_size')::int as block_size,
              current_setting('autovacuum_vacuum_threshold')::float8 as threshold,
              current_setting('autovacuum_vacuum_scale_factor')::float8 as scale,
              nullif(current_setting('autovacuum_vacuum_max_threshold', true)::float8, -1) as most),
     vacuumed as materialized (
       select relid from pg_catalog.pg_stat_progress_vacuum
        where relid is not null and datname = current_database())
select n.nspname as schema, c.relname as name,
       pg_stat_get_live_tuples(c.oid) as live, pg_stat_get_dead_tuples(c.oid) as dead,
       pg_stat_get_mod_since_analyze(c.oid) as modified,
       pg_stat_get_numscans(c.oid) as sequential_scans,
       pg_stat_get_tuples_returned(c.oid) as sequential_rows,
       i.scans as index_scans, i.rows + pg_stat_get_tuples_fetched(c.oid) as index_rows,
       pg_stat_get_tuples_inserted(c.oid) as inserted, pg_stat_get_tuples_updated(c.oid) as updated,
       pg_stat_get_tuples_deleted(c.oid) as deleted, pg_stat_get_tuples_hot_updated(c.oid) as hot_updated,
       c.relpages::bigint * usual.block_size as size,
       extract(epoch from pg_stat_get_last_vacuum_time(c.oid))::float8 as last_vacuum,
       extract(epoch from pg_stat_get_last_autovacuum_time(c.oid))::float8 as last_autovacuum,
       extract(epoch from pg_stat_get_last_analyze_time(c.oid))::float8 as last_analyze,
       extract(epoch from pg_stat_get_last_autoanalyze_time(c.oid))::float8 as last_autoanalyze,
       pg_stat_get_vacuum_count(c.oid) as vacuums, pg_stat_get_autovacuum_count(c.oid) as autovacuums,
       least(coalesce(o.threshold, usual.threshold)
             + coalesce(o.scale, usual.scale) * greatest(c.reltuples, 0),
             usual.most) as vacuum_trigger,
       coalesce(o.enabled, true) as autovacuum_enabled,
       c.oid in (select relid from vacuumed) as vacuuming
  from chosen
  join pg_catalog.pg_class c on c.oid = chosen.oid
  join pg_catalog.pg_namespace n on n.oid = c.relnamespace
 cross join usual
  left join lateral (
       select sum(pg_stat_get_numscans(x.indexrelid))::bigint as scans,
              sum(pg_stat_get_tuples_fetched(x.indexrelid))::bigint as rows
         from pg_catalog.pg_index x where x.indrelid = c.oid) i on true
  left join lateral (
       select max(option_value::float8)
                filter (where option_name = 'autovacuum_vacuum_threshold') as threshold,
              max(option_value::float8)
                filter (where option_name = 'autovacuum_vacuum_scale_factor') as scale,
              bool_and(option_value::bool) filter (where option_name = 'autovacuum_enabled') as enabled
         from pg_catalog.pg_options_to_table(c.reloptions)
        where option_name like 'autovacuum%') o on true
 order by dead desc, c.relname
"""

TABLES = _TABLES.replace(
    "{chosen}",
    """
       (select oid from eligible order by pg_catalog.pg_stat_get_dead_tuples(oid) desc nulls last limit 20)
       union
       (select oid from eligible order by relpages desc limit 10)""",
)

ALL_TABLES = _TABLES.replace("{chosen}", "select oid from eligible order by relpages desc, oid limit 500")

WANTED_TABLES = """
select n.nspname as schema, c.relname as name, pg_catalog.pg_table_is_visible(c.oid) as visible
  from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
 where c.relkind in ('r', 'p', 'v', 'm', 'f') and c.relname = any(%s)
"""

REPLICATION = """
with here as materialized (
       select case when pg_is_in_recovery() then coalesce(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn())
                   else pg_current_wal_lsn() end as lsn)
select (select json_agg(json_build_object(
                 'pid', r.pid::text, 'application', r.application_name,
                 'client', coalesce(host(r.client_addr), ''),
                 'state', r.state, 'synchronous', r.sync_state,
                 'lag_bytes', pg_wal_lsn_diff(here.lsn, r.replay_lsn)::bigint,
                 'replay_lag_seconds', extract(epoch from r.replay_lag)::float8))
          from pg_catalog.pg_stat_replication r, here) as replicas,
       (select json_agg(json_build_object(
                 'name', s.slot_name, 'type', s.slot_type, 'active', s.active,
                 'retained_bytes',
                 greatest(pg_wal_lsn_diff(here.lsn, s.restart_lsn), 0)::bigint{slot_columns}))
          from pg_catalog.pg_replication_slots s, here) as slots,
       case when pg_is_in_recovery() then json_build_object(
         'paused', pg_is_wal_replay_paused(),
         'lag_bytes', greatest(pg_wal_lsn_diff(
            pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn()), 0)::bigint,
         'receiving', exists (select from pg_catalog.pg_stat_wal_receiver where pid is not null),
         'lag', case when pg_last_wal_receive_lsn() = pg_last_wal_replay_lsn() then 0
                     else extract(epoch from clock_timestamp() - pg_last_xact_replay_timestamp())::float8 end
       ) end as standby
"""

_BACKGROUND_16 = """
checkpoints_timed, checkpoints_req as checkpoints_requested,
       checkpoint_write_time::float8 as checkpoint_write_milliseconds,
       checkpoint_sync_time::float8 as checkpoint_sync_milliseconds,
       buffers_checkpoint, buffers_clean, maxwritten_clean,
       buffers_backend, buffers_backend_fsync, buffers_alloc
  from pg_catalog.pg_stat_bgwriter"""

_BACKGROUND_17 = """
c.num_timed as checkpoints_timed, c.num_requested as checkpoints_requested,
       c.write_time::float8 as checkpoint_write_milliseconds,
       c.sync_time::float8 as checkpoint_sync_milliseconds,
       c.buffers_written as buffers_checkpoint, b.buffers_clean, b.maxwritten_clean, b.buffers_alloc
  from pg_catalog.pg_stat_checkpointer c, pg_catalog.pg_stat_bgwriter b"""

ARCHIVER = """
select archived_count, failed_count as archive_failed_count, last_failed_wal,
       extract(epoch from clock_timestamp() - last_archived_time)::float8 as last_archive_age,
       extract(epoch from clock_timestamp() - last_failed_time)::float8 as last_archive_failure_age
  from pg_catalog.pg_stat_archiver
"""

CONTROL = """
select extract(epoch from clock_timestamp() - checkpoint_time)::float8 as last_checkpoint_age,
       case when not pg_is_in_recovery()
            then greatest(pg_wal_lsn_diff(pg_current_wal_lsn(), redo_lsn), 0)::bigint
       end as wal_since_checkpoint,
       case when not pg_is_in_recovery()
            then pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')::bigint end as wal_position
  from pg_catalog.pg_control_checkpoint()
"""

_WINDOW = """
select ({checkpoints}) as checkpoints_requested,
       case when not pg_is_in_recovery()
            then pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')::bigint end as wal_position
"""


def locks(version: int) -> str:
    """Return the question for locks: how many of each mode, and who waits for whom."""
    waiting = (
        "extract(epoch from clock_timestamp() - l.waitstart)::float8" if version >= 140000 else "null::float8"
    )
    return f"""
with l as materialized (select * from pg_catalog.pg_locks where pid is distinct from pg_backend_pid())
select (select json_agg(m) from (
          select coalesce(d.datname, '') as datname, lower(l.mode) as mode, count(*) as count
            from l left join pg_catalog.pg_database d on d.oid = l.database
           group by 1, 2 order by 1, 2) m) as modes,
       (select json_agg(w) from (
          select l.pid, l.locktype, l.mode, {waiting} as waiting_seconds,
                 pg_catalog.pg_blocking_pids(l.pid) as blocked_by,
                 (select c.relname from pg_catalog.pg_class c
                   where c.oid = l.relation and l.database = d.oid) as relation
            from l left join pg_catalog.pg_database d on d.datname = current_database()
           where not l.granted limit 200) w) as waiting,
       (select count(distinct pid) from l where not granted) as waiting_count
"""


def databases(most: int = MAX_DATABASES) -> str:
    """Return the question for the counters and ages of every database."""
    return f"""
select d.datname, d.oid::text as datid,
       s.numbackends as backends, s.xact_commit as commits, s.xact_rollback as rollbacks,
       s.blks_read as blocks_read, s.blks_hit as blocks_hit,
       s.tup_returned as tuples_returned, s.tup_fetched as tuples_fetched, s.tup_inserted as tuples_inserted,
       s.tup_updated as tuples_updated, s.tup_deleted as tuples_deleted, s.conflicts,
       s.temp_files, s.temp_bytes, s.deadlocks,
       s.blk_read_time::float8 as read_milliseconds, s.blk_write_time::float8 as write_milliseconds,
       extract(epoch from s.stats_reset)::float8 as stats_reset,
       s.checksum_failures, extract(epoch from s.checksum_last_failure)::float8 as checksum_last_failure,
       age(d.datfrozenxid) as xid_age, mxid_age(d.datminmxid) as multixact_age,
       d.datconnlimit as connection_limit
  from pg_catalog.pg_database d left join pg_catalog.pg_stat_database s on s.datid = d.oid
 order by d.datname limit {most}
"""


def replication(version: int) -> str:
    """Return the question for replicas, slots, and this server's own replay."""
    columns = ", 'wal_status', s.wal_status, 'safe_bytes', s.safe_wal_size" if version >= 130000 else ""
    return REPLICATION.replace("{slot_columns}", columns)


def background(version: int) -> str:
    """Return the question for checkpoints and the background writer."""
    return "select " + (_BACKGROUND_17 if version >= 170000 else _BACKGROUND_16)


def window(version: int) -> str:
    """Return the question for the counters that are sampled twice."""
    checkpoints = (
        "select num_requested from pg_catalog.pg_stat_checkpointer"
        if version >= 170000
        else "select checkpoints_req from pg_catalog.pg_stat_bgwriter"
    )
    return _WINDOW.replace("{checkpoints}", checkpoints)


def statements(version: int, schema: str, everywhere: bool = False) -> str:
    """Return the question for the statements that cost most; `schema` is that of the extension.

    `everywhere` asks for those of all databases, without their texts: those are in a file that would be
    read whole.

    PostgreSQL 12 ships version 1.7 of the extension, which knows `total_time` only.
    """
    total = "total_exec_time" if version >= 130000 else "total_time"
    text = "null" if everywhere else "left(s.query, 2000)"
    place = '"' + schema.replace('"', '""') + '"'
    return f"""
select coalesce(d.datname, '') as datname, coalesce(r.rolname, '') as "user", s.queryid::text as queryid,
       {text} as query, s.calls, s.{total} / 1000.0 as seconds, s.rows
  from {place}.pg_stat_statements({"false" if everywhere else "true"}) s
  left join pg_catalog.pg_database d on d.oid = s.dbid
  left join pg_catalog.pg_roles r on r.oid = s.userid
 where s.queryid is not null{"" if everywhere else " and d.datname = current_database()"}
 order by s.{total} desc limit 200
"""
