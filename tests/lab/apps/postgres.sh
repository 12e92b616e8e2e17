#!/bin/sh
# A PostgreSQL in a container: makes its cluster, role and database the first time, then becomes the server.
set -eu
data=/var/lib/postgresql/data
bin=$(ls -d /usr/lib/postgresql/*/bin | tail -n 1)
mkdir -p "$data" /run/postgresql
chown postgres: "$data" /run/postgresql
chmod 700 "$data"
as="setpriv --reuid=postgres --regid=postgres --init-groups"
if [ ! -s "$data/PG_VERSION" ]; then
    if [ -n "${PRIMARY:-}" ]; then
        tries=0
        until $as "$bin/pg_isready" -q -h "$PRIMARY" && $as "$bin/pg_basebackup" -D "$data" -R -X stream -c fast --no-sync ${SLOT:+--slot=$SLOT} \
            -d "host=$PRIMARY user=replicator password=$POSTGRES_PASSWORD application_name=$(hostname)"; do
            tries=$((tries + 1))
            [ $tries -lt 200 ] || exit 1
            sleep 0.5
        done
    else
        $as "$bin/initdb" -D "$data" --no-sync --encoding=UTF8 --locale=C --auth-local=trust --auth-host=scram-sha-256 >/dev/null
        echo "host all all all scram-sha-256" >> "$data/pg_hba.conf"
        echo "host replication all all scram-sha-256" >> "$data/pg_hba.conf"
        $as "$bin/pg_ctl" -D "$data" -w -o "-c listen_addresses=" start >/dev/null
        verb=create; [ "$POSTGRES_USER" = postgres ] && verb=alter
        $as psql -q -c "$verb role $POSTGRES_USER login password '$POSTGRES_PASSWORD'" \
            -c "create database $POSTGRES_DB owner $POSTGRES_USER" postgres
        $as psql -q -c "create role replicator replication login password '$POSTGRES_PASSWORD'" postgres
        for slot in ${SLOTS:-}; do  # made before anything is written, so that nothing is missing later
            $as psql -q -c "select pg_create_physical_replication_slot('$slot', true)" postgres >/dev/null
        done
        [ -f /schema.sql ] && $as psql -q -U "$POSTGRES_USER" -f /schema.sql "$POSTGRES_DB" >/dev/null
        $as "$bin/pg_ctl" -D "$data" -w -m fast stop >/dev/null
    fi
fi
exec $as "$bin/postgres" -D "$data" -c listen_addresses='*' -c timezone=UTC -c log_timezone=UTC \
    -c log_line_prefix='%m [%p] %q%u@%d ' "$@"
