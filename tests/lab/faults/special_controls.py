"""Controls: nothing is wrong, and nothing may be found."""

from __future__ import annotations

from collections.abc import Iterator

from tests.lab import load
from tests.lab.faults.base import fault
from tests.lab.faults.waiting import calm
from tests.lab.stacks import parts
from tests.lab.stacks.base import ComposeSystem, System

ALL = ("rostferrum", "iiko-base", "flurai", "wishlins", "freemarket")


@fault(*ALL, special="control")
def healthy_and_idle(lab: System) -> Iterator[None]:
    load.stop(lab)
    yield
    load.start(lab)


@fault(*ALL, special="control")
def healthy_under_load(lab: System) -> Iterator[None]:
    for _ in range(3):
        lab.see_load()
    yield


@fault("rostferrum", "iiko-base", "wishlins", "freemarket", special="control")
def healthy_with_wrong_addresses_asked(lab: System) -> Iterator[None]:
    """Strangers ask for pages that never were: 404 is no fault."""
    proxy = lab.urls[0]
    lab.sh(f"for n in $(seq 40); do curl -sk -o /dev/null {proxy}wp-login-$n.php; done")
    yield


@fault("rostferrum", "iiko-base", special="control")
def healthy_after_a_deployment(lab: System) -> Iterator[None]:
    """The application and nginx were restarted in order; that they were away is over."""
    lab.sh(f"systemctl restart {lab.units['backend']}; systemctl reload nginx")
    calm(lab)
    yield


@fault("wishlins", "freemarket", "flurai", special="control")
def healthy_after_new_containers(lab: ComposeSystem) -> Iterator[None]:
    """`up -d` has replaced the backend's containers."""
    lab.renew("backend")
    lab.wait_healthy()
    calm(lab)
    yield


@fault("rostferrum", "wishlins", special="control")
def healthy_with_rotated_logs(lab: System) -> Iterator[None]:
    """logrotate was here: new files, the old ones beside them; the master alone is told, as Debian does.

    The new files are made before, as Debian's `create 0640 www-data adm` does: nginx' own could be read
    by everybody, and the faults after this one that run without rights would see more than is so there.
    """
    lab.sh(
        "cd /var/log/nginx; for log in *.log; do mv $log $log.1;"
        "install -m 640 -o www-data -g adm /dev/null $log; done;"
        "systemctl kill --kill-who=main -s USR1 nginx; sleep 0.5; ls *.log"
    )
    lab.see_load()
    yield
    lab.sh("rm -f /var/log/nginx/*.log.1")


@fault("rostferrum", special="control")
def healthy_while_a_base_backup_runs(lab: System) -> Iterator[None]:
    """A backup of the cluster reads it slowly; its session is old and harmless."""
    as_postgres = "-p User=postgres -p Group=postgres"
    lab.sh(
        "rm -rf /tmp/base; systemctl reset-failed lab-backup 2>/dev/null;"
        f"systemd-run -q --unit=lab-backup {as_postgres} pg_basebackup -D /tmp/base -X none --max-rate=512k"
    )
    running = "select count(*) from pg_stat_progress_basebackup"
    lab.wait(f'[ "$(cd / && setpriv --reuid=postgres --clear-groups psql -Atc "{running}")" = 1 ]')
    yield
    lab.sh("systemctl stop lab-backup; rm -rf /tmp/base", check=False)


@fault("rostferrum", "iiko-base", special="control")
def healthy_with_many_idle_sessions(lab: System) -> Iterator[None]:
    """A pool that keeps forty connections open uses them or does not; there is room for a hundred."""
    with parts.idle_sessions(lab, 40):
        yield
