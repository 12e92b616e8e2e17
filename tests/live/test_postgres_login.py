"""The login of a PostgreSQL whose user, database and password stand in variables, and one that is a guess."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from opsctl.engine import collect
from opsctl.facts.postgres import PostgresFacts
from opsctl.model import Reading
from opsctl.stack.reader import load
from tests.servers.postgres import PostgresServer, available

pytestmark = [pytest.mark.live, pytest.mark.skipif(not available(), reason="no PostgreSQL to start here")]


def read(server: PostgresServer, folder: Path, env: str) -> Reading:
    (folder / ".env").write_text(env)
    spec = {
        "dsn": f"postgresql://nobody@127.0.0.1:{server.port}/nothing",
        "user_env": "POSTGRES_USER",
        "database_env": "POSTGRES_DB",
        "password_env": "POSTGRES_PASSWORD",
        "guessed": True,
    }
    path = folder / "opsctl.yml"
    path.write_text(yaml.safe_dump({"name": "shop", "services": {"db": {"postgres": spec}}}))
    (reading,) = [item for item in collect(load(path)).readings if item.target.kind == "postgres"]
    return reading


def test_the_variables_stand_for_what_the_dsn_guesses(tmp_path: Path) -> None:
    with PostgresServer() as server:
        server.sql("create role shop login password 'Canary-51c0e9-wren'")
        server.sql("create database shelves owner shop")
        server.sql("create table parts (id int)", "shelves")
        env = "POSTGRES_USER=shop\nPOSTGRES_DB=shelves\nPOSTGRES_PASSWORD=Canary-51c0e9-wren\n"
        reading = read(server, tmp_path, env)
        assert isinstance(reading.facts, PostgresFacts), reading.problem
        assert [table.name for table in reading.facts.tables] == ["parts"]
        assert "wren" not in repr(reading)


def test_without_the_variables_the_guess_is_tried_and_its_refusal_is_no_fault(tmp_path: Path) -> None:
    with PostgresServer() as server:
        reading = read(server, tmp_path, "OTHER=1\n")
        assert reading.facts is None
        assert reading.problem is not None
        assert "no login is known" in reading.problem.message
