"""Configuration: variables that are missing, secrets of the example, settings that are not for production."""

from __future__ import annotations

from collections.abc import Iterator

from tests.lab.changes import edited, without_file, without_variable
from tests.lab.faults.base import fault
from tests.lab.stacks import parts, wishlins
from tests.lab.stacks.base import ComposeSystem, System

ON_SYSTEMD = ("rostferrum", "iiko-base")
FAILS = "http/status|http/timeout|http/refused|http/body"
ENV = {
    "rostferrum": "/var/www/rostferrum/.env",
    "iiko-base": "/var/www/iiko-base/backend/.env",
    "wishlins": wishlins.ENV,
    "freemarket": "/srv/freemarket/.env",
}
ADMIN_ENV = "/var/www/iiko-base/frontend/.env"


def with_line(lab: System, line: str, path: str = "") -> Iterator[None]:
    """Have one more line in the env file, and everything that reads it started with it."""
    path = path or ENV[lab.name]
    first = lab.sh(f"head -n 1 {path}").rstrip("\n")
    with edited(lab, path, f"{first}\n", f"{first}\n{line}\n"):
        started_anew(lab)
        long_ago(lab)
        yield
    started_anew(lab)


def long_ago(lab: System) -> None:
    """Have what was just started be well, and the traces of the restart forgotten: it is hours ago."""
    lab.wait_healthy()
    lab.forget()


def started_anew(lab: System) -> None:
    """Start what reads the env file with its present values."""
    if isinstance(lab, ComposeSystem):
        lab.recreate("db", "backend", "bot")
    else:
        lab.sh(f"systemctl restart {lab.units['backend']}", check=False)


@fault("rostferrum", expect=[("config/variable-missing", "backend")], shows=[(FAILS, "api")])
def database_url_left_out(lab: System) -> Iterator[None]:
    """A deployment wrote the env file anew without it: the application ends as soon as it is started."""
    with without_variable(lab, ENV[lab.name], "DATABASE_URL"):
        started_anew(lab)
        lab.wait(f"[ $(systemctl show -P NRestarts {lab.units['backend']}) -ge 2 ]", seconds=90)
        lab.see_load()
        yield
    lab.sh(f"systemctl reset-failed {lab.units['backend']}", check=False)
    started_anew(lab)


@fault(*ON_SYSTEMD, expect=[("config/variable-missing", "backend")], shows=[(FAILS, "api")])
def env_file_deleted(lab: System) -> Iterator[None]:
    """systemd cannot read EnvironmentFile= and does not even try to start the application."""
    with without_file(lab, ENV[lab.name]):
        started_anew(lab)
        lab.see_load()
        yield
    lab.sh(f"systemctl reset-failed {lab.units['backend']}", check=False)
    started_anew(lab)


@fault(
    "freemarket", expect=[("config/variable-missing", "backend")], innocent=["postgres/*", "http/*", "tls/*"]
)
def password_left_out_while_old_values_run(lab: ComposeSystem) -> Iterator[None]:
    """The containers keep what they were started with; the next restart will take them down."""
    with without_variable(lab, ENV[lab.name], "DB_PASSWORD"):
        yield


@fault("freemarket", expect=[("config/variable-missing", "backend")])
def bot_token_left_out(lab: ComposeSystem) -> Iterator[None]:
    """The stack file asks for the token in the backend's env file, which the bot reads as well.

    That the bot has none from elsewhere either cannot be seen: it has no env file of its own.
    """
    with without_variable(lab, ENV[lab.name], "TELEGRAM_BOT_TOKEN"):
        started_anew(lab)
        lab.wait(f"[ $(docker inspect -f '{{{{.RestartCount}}}}' {lab.id('bot')}) -ge 1 ]", seconds=90)
        yield
    started_anew(lab)


@fault("rostferrum", expect=[("config/placeholder-secret", "backend")])
def database_password_of_the_example(lab: System) -> Iterator[None]:
    """Both ends agree, and everybody who has read the example knows it."""
    path, old = ENV[lab.name], lab.database_url.split(":")[2].partition("@")[0]
    parts.psql(lab, "-c \"alter role rostferrum_user password 'changeme'\"")
    with edited(lab, path, f":{old}@", ":changeme@"):
        started_anew(lab)
        long_ago(lab)
        yield
    parts.psql(lab, f"-c \"alter role rostferrum_user password '{old}'\"")
    started_anew(lab)


@fault("iiko-base", expect=[("config/placeholder-secret", "php")])
def mail_password_of_the_example(lab: System) -> Iterator[None]:
    yield from with_line(lab, "MAIL_PASSWORD=your-password-here", ADMIN_ENV)


@fault("freemarket", expect=[("config/placeholder-secret", "backend")])
def signing_secret_of_the_example(lab: ComposeSystem) -> Iterator[None]:
    yield from with_line(lab, "JWT_SECRET=change-me")


# one env file, and the stack file names it for two services: both run with it
BOTH = ("backend", "bot")


@fault("wishlins", expect=[("config/placeholder-secret", role) for role in BOTH])
def admin_password_of_the_example(lab: ComposeSystem) -> Iterator[None]:
    yield from with_line(lab, "ADMIN_PASSWORD=admin123")


@fault("rostferrum", "freemarket", expect=[("config/debug-enabled", "backend")])
def debug_mode_on(lab: System) -> Iterator[None]:
    yield from with_line(lab, "DEBUG=true")


@fault("rostferrum", "iiko-base", "freemarket", expect=[("config/cors-open", "backend")])
def every_origin_allowed(lab: System) -> Iterator[None]:
    yield from with_line(lab, "ALLOWED_ORIGINS=*")


@fault("wishlins", expect=[("config/cors-open", role) for role in BOTH])
def every_origin_allowed_to_both(lab: ComposeSystem) -> Iterator[None]:
    yield from with_line(lab, "CORS_ORIGINS=https://your-domain.com,*")


@fault("rostferrum", "iiko-base", expect=[("config/not-production", "backend")])
def environment_of_development(lab: System) -> Iterator[None]:
    yield from with_line(lab, "ENVIRONMENT=development")


@fault("iiko-base", expect=[("config/not-production", "php")])
def administration_runs_as_local(lab: System) -> Iterator[None]:
    with edited(lab, ADMIN_ENV, "APP_ENV=production", "APP_ENV=local"):
        yield
