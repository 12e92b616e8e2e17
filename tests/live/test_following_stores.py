"""Following what the Docker engine and journald keep: each line once, over restarts of either side."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from exporters.following import follow_logs
from exporters.looking import Lookout
from opsctl.facts.logs import LogsFacts
from opsctl.logs.follow_stores import StreamReader
from opsctl.probes.logs_metrics import stream_of
from tests.live.containers import stack_of
from tests.servers.base import wait_until
from tests.servers.docker import DockerEngine, Project
from tests.servers.systemd import Machine, unavailable

pytestmark = pytest.mark.live

ERRORS = "for i in 1 2 3 4 5; do echo ERROR redis: Connection refused; done; sleep infinity"


def counted(lookout: Lookout) -> int:
    """Scrape and look once; return how many errors of connections were counted."""
    (assignment,) = lookout.of_kinds(["logs"])
    lookout.readings([assignment], time.monotonic() + 10)
    following = lookout.following
    assert following is not None
    following.look()
    time.sleep(1.1)
    following.look()
    (reading,) = lookout.readings([assignment], time.monotonic() + 10)
    assert isinstance(reading.facts, LogsFacts), reading.problem
    assert reading.facts.totals is not None
    return reading.facts.totals.errors["connection"]


@pytest.mark.docker
@pytest.mark.xdist_group("docker")
def test_containers_that_come_and_go(docker_engine: DockerEngine, tmp_path: Path) -> None:
    bad = {"command": ["sh", "-c", f"sleep 3; {ERRORS}"], "init": True}
    with Project(docker_engine, {"web": bad}) as project:
        project.up()
        stack = stack_of(project, {"web": {"logs": [{}]}})
        lookout = Lookout(stack)
        lookout.following = follow_logs(lookout, tmp_path)
        counted(lookout)
        wait_until(lambda: counted(lookout) == 5, "five errors", 30)
        lookout.following.stop()
        project.compose("restart", "web")  # while nobody follows
        again = Lookout(stack)
        again.following = follow_logs(again, tmp_path)
        wait_until(lambda: counted(again) == 10, "five more", 30)
        again.following.stop()


@pytest.mark.docker
@pytest.mark.xdist_group("docker")
def test_the_stream_of_the_engine(docker_engine: DockerEngine) -> None:
    loud = {
        "command": ["sh", "-c", "for i in $$(seq 500); do echo line $$i; done; sleep infinity"],
        "init": True,
    }
    with Project(docker_engine, {"web": loud}) as project:
        project.up()
        (identity,) = project.ids("web")
        ask = stream_of(docker_engine.host, identity)
        wait_until(lambda: b"line 500" in ask("0"), "the lines", 30)
        reader = StreamReader(ask, False, "0|0")
        assert [line.text for line in reader.lines()] == [f"line {number}" for number in range(1, 501)]
        assert list(reader.lines()) == []
        assert list(StreamReader(ask, False, reader.place).lines()) == []
        assert list(StreamReader(ask, False).lines()) == []


JOURNAL = """
import json, sys, time
from opsctl.logs.follow_stores import JournalReader
reader = JournalReader("api.service", sys.argv[1])
found = [line.text for line in reader.lines()]
if not sys.argv[1]:
    print("ready", flush=True)
    ends = time.monotonic() + 30
    while len(found) < 5 and time.monotonic() < ends:
        time.sleep(0.2)
        found += [line.text for line in reader.lines()]
    found += [line.text for line in reader.lines()]
print(json.dumps([reader.cursor, found, reader.problem]))
"""


def test_the_journal_of_a_unit() -> None:
    reason = unavailable()
    if reason:
        pytest.skip(reason)

    def journal(cursor: str = "") -> tuple[str, list[str]]:
        said = machine.run("python3", "-c", JOURNAL, cursor).stdout
        place, found, problem = json.loads(said.splitlines()[-1])
        assert problem == ""
        return place, found

    with Machine() as machine:
        machine.unit("api.service", f"[Service]\nExecStart=/bin/sh -c 'echo before; sleep 4; {ERRORS}'\n")
        machine.run("systemctl", "start", "api")
        cursor, found = journal()
        assert found == ["ERROR redis: Connection refused"] * 5
        assert journal(cursor) == (cursor, [])
        machine.run("systemctl", "restart", "api")
        wait_until(lambda: len(journal(cursor)[1]) == 6, "the lines after the restart", 30)
        assert journal(cursor)[1] == ["before", *found]
