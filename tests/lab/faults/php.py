"""PHP-FPM and the Laravel administration."""

from __future__ import annotations

from collections.abc import Iterator

from tests.lab.faults.base import fault
from tests.lab.stacks.base import System

FRONTEND = "/var/www/iiko-base/frontend"


@fault(
    "iiko-base",
    expect=[("systemd/inactive", "php")],
    shows=[("http/status", "site")],
    innocent=["postgres/*"],
)
def fpm_stopped(lab: System) -> Iterator[None]:
    lab.sh("systemctl stop php8.2-fpm")
    lab.see_load()
    yield
    lab.sh("systemctl start php8.2-fpm")


@fault("iiko-base", expect=[("php/fpm-down", "php")], shows=[("http/timeout", "site")], hangs=True)
def fpm_frozen(lab: System) -> Iterator[None]:
    lab.sh("pkill -STOP php-fpm")
    lab.see_load()
    yield
    lab.sh("pkill -CONT php-fpm")


@fault("iiko-base", expect=[("php/workers-exhausted", "php")], shows=[("http/timeout", "site")], hangs=True)
def all_workers_busy(lab: System) -> Iterator[None]:
    """Scripts that wait for something slow hold every worker."""
    lab.server.write(f"{FRONTEND}/public/slow.php", "<?php sleep(25); echo 'done';\n")
    pool = "/etc/php/8.2/fpm/pool.d/www.conf"
    lab.sh(f"sed -i 's/^pm.max_children.*/pm.max_children = 3/' {pool}; systemctl restart php8.2-fpm")
    lab.sh(
        "for n in 1 2 3 4 5 6; do curl -sk -m 24 -o /dev/null https://vezuroll.ru/slow.php & done; sleep 2"
    )
    lab.see_load()
    yield
    lab.sh(f"sed -i 's/^pm.max_children.*/pm.max_children = 5/' {pool}; rm {FRONTEND}/public/slow.php")
    lab.sh("systemctl restart php8.2-fpm")


@fault("iiko-base", expect=[("php/storage-unwritable", "php")], shows=[("http/status", "site")])
def storage_belongs_to_root(lab: System) -> Iterator[None]:
    """A deployment as root left the folders with the wrong owner."""
    lab.sh(f"chown -R root: {FRONTEND}/storage; chmod -R go-w {FRONTEND}/storage")
    lab.see_load()
    yield
    lab.sh(f"chown -R www-data: {FRONTEND}/storage")


@fault(
    "iiko-base",
    expect=[("config/variable-missing", "php")],
    shows=[("php/key-missing", "php"), ("http/status", "site")],
)
def application_key_lost(lab: System) -> Iterator[None]:
    lab.sh(f"cp -p {FRONTEND}/.env /tmp/env; sed -i 's/^APP_KEY=.*/APP_KEY=/' {FRONTEND}/.env")
    lab.see_load()
    yield
    lab.sh(f"cp -p /tmp/env {FRONTEND}/.env")


@fault("iiko-base", expect=[("php/debug-enabled", "php")], shows=[("config/debug-enabled", "php")])
def debug_left_on(lab: System) -> Iterator[None]:
    lab.sh(f"cp -p {FRONTEND}/.env /tmp/env; sed -i 's/^APP_DEBUG=.*/APP_DEBUG=true/' {FRONTEND}/.env")
    yield
    lab.sh(f"cp -p /tmp/env {FRONTEND}/.env")


@fault("iiko-base", expect=[("postgres/table-missing", "db")], shows=[("http/status", "site")])
def menu_table_dropped(lab: System) -> Iterator[None]:
    from tests.lab.stacks import parts

    parts.psql(lab, "-c 'alter table menu_items rename to menu_items_old' iiko_db")
    lab.see_load()
    yield
    parts.psql(lab, "-c 'alter table menu_items_old rename to menu_items' iiko_db")


@fault(
    "iiko-base",
    expect=[("postgres/table-missing", "db")],
    shows=[("php/errors", "php"), ("http/status", "site")],
)
def menu_table_dropped_and_many_ask(lab: System) -> Iterator[None]:
    from tests.lab.stacks import parts

    parts.psql(lab, "-c 'alter table menu_items rename to menu_items_old' iiko_db")
    lab.sh("for n in $(seq 12); do curl -sk -m 4 -o /dev/null https://vezuroll.ru/; done")
    lab.see_load()
    yield
    parts.psql(lab, "-c 'alter table menu_items_old rename to menu_items' iiko_db")


@fault("iiko-base", expect=[("postgres/migrations-pending", "db")])
def migration_not_run(lab: System) -> Iterator[None]:
    path = "/var/www/iiko-base/backend/database/migrations/versions/0002_more.py"
    lab.server.write(path, 'revision = "0002_more"\ndown_revision = "0001_menu"\n')
    yield
    lab.sh(f"rm {path}")


@fault("iiko-base", expect=[("config/debug-enabled", "backend")])
def backend_debug_on(lab: System) -> Iterator[None]:
    lab.sh("sed -i s/DEBUG=false/DEBUG=true/ /var/www/iiko-base/backend/.env")
    yield
    lab.sh("sed -i s/DEBUG=true/DEBUG=false/ /var/www/iiko-base/backend/.env")


@fault("iiko-base", expect=[("config/variable-missing", "backend")])
def backend_variable_missing(lab: System) -> Iterator[None]:
    lab.sh("sed -i s/^DEBUG=/XDEBUG=/ /var/www/iiko-base/backend/.env")
    yield
    lab.sh("sed -i s/^XDEBUG=/DEBUG=/ /var/www/iiko-base/backend/.env")


@fault("iiko-base", expect=[("network/firewall-inactive", "host")])
def firewall_off(lab: System) -> Iterator[None]:
    lab.sh("iptables -F INPUT; iptables -P INPUT ACCEPT")
    yield
    lab.firewall(22, 80, 443)


@fault("iiko-base", expect=[("network/name-unresolved", "host")], shows=[("http/name-unresolved", "site")])
def name_does_not_resolve(lab: System) -> Iterator[None]:
    lab.sh(
        "sed 's/ vezuroll.ru$/ gone.ru/' /etc/hosts > /tmp/hosts; cp /etc/hosts /tmp/hosts.old; cat /tmp/hosts > /etc/hosts"  # noqa: E501
    )
    yield
    lab.sh("cat /tmp/hosts.old > /etc/hosts")
