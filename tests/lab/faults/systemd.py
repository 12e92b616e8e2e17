"""Units: stopped, failed for each documented reason, masked, looping, killed."""

from __future__ import annotations

from collections.abc import Iterator

from tests.lab.faults.base import fault
from tests.lab.stacks.base import System

UNITS = ("rostferrum", "iiko-base")


def drop_in(lab: System, role: str, text: str) -> None:
    """Change a unit by a drop-in and start it anew."""
    unit = lab.units[role]
    lab.server.write(f"/run/systemd/system/{unit}.service.d/lab.conf", text)
    lab.sh(f"systemctl daemon-reload; systemctl restart {unit}", check=False)


def undo_drop_in(lab: System, role: str) -> None:
    unit = lab.units[role]
    lab.sh(f"rm -rf /run/systemd/system/{unit}.service.d; systemctl daemon-reload")
    lab.sh(f"systemctl reset-failed {unit}; systemctl restart {unit}", check=False)


@fault(
    *UNITS, expect=[("systemd/inactive", "backend")], shows=[("http/status", "api")], innocent=["postgres/*"]
)
def application_stopped(lab: System) -> Iterator[None]:
    """Products and API are down, the static pages are not."""
    lab.sh(f"systemctl stop {lab.units['backend']}")
    lab.see_load()
    yield
    lab.sh(f"systemctl start {lab.units['backend']}")


@fault(*UNITS, expect=[("systemd/inactive", "db")], shows=[("http/status", "api")])
def database_unit_stopped(lab: System) -> Iterator[None]:
    lab.sh(f"systemctl stop {lab.units['db']}")
    lab.see_load()
    yield
    lab.sh(f"systemctl start {lab.units['db']}")


@fault("rostferrum", expect=[("systemd/inactive", "cache")], shows=[("http/status", "api")])
def cache_unit_stopped(lab: System) -> Iterator[None]:
    lab.sh("systemctl stop redis-server")
    lab.see_load()
    yield
    lab.sh("systemctl start redis-server")


@fault(*UNITS, "wishlins", expect=[("systemd/inactive", "proxy")], shows=[("http/refused", "site")])
def proxy_unit_stopped(lab: System) -> Iterator[None]:
    lab.sh("systemctl stop nginx")
    yield
    lab.sh("systemctl start nginx")


@fault(*UNITS, expect=[("systemd/failed", "backend")], shows=[("http/status", "api")])
def application_program_missing(lab: System) -> Iterator[None]:
    """203: the program in ExecStart does not exist."""
    drop_in(lab, "backend", "[Service]\nExecStart=\nExecStart=/opt/venv/bin/uvicorn x:app\nRestart=no\n")
    lab.see_load()
    yield
    undo_drop_in(lab, "backend")


@fault(*UNITS, expect=[("systemd/failed", "backend")], shows=[("http/status", "api")])
def application_folder_missing(lab: System) -> Iterator[None]:
    """200: the working directory is gone."""
    drop_in(lab, "backend", "[Service]\nWorkingDirectory=/srv/moved-away\nRestart=no\n")
    lab.see_load()
    yield
    undo_drop_in(lab, "backend")


@fault("rostferrum", expect=[("systemd/failed", "backend")], shows=[("http/status", "api")])
def application_user_missing(lab: System) -> Iterator[None]:
    """217: nobody goes by that name."""
    drop_in(lab, "backend", "[Service]\nUser=deploy\nRestart=no\n")
    lab.see_load()
    yield
    undo_drop_in(lab, "backend")


@fault("rostferrum", expect=[("systemd/crash-looping", "backend")], shows=[("http/status", "api")])
def application_crash_loops(lab: System) -> Iterator[None]:
    argv = "/usr/bin/python3 -c 'raise SystemExit(3)'"
    drop_in(lab, "backend", f"[Service]\nExecStart=\nExecStart={argv}\nRestart=always\nRestartSec=200ms\n")
    unit = lab.units["backend"]
    lab.wait(f"[ $(systemctl show -P NRestarts {unit}) -ge 6 ]")
    lab.see_load()
    yield
    undo_drop_in(lab, "backend")


@fault("rostferrum", expect=[("systemd/masked", "backend")], shows=[("http/status", "api")])
def application_masked(lab: System) -> Iterator[None]:
    unit = lab.units["backend"]
    lab.sh(f"systemctl stop {unit}; mv /etc/systemd/system/{unit}.service /tmp/; systemctl mask -q {unit}")
    lab.see_load()
    yield
    lab.sh(
        f"systemctl unmask -q {unit}; mv /tmp/{unit}.service /etc/systemd/system/; systemctl daemon-reload;"
        f"systemctl enable -q {unit}; systemctl start {unit}"
    )


@fault("rostferrum", expect=[("systemd/unit-missing", "backend")], shows=[("http/status", "api")])
def application_unit_removed(lab: System) -> Iterator[None]:
    unit = lab.units["backend"]
    lab.sh(f"systemctl stop {unit}; mv /etc/systemd/system/{unit}.service /tmp/; systemctl daemon-reload")
    lab.see_load()
    yield
    lab.sh(f"mv /tmp/{unit}.service /etc/systemd/system/; systemctl daemon-reload; systemctl start {unit}")


@fault("rostferrum", expect=[("systemd/oom-killed", "backend")], shows=[("http/status", "api")])
def application_killed_for_memory(lab: System) -> Iterator[None]:
    """The application leaks, and reaches the unit's memory limit."""
    unit = lab.units["backend"]
    drop_in(lab, "backend", "[Service]\nRestart=no\n")
    lab.wait_healthy()
    with lab.server.memory_limit(f"{unit}.service", 200_000_000):
        lab.sh("touch /run/lab-leak")
        lab.wait(f"[ $(systemctl show -P ActiveState {unit}) = failed ]", seconds=15)
    lab.sh("rm -f /run/lab-leak")
    lab.see_load()
    yield
    undo_drop_in(lab, "backend")


@fault(*UNITS, expect=[("systemd/not-enabled", "backend")])
def application_not_enabled(lab: System) -> Iterator[None]:
    lab.sh(f"systemctl disable -q {lab.units['backend']}")
    yield
    lab.sh(f"systemctl enable -q {lab.units['backend']}")


@fault("rostferrum", expect=[("systemd/reload-needed", "backend")])
def unit_file_changed_without_reload(lab: System) -> Iterator[None]:
    lab.sh("sleep 1.1; touch /etc/systemd/system/rostferrum-products.service")
    yield
    lab.sh("systemctl daemon-reload; systemctl restart rostferrum-products")
