"""Real containers of a real Compose project, each broken in one way and mended again."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from opsctl.engine import collect
from opsctl.model import HOST_SERVICE, Status
from opsctl.snapshot import to_json
from tests.live.containers import SLEEP, becomes, failing, first, look, of_docker, settles, stack_of
from tests.servers.base import free_port, wait_until
from tests.servers.docker import DockerEngine, Project, running_engine

pytestmark = [pytest.mark.live, pytest.mark.docker, pytest.mark.xdist_group("docker")]

EAT = "x = []\nwhile True: x.append(bytearray(1 << 20))"
FILL = """
import glob, time
from pathlib import Path
names = {"/sys/fs/cgroup/memory/memory.usage_in_bytes": "/sys/fs/cgroup/memory/memory.limit_in_bytes",
         "/sys/fs/cgroup/memory.current": "/sys/fs/cgroup/memory.max"}
usage = next(Path(name) for name in names if Path(name).exists())
limit = int(Path(names[str(usage)]).read_text())
kept = []
while int(usage.read_text()) < limit * 0.94:
    kept.append(bytearray(1 << 18))
time.sleep(10**6)
"""
SECRET = "kanarienvogel-7731"


@contextlib.contextmanager
def made(engine: DockerEngine, services: dict[str, Any], **top: Any) -> Iterator[Project]:
    with Project(engine, services, **top) as project:
        project.up()
        yield project


def test_exited_because_of_a_bad_environment(docker_engine: DockerEngine) -> None:
    script = """
import os, sys, time
url = os.environ["DATABASE_URL"]
if not url.endswith("/app"):
    sys.exit(f"sqlalchemy.exc.ArgumentError: DATABASE_URL={url} names no database /app")
time.sleep(10**6)
"""
    backend = {
        "command": ["python3", "-c", script],
        "environment": {"DATABASE_URL": f"postgresql://app:{SECRET}@db:5432/wrong"},
    }
    with made(docker_engine, {"db": SLEEP, "backend": backend}) as project:
        project.wait_for("backend", "ended", lambda state: state["Status"] == "exited")
        stack = stack_of(project, {"backend": {"depends_on": ["db"]}})
        finding = first(stack)
        assert finding.id == "container/exited"
        assert finding.target == "backend"
        assert "exited with 1 (the application gave up" in finding.summary
        assert any("DATABASE_URL" in row.text for row in finding.evidence)
        assert SECRET.encode() not in msgspec.json.encode(look(stack))
        assert SECRET.encode() not in to_json(collect(stack, wanted=of_docker))
        backend["environment"] = {"DATABASE_URL": f"postgresql://app:{SECRET}@db:5432/app"}
        project.write({"db": SLEEP, "backend": backend})
        project.up()
        settles(stack)


def test_exited_when_the_command_is_not_there(docker_engine: DockerEngine) -> None:
    with made(docker_engine, {"db": SLEEP, "bot": {"command": ["sh", "-c", "no-such-program"]}}) as project:
        project.wait_for("bot", "ended", lambda state: state["Status"] == "exited")
        stack = stack_of(project)
        finding = first(stack)
        assert finding.id == "container/exited"
        assert "127 (the command was not found in the image)" in finding.summary
        project.write({"db": SLEEP, "bot": SLEEP})
        project.up()
        settles(stack)


def test_a_job_that_ended_well_is_no_finding(docker_engine: DockerEngine) -> None:
    with made(docker_engine, {"db": SLEEP, "migrate": {"command": ["true"]}}) as project:
        project.wait_for("migrate", "ended", lambda state: state["Status"] == "exited")
        assert failing(stack_of(project)) == []


def test_restarting_in_a_crash_loop(docker_engine: DockerEngine) -> None:
    crash = {"command": ["sh", "-c", "echo KeyError: JWT_SECRET >&2; exit 3"], "restart": "always"}
    with made(docker_engine, {"db": SLEEP, "backend": crash}) as project:
        identity = project.ids("backend")[0]
        wait_until(lambda: project.inspect(identity)["RestartCount"] >= 4, "four restarts", 60)
        stack = stack_of(project, {"backend": {"depends_on": ["db"]}})

        def last_words() -> list[str]:  # a busy engine may not hand out the log in time for the first look
            finding = becomes(stack, "container/restarting")
            assert finding.target == "backend"
            return [row.text for row in finding.evidence if "JWT_SECRET" in row.text]

        wait_until(lambda: bool(last_words()), "its last words among the evidence", 60)
        project.write({"db": SLEEP, "backend": SLEEP})
        project.up()
        settles(stack)


def test_a_dead_database_explains_the_crash_loop_of_its_dependent(docker_engine: DockerEngine) -> None:
    script = "rm -f /ok; timeout 1 getent hosts db || exit 5; touch /ok; sleep infinity"
    check = {"test": ["CMD", "test", "-e", "/ok"], "interval": "1s", "timeout": "5s", "retries": 5}
    backend = {"command": ["sh", "-c", script], "restart": "always", "healthcheck": check}
    with made(docker_engine, {"db": SLEEP, "backend": backend}) as project:
        stack = stack_of(project, {"backend": {"depends_on": ["db"]}})
        settles(stack)
        project.engine.docker("stop", "-t", "0", *project.ids("db"))
        project.engine.docker("restart", "-t", "0", project.ids("backend")[0])
        identity = project.ids("backend")[0]
        wait_until(lambda: project.inspect(identity)["RestartCount"] >= 4, "four restarts", 60)
        diagnosis = look(stack)
        assert [(item.finding.id, item.finding.target) for item in diagnosis.root_causes] == [
            ("container/exited", "db")
        ]
        assert "container/restarting" in [item.id for item in diagnosis.root_causes[0].chain]
        project.engine.docker("start", *project.ids("db"))
        settles(stack, 90)


def test_oom_killed_main_process(docker_engine: DockerEngine) -> None:
    limits = {"mem_limit": "40m", "memswap_limit": "40m"}
    with made(
        docker_engine, {"db": SLEEP, "backend": {"command": ["python3", "-c", EAT]} | limits}
    ) as project:
        project.wait_for("backend", "ended", lambda state: state["Status"] == "exited")
        stack = stack_of(project, {"backend": {"depends_on": ["db"]}})
        diagnosis = look(stack)
        cause = diagnosis.root_causes[0]
        assert cause.finding.id == "container/oom-killed"
        assert "40.0 MiB" in cause.finding.summary
        assert [item.id for item in cause.chain] == ["container/exited"]
        project.write({"db": SLEEP, "backend": SLEEP | limits})
        project.up()
        settles(stack)


def test_oom_killed_in_a_restart_loop_although_the_flag_is_lost(docker_engine: DockerEngine) -> None:
    limits = {"mem_limit": "40m", "memswap_limit": "40m", "restart": "always"}
    with made(
        docker_engine, {"db": SLEEP, "backend": {"command": ["python3", "-c", EAT]} | limits}
    ) as project:
        identity = project.ids("backend")[0]
        wait_until(lambda: project.inspect(identity)["RestartCount"] >= 3, "three restarts", 60)
        stack = stack_of(project)
        becomes(stack, "container/oom-killed")
        project.write({"db": SLEEP, "backend": SLEEP | limits})
        project.up()
        settles(stack)


def test_oom_killed_worker_under_a_living_main_process(docker_engine: DockerEngine) -> None:
    limits = {"mem_limit": "40m", "memswap_limit": "40m"}
    worker = {"command": ["sh", "-c", f"python3 -c '{EAT}'; touch /done; sleep infinity"]}
    with made(docker_engine, {"db": SLEEP, "backend": worker | limits}) as project:
        pid = project.state("backend")["Pid"]
        wait_until(Path(f"/proc/{pid}/root/done").exists, "the worker's end")
        assert not project.state("backend")["OOMKilled"]
        stack = stack_of(project)
        finding = first(stack)
        assert finding.id == "container/oom-killed"
        assert "its main process lives on" in finding.summary
        assert finding.status is Status.WARNING
        project.write({"db": SLEEP, "backend": SLEEP | limits})
        project.up()
        settles(stack)


def test_unhealthy(docker_engine: DockerEngine) -> None:
    check = {"test": ["CMD-SHELL", "cat /ok || exit 1"], "interval": "1s", "timeout": "5s", "retries": 1}
    with made(docker_engine, {"db": SLEEP, "backend": SLEEP | {"healthcheck": check}}) as project:
        stack = stack_of(project)
        project.wait_for("backend", "unhealthy", lambda state: state["Health"]["Status"] == "unhealthy")
        finding = first(stack)
        assert finding.id == "container/unhealthy"
        assert "No such file" in finding.summary
        project.engine.docker("exec", project.ids("backend")[0], "touch", "/ok")
        settles(stack)


def test_stale_unhealthy_after_the_engine_was_restarted_under_a_living_container(
    docker_engine: DockerEngine,
) -> None:
    del docker_engine  # tells whether an engine can be had at all
    check = {"test": ["CMD", "test", "-e", "/ok"], "interval": "1s", "timeout": "1s", "retries": 1}
    services = {"db": SLEEP, "backend": SLEEP | {"healthcheck": check}}
    with running_engine("--live-restore") as engine, made(engine, services) as project:
        stack = stack_of(project)
        project.wait_for("backend", "unhealthy", lambda state: state["Health"]["Status"] == "unhealthy")
        pid = project.state("backend")["Pid"]
        engine.stop()
        engine.start(60)
        assert project.state("backend")["Pid"] == pid
        Path(f"/proc/{pid}/root/ok").touch()  # the application is well again; the status is not
        finding = becomes(stack, "container/stale-unhealthy", 60)
        assert "none has run since" in finding.summary
        engine.docker("restart", "-t", "0", *project.ids("backend"))
        engine.docker("exec", *project.ids("backend"), "touch", "/ok")
        settles(stack)


def test_missing(docker_engine: DockerEngine) -> None:
    with made(docker_engine, {"db": SLEEP, "backend": SLEEP}) as project:
        stack = stack_of(project, {"backend": {"depends_on": ["db"]}})
        project.engine.docker("rm", "-f", *project.ids("db"))
        finding = first(stack)
        assert (finding.id, finding.target) == ("container/missing", "db")
        project.up()
        settles(stack)


def test_paused(docker_engine: DockerEngine) -> None:
    with made(docker_engine, {"db": SLEEP, "backend": SLEEP}) as project:
        stack = stack_of(project)
        project.engine.docker("pause", *project.ids("db"))
        finding = first(stack)
        assert (finding.id, finding.target) == ("container/paused", "db")
        project.engine.docker("unpause", *project.ids("db"))
        settles(stack)


def test_all_down(docker_engine: DockerEngine) -> None:
    with made(docker_engine, {"db": SLEEP, "redis": SLEEP, "backend": SLEEP}) as project:
        stack = stack_of(project, {"backend": {"depends_on": ["db", "redis"]}})
        project.compose("stop", "-t", "0")
        diagnosis = look(stack)
        assert [(item.finding.id, item.finding.target) for item in diagnosis.root_causes] == [
            ("container/all-down", HOST_SERVICE)
        ]
        assert diagnosis.path[0].answer == "all down"
        project.compose("start")
        settles(stack)


def test_replicas_short(docker_engine: DockerEngine) -> None:
    with Project(docker_engine, {"db": SLEEP, "backend": SLEEP}) as project:
        project.up("--scale", "backend=2")
        stack = stack_of(project, {"backend": {"replicas": 3}})
        finding = first(stack)
        assert finding.id == "container/replicas-short"
        assert "2 of 3 replicas" in finding.summary
        project.up("--scale", "backend=3")
        settles(stack)


def test_image_drift(docker_engine: DockerEngine) -> None:
    tag = "opsctl-lab-drift:1"
    docker_engine.build(tag, "LABEL built=first")
    with made(docker_engine, {"db": SLEEP, "backend": SLEEP | {"image": tag}}) as project:
        stack = stack_of(project)
        settles(stack)
        docker_engine.build(tag, "LABEL built=second")
        finding = first(stack)
        assert finding.id == "container/image-drift"
        project.up()
        settles(stack)


def test_network_detached(docker_engine: DockerEngine) -> None:
    with made(docker_engine, {"db": SLEEP, "backend": SLEEP}) as project:
        stack = stack_of(project)
        network, identity = f"{project.name}_default", project.ids("db")[0]
        project.engine.docker("network", "disconnect", network, identity)
        finding = first(stack)
        assert (finding.id, finding.target) == ("container/network-detached", "db")
        project.engine.docker("network", "connect", "--alias", "db", network, identity)
        settles(stack)


def test_port_unpublished(docker_engine: DockerEngine) -> None:
    with made(docker_engine, {"db": SLEEP, "backend": SLEEP}) as project:
        port = free_port()
        project.write({"db": SLEEP, "backend": SLEEP | {"ports": [f"127.0.0.1:{port}:8000"]}})
        stack = stack_of(project)
        finding = first(stack)
        assert finding.id == "container/port-unpublished"
        assert "8000/tcp" in finding.summary
        project.up()
        settles(stack)


def test_memory_near_limit(docker_engine: DockerEngine) -> None:
    limits = {"mem_limit": "120m", "memswap_limit": "120m"}
    with made(
        docker_engine, {"db": SLEEP, "backend": {"command": ["python3", "-c", FILL]} | limits}
    ) as project:
        stack = stack_of(project)
        finding = becomes(stack, "container/memory-near-limit")
        assert "of its 120 MiB" in finding.summary
        identity = project.ids("backend")[0]
        project.engine.docker("update", "--memory", "400m", "--memory-swap", "400m", identity)
        settles(stack)


def test_cpu_throttled(docker_engine: DockerEngine) -> None:
    busy = {"command": ["sh", "-c", "while :; do :; done"], "cpus": 0.1}
    with made(docker_engine, {"db": SLEEP, "backend": busy}) as project:
        stack = stack_of(project)
        finding = becomes(stack, "container/cpu-throttled")
        assert "limit 0.1 cores" in finding.summary
        project.write({"db": SLEEP, "backend": SLEEP | {"cpus": 0.1}})
        project.up()
        settles(stack)


def test_log_unbounded(docker_engine: DockerEngine) -> None:
    talk = {"command": ["sh", "-c", "seq 1 20000; sleep infinity"]}
    with made(docker_engine, {"db": SLEEP, "backend": talk}) as project:
        stack = stack_of(project, thresholds={"container/log-unbounded": {"warning": 100_000}})
        finding = becomes(stack, "container/log-unbounded")
        assert "is never rotated" in finding.summary
        logging = {"driver": "json-file", "options": {"max-size": "10m", "max-file": "3"}}
        project.write({"db": SLEEP, "backend": talk | {"logging": logging}})
        project.up()
        settles(stack)


def test_environment_drift_shows_names_only(docker_engine: DockerEngine) -> None:
    services = {"db": SLEEP, "backend": SLEEP | {"env_file": "app.env"}}
    with Project(docker_engine, services) as project:
        file = project.folder / "app.env"
        file.write_text(f"LOG_LEVEL=info\nDB_PASSWORD={SECRET}\n")
        project.up()
        stack = stack_of(project)
        settles(stack)
        file.write_text("LOG_LEVEL=info\nDB_PASSWORD=another-" + SECRET + "\n")
        finding = first(stack)
        assert finding.id == "container/environment-drift"
        assert "DB_PASSWORD" in finding.summary
        assert "LOG_LEVEL" not in finding.summary
        assert SECRET.encode() not in to_json(collect(stack, wanted=of_docker))
        project.up()
        settles(stack)
