"""Errors that only a log tells of: in each format, of each class; logs that fall silent or cannot be read."""

from __future__ import annotations

from collections.abc import Iterator

from tests.lab import load
from tests.lab.changes import asked_for, edited, release, without_file
from tests.lab.faults.base import fault
from tests.lab.faults.config import ENV, started_anew
from tests.lab.faults.http import BACKENDS, SITE, page
from tests.lab.stacks import parts
from tests.lab.stacks.base import ComposeSystem, System

PAYMENT = """
import logging, socket, threading, time


def pay():
    while True:
        try:
            socket.create_connection(("127.0.0.1", 9977), timeout=1).close()
        except OSError as error:
            logging.getLogger("uvicorn.error").error("payment gateway at 127.0.0.1:9977: %s", error)
        time.sleep(0.7)


threading.Thread(target=pay, daemon=True).start()
"""


@fault(
    *BACKENDS,
    "freemarket",
    expect=[("logs/connection-errors", "backend")],
    innocent=["postgres/*", "redis/*", "http/*"],
)
def payment_gateway_unreachable(lab: System) -> Iterator[None]:
    """It is no part of the stack: that the application cannot reach it stands in its log alone."""
    with release(lab, PAYMENT):
        lab.sh("sleep 3")
        yield


@fault("wishlins", expect=[("logs/connection-errors", "bot")], innocent=["http/*", "telegram/*"])
def bot_asks_the_wrong_port(lab: ComposeSystem) -> Iterator[None]:
    """A setting of the bot names a port where nobody listens. The backend itself is well."""
    with edited(lab, ENV[lab.name], "http://backend:8000/", "http://backend:8001/"):
        started_anew(lab)
        lab.wait_healthy()
        lab.forget()
        lab.wait(f"[ $(docker logs {lab.id('bot')} 2>&1 | grep -c 'cannot reach') -ge 3 ]", seconds=90)
        yield
    started_anew(lab)


@fault(
    *BACKENDS,
    expect=[("logs/application-errors", "backend")],
    shows=[("http/status", "backend"), ("http/status", "api")],
    innocent=["postgres/*"],
)
def release_with_a_bug(lab: System) -> Iterator[None]:
    """The page ends in an exception; its traceback stands in the log."""
    code = page(lab) + "def broken():\n    prices = {}\n    return prices['basket']\n"
    with release(lab, code):
        lab.see_load()
        lab.see_load()
        yield


@fault("freemarket", expect=[("logs/application-errors", "backend")], shows=[("http/status", "api")])
def release_with_a_bug_behind_the_proxy(lab: ComposeSystem) -> Iterator[None]:
    code = page(lab) + "def broken(number: int):\n    return None + number\n"
    with release(lab, code):
        lab.see_load()
        lab.see_load()
        yield


@fault(
    "iiko-base",
    expect=[("logs/application-errors", "php")],
    shows=[("http/status", "site"), ("logs/new-error", "php")],
    innocent=["postgres/*"],
)
def administration_with_a_bug(lab: System) -> Iterator[None]:
    """Laravel's log was calm for more than an hour; since the deployment every page fails."""
    log = "/var/www/iiko-base/frontend/storage/logs/laravel.log"
    calm = "[$(date -u -d \"-$n minutes\" '+%Y-%m-%d %H:%M:%S')] production.INFO: report $n is ready"
    lab.sh(f'for n in $(seq 90 -1 11); do echo "{calm}"; done >> {log}')
    bug = "fail($root, 'Call to undefined method App\\\\Models\\\\Dish::tags() at MenuController.php:41');"
    index = "/var/www/iiko-base/frontend/public/index.php"
    with edited(lab, index, "try {", f"{bug}\ntry {{"):
        answer = "curl -sk -m 5 -o /dev/null -w '%{http_code}' https://vezuroll.ru/"
        lab.wait(f"[ $({answer}) = 500 ]", "the bug to be loaded; PHP's cache looks every two seconds", 10)
        lab.see_load()
        yield


RENAMED = {
    "rostferrum": ("products", "price", "rostferrum"),
    "iiko-base": ("menu_items", "price", "iiko_db"),
}


@fault(
    "rostferrum",
    "iiko-base",
    expect=[("logs/database-errors", "db")],
    shows=[("logs/database-errors", "backend"), ("http/status", "api")],
    innocent=["postgres/*"],
)
def column_renamed_under_the_application(lab: System) -> Iterator[None]:
    """The database refuses what the application asks, and both say so; the database at first hand."""
    table, column, database = RENAMED[lab.name]
    parts.psql(lab, f"-c 'alter table {table} rename column {column} to {column}_old' {database}")
    lab.see_load()
    lab.see_load()
    yield
    parts.psql(lab, f"-c 'alter table {table} rename column {column}_old to {column}' {database}")


@fault(
    "wishlins",
    expect=[("logs/database-errors", "db")],
    shows=[("logs/database-errors", "backend"), ("http/status", "api")],
)
def column_renamed_in_the_container(lab: ComposeSystem) -> Iterator[None]:
    change = 'psql -q -U wishlins -c "alter table users rename column {} to {}" wishlins'
    lab.inside("db", change.format("name", "full_name"))
    lab.see_load()
    lab.see_load()
    yield
    lab.inside("db", change.format("full_name", "name"))


@fault(
    "rostferrum",
    "iiko-base",
    expect=[("logs/database-errors", "db")],
    innocent=["http/*", "postgres/*"],
)
def nightly_report_asks_for_a_table_that_is_gone(lab: System) -> Iterator[None]:
    """A job of somebody else's fails in the database; the stack itself is well."""
    ask = f"psql -q -c 'select sum(total) from invoices' '{lab.database_url}'"
    lab.server.write("/etc/lab/report.sh", f"for n in $(seq 60); do {ask}; sleep 0.7; done\n")
    lab.sh("systemctl reset-failed lab-report", check=False)
    lab.sh("systemd-run -q --unit=lab-report sh /etc/lab/report.sh")
    lab.wait(f"[ $(grep -c 'ERROR.*invoices' {parts.POSTGRES_LOG}) -ge 4 ]", "the report's errors", 60)
    yield
    lab.sh("systemctl stop lab-report", check=False)


@fault("rostferrum", expect=[("logs/silent", "proxy")], innocent=["http/*", "nginx/*"])
def access_log_switched_off(lab: System) -> Iterator[None]:
    """The traffic analysis gets nothing any more. The stack file says what silence is too long (3 s here)."""
    with asked_for(lab, services__nginx__logs__1__silent_after=3):
        with edited(lab, SITE, "access_log /var/log/nginx/access.log;", "access_log off;"):
            lab.sh("systemctl restart nginx; sleep 3.5")
            lab.see_load()
            yield
        lab.sh("systemctl restart nginx")
        lab.see_load()


@fault("wishlins", expect=[("logs/silent", "backend")], innocent=["http/*", "container/*"])
def backend_logs_nothing_any_more(lab: ComposeSystem) -> Iterator[None]:
    """From some moment on nothing below a warning is logged. Three seconds of silence are too long."""
    quiet = "threading.Timer(6, logging.getLogger('uvicorn.access').setLevel, ['WARNING'])"
    code = f"import logging, threading\n{quiet}.start()\n"
    silence = {"services__wishlist-backend__logs__0__silent_after": 3}
    with asked_for(lab, **silence), release(lab, code):
        lab.wait_healthy()
        lab.see_load()
        lab.sh("sleep 11")
        yield


@fault("rostferrum", expect=[("logs/unreadable", "proxy")], innocent=["http/*", "nginx/down"])
def error_log_deleted(lab: System) -> Iterator[None]:
    """Somebody made room with rm; nginx writes on into a file that has no name any more."""
    with without_file(lab, "/var/log/nginx/rostferrum_error.log"):
        yield


@fault("iiko-base", special="control")
def laravel_log_deleted(lab: System) -> Iterator[None]:
    """Nothing is wrong: Laravel makes a new one with its next entry."""
    with without_file(lab, "/var/www/iiko-base/frontend/storage/logs/laravel.log"):
        yield


@fault("rostferrum", expect=[("logs/unreadable", "proxy")], innocent=["http/*", "nginx/*"])
def access_log_in_another_format(lab: System) -> Iterator[None]:
    """nginx was told to write JSON; who reads the log waits for its usual lines."""
    form = 'log_format lines escape=json \'{"at":"$time_iso8601","status":$status}\';'
    site = lab.sh(f"cat {SITE}")
    lab.server.write(SITE, f"{form}\n" + site.replace("/access.log;", "/access.log lines;"))
    load.stop(lab)
    lab.sh("systemctl restart nginx; truncate -s 0 /var/log/nginx/access.log")
    for _ in range(6):
        lab.see_load()
    yield
    lab.server.write(SITE, site)
    lab.sh("systemctl restart nginx; truncate -s 0 /var/log/nginx/access.log")
    load.start(lab)
