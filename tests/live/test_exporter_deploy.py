"""What is shipped to run the exporter, run: the image, the unit, the role of the database."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.live.exporter_scrapers import UP, Client
from tests.servers.base import free_port, wait_until
from tests.servers.docker import BASE_IMAGE, DockerEngine
from tests.servers.image import base_rootfs, cache_folder, locked
from tests.servers.postgres import PostgresServer
from tests.servers.redis import RedisServer
from tests.servers.systemd import INSIDE_PACKAGES, INSIDE_PROJECT, PROJECT, Machine, unavailable

pytestmark = pytest.mark.live

DEPLOY = PROJECT / "exporters" / "deploy"
DEBIAN_WHEELS = Path("/usr/share/python-wheels")
PASSWORD = "Canary-deploy-77d10e-crane"
PYTHON_IMAGE = "opsctl-lab:python"
MOST_EXPOSURE = 2.0
"""What `systemd-analyze security` may say of the unit: up to 2 of 10 it calls it OK."""


# -- the image ------------------------------------------------------------------------------------


def wheels() -> Path:
    """Return a folder with all that installing opsctl asks for; made once."""
    folder = cache_folder() / f"wheels-{sys.version_info.major}.{sys.version_info.minor}"
    with locked("wheels"):
        if not folder.is_dir():
            partial = folder.with_suffix(".partial")
            shutil.rmtree(partial, ignore_errors=True)
            needed = [f"{PROJECT}[exporter]", "hatchling"]
            needed.append("async-timeout>=4.0.3")  # redis wants it below 3.11.3, which the image may have
            argv = [sys.executable, "-m", "pip", "wheel", "--quiet", "--wheel-dir", str(partial), *needed]
            subprocess.run(argv, check=True, timeout=280)
            for own in partial.glob("opsctl-*.whl"):
                own.unlink()
            partial.rename(folder)
    return folder


def python_image(engine: DockerEngine) -> None:
    """Make the lab's image what the Dockerfile expects of the official one: `python`, `venv`, `pip`."""
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    if not (base_rootfs() / "usr/bin" / version).exists():
        pytest.skip(f"the lab's image has another Python than {version}")
    folder = engine.folder / "python-image"
    found = importlib.util.find_spec("ensurepip")
    assert found is not None
    assert found.origin is not None
    shutil.copytree(Path(found.origin).parent, folder / "ensurepip")
    shutil.copytree(wheels(), folder / "wheels")
    bundled = folder / "python-wheels"  # where Debian's ensurepip has its pip; the others bring theirs
    bundled.mkdir()
    if DEBIAN_WHEELS.is_dir():
        shutil.copytree(DEBIAN_WHEELS, bundled, dirs_exist_ok=True)
    (folder / "Dockerfile").write_text(
        f"FROM {BASE_IMAGE}\n"
        f"COPY ensurepip /usr/lib/{version}/ensurepip\nCOPY wheels /wheels\n"
        f"COPY python-wheels {DEBIAN_WHEELS}\n"
        "RUN ln -s python3 /usr/bin/python\nENV PIP_NO_INDEX=1 PIP_FIND_LINKS=/wheels\n"
    )
    engine.docker("build", "--network=none", "-q", "-t", PYTHON_IMAGE, str(folder))


def sources(folder: Path) -> Path:
    """Return a copy of what the Dockerfile copies: the checkout holds more than an image needs."""
    text = (DEPLOY / "Dockerfile").read_text()
    for words in re.findall(r"^COPY (?!--from)(.*) \S+$", text, re.MULTILINE):
        for name in words.split():
            place = folder / name
            if (PROJECT / name).is_dir():
                shutil.copytree(PROJECT / name, place, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copyfile(PROJECT / name, place)
    return folder


@pytest.mark.docker
@pytest.mark.xdist_group("docker")
def test_the_image_is_built_and_its_container_answers(docker_engine: DockerEngine, tmp_path: Path) -> None:
    python_image(docker_engine)
    folder = tmp_path / "sources"
    folder.mkdir()
    sources(folder)
    options = ["--network=none", "--build-arg", f"PYTHON={PYTHON_IMAGE}", "-t", "opsctl-exporter"]
    docker_engine.docker("build", *options, "-f", str(folder / "exporters/deploy/Dockerfile"), str(folder))
    stack = tmp_path / "stack"
    stack.mkdir()
    with RedisServer(password=PASSWORD) as redis:
        assert isinstance(redis, RedisServer)
        spec = {"redis": {"url": redis.url, "password_env": "REDIS_PASSWORD"}}
        (stack / "opsctl.yml").write_text(yaml.safe_dump({"name": "image", "services": {"cache": spec}}))
        (stack / "secrets.env").write_text(f"REDIS_PASSWORD={PASSWORD}\n")
        port = free_port()
        # as the head of the Dockerfile says, but for the port; the limits need control groups of one's own
        argv = ["run", "-d", "--name", "opsctl-exporter", "--restart", "unless-stopped", "--read-only"]
        argv += ["--tmpfs", "/tmp", "--cap-drop", "ALL", "--security-opt", "no-new-privileges"]
        argv += ["--network", "host", "--pid", "host", "--env-file", str(stack / "secrets.env")]
        argv += ["-v", f"{stack}:/etc/opsctl:ro", "opsctl-exporter"]
        argv += ["--stack", "/etc/opsctl/opsctl.yml", "--listen", f"127.0.0.1:{port}"]
        stack.chmod(0o755)
        for parent in (tmp_path, *tmp_path.parents):
            if parent.stat().st_uid == os.geteuid() and parent not in (Path("/"), Path("/tmp")):
                parent.chmod(parent.stat().st_mode | 0o055)
        docker_engine.docker(*argv)
        try:
            wait_until(lambda: answers(port), "the container", 60)
            client = Client(port, waits=10)
            page = client.get("/metrics/redis")
            assert (page.status, page.ups()) == (200, {'redis_up{service="cache"}': 1.0})
            assert "node_load1 " in client.get("/metrics/node").text
            client.close()
            user = docker_engine.docker("exec", "opsctl-exporter", "id", "-un").stdout.strip()
            assert user == "opsctl"
            check = json.loads(docker_engine.docker("image", "inspect", "opsctl-exporter").stdout)[0]
            assert check["Config"]["Healthcheck"]["Test"][0] == "CMD"
            logs = docker_engine.docker("logs", "opsctl-exporter")
            assert PASSWORD not in logs.stdout + logs.stderr + page.text
            docker_engine.docker("stop", "-t", "20", "opsctl-exporter")
            state = json.loads(docker_engine.docker("inspect", "opsctl-exporter").stdout)[0]["State"]
            assert state["ExitCode"] == 0, "it did not end by itself"
        finally:
            docker_engine.docker("rm", "-f", "opsctl-exporter", check=False)


def answers(port: int) -> bool:
    """Return whether an exporter is healthy on a port."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/-/healthy", timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


# -- the unit -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def installed() -> Iterator[Machine]:
    if reason := unavailable():
        pytest.skip(reason)
    with Machine() as one:
        install(one)
        yield one


@pytest.fixture
def machine(installed: Machine) -> Machine:
    """The machine with its unit running, whatever the test before has left."""
    installed.run("systemctl", "start", "opsctl-exporter", check=False)
    return installed


def install(machine: Machine) -> None:
    """Do what the head of the unit's file says; `opsctl` is this checkout."""
    machine.run("useradd", "--system", "--no-create-home", "--shell", "/usr/sbin/nologin", "opsctl")
    launcher = (
        f"#!/bin/sh\nPYTHONPATH={INSIDE_PROJECT}:{INSIDE_PACKAGES} PYTHONDONTWRITEBYTECODE=1\n"
        'export PYTHONPATH PYTHONDONTWRITEBYTECODE\nexec /usr/bin/python3 -m opsctl "$@"\n'
    )
    machine.write("/usr/local/bin/opsctl", launcher)
    machine.run("chmod", "755", "/usr/local/bin/opsctl")
    machine.unit("sleeper.service", "[Service]\nExecStart=/bin/sleep infinity\n")
    machine.run("systemctl", "start", "sleeper")
    redis = {"url": "redis://127.0.0.1:6379/0", "password_env": "REDIS_PASSWORD"}
    services = {"cache": {"redis": redis}, "sleeper": {"unit": "sleeper.service"}}
    machine.write("/etc/opsctl/opsctl.yml", yaml.safe_dump({"name": "unit", "services": services}))
    machine.write("/etc/opsctl/secrets.env", f"REDIS_PASSWORD={PASSWORD}\n")
    machine.run("sh", "-c", "chgrp opsctl /etc/opsctl/*; chmod 0640 /etc/opsctl/*")
    machine.write("/etc/redis/redis.conf", f"bind 127.0.0.1\nrequirepass {PASSWORD}\nsave ''\ndir /tmp\n")
    machine.unit("cache.service", "[Service]\nExecStart=/usr/bin/redis-server /etc/redis/redis.conf\n")
    machine.run("systemctl", "start", "cache")
    machine.unit("opsctl-exporter.service", (DEPLOY / "opsctl-exporter.service").read_text())
    machine.run("systemctl", "enable", "--now", "opsctl-exporter", check=False)


def page(machine: Machine, path: str) -> str:
    """Return a page of the exporter inside; empty where it does not answer."""
    argv = ["curl", "-s", "-f", "-m", "20", f"http://127.0.0.1:9779{path}"]
    return machine.run(*argv, check=False).stdout


@pytest.mark.systemd
def test_the_unit_starts_sees_the_machine_and_gives_nothing_away(machine: Machine) -> None:
    log = ["journalctl", "-u", "opsctl-exporter", "--no-pager"]
    try:
        wait_until(lambda: "healthy" in page(machine, "/-/healthy"), "the unit", 60)
    except RuntimeError:
        pytest.fail(machine.run(*log, check=False).stdout[-2000:])
    wait_until(lambda: 'redis_up{service="cache"} 1' in page(machine, "/metrics/redis"), "redis_up", 60)
    up = [('opsctl_systemd_unit_up{service="sleeper"}', "1")]
    wait_until(lambda: UP.findall(page(machine, "/metrics/systemd")) == up, "the unit's state", 60)
    assert "node_memory_MemTotal_bytes " in page(machine, "/metrics/node")
    assert "opsctl_checks{" in page(machine, "/metrics/findings")
    paths = ("/", "/metrics", "/metrics/redis", "/metrics/findings", "/metrics/systemd")
    said = machine.run(*log).stdout + "".join(page(machine, path) for path in paths)
    assert "serving the metrics of unit" in said
    assert PASSWORD not in said
    assert machine.show("opsctl-exporter", "User") == "opsctl"
    assert machine.show("opsctl-exporter", "NRestarts") == "0"


@pytest.mark.systemd
def test_the_unit_goes_on_when_the_bus_hangs(machine: Machine) -> None:
    well = 'opsctl_systemd_unit_up{service="sleeper"} 1'
    wait_until(lambda: well in page(machine, "/metrics/systemd"), "the page", 60)
    bus = machine.show("dbus.service", "MainPID")
    machine.run("kill", "-STOP", bus)
    try:
        assert 'opsctl_systemd_unit_up{service="sleeper"} 0' in page(machine, "/metrics/systemd")
        assert 'redis_up{service="cache"} 1' in page(machine, "/metrics/redis")
    finally:
        machine.run("kill", "-CONT", bus)
    wait_until(lambda: well in page(machine, "/metrics/systemd"), "the page again", 60)


@pytest.mark.systemd
def test_systemd_finds_no_fault_in_the_unit_and_little_exposure(machine: Machine) -> None:
    unit = "/etc/systemd/system/opsctl-exporter.service"
    verified = machine.run("systemd-analyze", "verify", unit, check=False)
    ours = [line for line in verified.stderr.splitlines() if "opsctl-exporter" in line]
    assert (verified.returncode, ours) == (0, [])
    said = machine.run("systemd-analyze", "security", "--no-pager", "opsctl-exporter.service").stdout
    figure = re.search(r"Overall exposure level for opsctl-exporter.service: ([\d.]+)", said)
    assert figure is not None, said
    assert float(figure[1]) <= MOST_EXPOSURE, said


@pytest.mark.systemd
def test_the_unit_stops_when_told_to_and_comes_back_when_it_dies(machine: Machine) -> None:
    wait_until(lambda: "healthy" in page(machine, "/-/healthy"), "the unit", 60)
    before = machine.show("opsctl-exporter", "MainPID")
    machine.run("kill", "-KILL", before)
    wait_until(lambda: machine.show("opsctl-exporter", "MainPID") not in ("0", before), "a new one", 60)
    wait_until(lambda: "healthy" in page(machine, "/-/healthy"), "the unit", 60)
    machine.run("systemctl", "stop", "opsctl-exporter")
    assert machine.show("opsctl-exporter", "Result") == "success"
    assert machine.show("opsctl-exporter", "ActiveState") == "inactive"


# -- the role -------------------------------------------------------------------------------------


def names(text: str) -> set[str]:
    """Return the series of a page without their values."""
    return {line.rpartition(" ")[0] for line in text.splitlines() if line and not line.startswith("#")}


def test_the_role_sees_all_that_a_superuser_sees(tmp_path: Path) -> None:
    from tests.live.test_exporter import exporting

    with PostgresServer(password=PASSWORD) as postgres:
        script = (DEPLOY / "postgres-role.sql").read_text()
        argv = ["psql", "-X", "-q", "-h", str(postgres.folder), "-p", str(postgres.port), "-U", "postgres"]
        subprocess.run([*argv, "postgres"], input=script, text=True, check=True, timeout=60)
        for role in ("opsctl", "postgres"):
            postgres.sql(f"alter role {role} password '{PASSWORD}'")
        postgres.sql("create table orders (id int primary key); insert into orders values (1)", "app")
        postgres.sql("select count(*) from orders; analyze", "app")
        seen = {}
        for role in ("opsctl", "postgres"):
            spec = postgres.stack_spec()
            spec["postgres"]["dsn"] = f"postgresql://{role}@127.0.0.1:{postgres.port}/app"
            folder = tmp_path / role
            folder.mkdir()
            with exporting(folder, {"db": spec}) as exporter:
                exporter.wait_up("postgres", 1)
                seen[role] = names(exporter.get("/metrics/postgres")[1])
        missing = {series for series in seen["postgres"] - seen["opsctl"] if "pg_stat_activity" not in series}
        assert missing == set()
        assert any(series.startswith("pg_database_size_bytes{") for series in seen["opsctl"])
