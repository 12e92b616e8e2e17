-- A role for opsctl: it sees statistics, settings and who waits for whom, and no row of any table.
-- PostgreSQL 10 and newer. Run it once per server, as a superuser:
--
--   psql -X -v ON_ERROR_STOP=1 -f postgres-role.sql
--   psql -X -c '\password opsctl'        -- asks for the password; it is in no log and no history
--
-- Named queries of the stack file (`data:`) read tables; grant those, and only those, by hand:
--   grant select on orders to opsctl;
\set ON_ERROR_STOP on

select 'create role opsctl login' where not exists (select from pg_roles where rolname = 'opsctl') \gexec

alter role opsctl nosuperuser nocreatedb nocreaterole noreplication nobypassrls connection limit 10;
grant pg_monitor to opsctl;

-- What a look may cost at most, whoever asks.
alter role opsctl set default_transaction_read_only = on;
alter role opsctl set statement_timeout = '5s';
alter role opsctl set lock_timeout = '500ms';
alter role opsctl set idle_in_transaction_session_timeout = '10s';
