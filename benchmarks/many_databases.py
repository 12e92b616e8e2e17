"""`/metrics/postgres` of a server with 5 and with 50 databases of 200 tables each."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.growth import Point, point, rows
from benchmarks.scraping import Processes
from benchmarks.standard_exporters import PASSWORD, OwnExporter
from tests.servers.postgres import PostgresServer

if TYPE_CHECKING:
    from benchmarks.timing import Row

FEW, MANY, TABLES = 5, 50, 200


def run() -> list[Row]:
    """Return rows (what, figures, ratio, within the limit)."""
    with PostgresServer(password=PASSWORD) as server:
        server.sql(f'grant pg_monitor to "{server.role}"')
        server.sql("create database model0")
        server.sql(
            f"do $$ begin for i in 1..{TABLES} loop"
            " execute format('create table t%s (id int primary key)', i); end loop; end $$",
            "model0",
        )
        few = _measured(server, range(1, FEW))
        many = _measured(server, range(FEW, MANY))
    return rows(f"databases of {TABLES} tables", "PostgreSQL", few, many)


def _measured(server: PostgresServer, more: range) -> Point:
    """Make some more databases and measure the page of all."""
    for number in more:
        server.sql(f"create database model{number} template model0")
    server.sql("checkpoint")
    with OwnExporter({"db": server.stack_spec()}) as exporter:
        return point(
            exporter.port, "/metrics/postgres", more.stop, Processes([exporter.pid]), Processes([server.pid])
        )
