"""What can be written under a service, one record per kind, and under the stack itself.

Secrets are never written here: `*_env` names a variable, `*_file` a file.
`shorthand` names the field that a plain string stands for (`tls: [example.com]`).
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

import msgspec
from msgspec import Meta

Seconds = Annotated[float, Meta(gt=0, le=86400)]
Port = Annotated[int, Meta(ge=1, le=65535)]
Positive = Annotated[int, Meta(ge=1, le=100000)]
VARIABLE_PATTERN = "[A-Za-z_][A-Za-z0-9_]{0,99}"
"""The name of an environment variable. Whoever writes the secret itself there is not quoted."""
Variable = Annotated[str, Meta(pattern=f"^{VARIABLE_PATTERN}$")]
NO_OR_VARIABLE = f"^({VARIABLE_PATTERN})?$"


class Spec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of everything that the stack file describes."""

    shorthand: ClassVar[str] = ""


class PostgresSpec(Spec, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A PostgreSQL server and the database the service uses."""

    shorthand: ClassVar[str] = "dsn"

    dsn: Annotated[str, Meta(description="postgresql://USER@HOST:PORT/DATABASE, without a password")]
    user_env: Annotated[
        str, Meta(pattern=NO_OR_VARIABLE, description="variable that holds the user, if it is set")
    ] = ""
    database_env: Annotated[
        str, Meta(pattern=NO_OR_VARIABLE, description="variable that holds the database's name, if it is set")
    ] = ""
    password_env: Annotated[
        str, Meta(pattern=NO_OR_VARIABLE, description="variable that holds the password")
    ] = ""
    password_file: Annotated[str, Meta(description="file that holds the password")] = ""
    data_directory: Annotated[str, Meta(description="where the data lives on this machine")] = ""
    tables: Annotated[list[str], Meta(description="tables that must exist")] = []
    migrations: Annotated[
        Literal["", "alembic", "laravel"], Meta(description="tool whose migrations are checked")
    ] = ""
    migrations_path: Annotated[str, Meta(description="folder of the migration files")] = ""
    replicas: Annotated[int, Meta(ge=0, description="streaming replicas that must be connected")] = 0
    replica: Annotated[bool, Meta(description="this server is itself a replica")] = False
    exposed: Annotated[bool, Meta(description="it may listen beyond loopback")] = False
    guessed: Annotated[bool, Meta(description="the login is a guess: a refusal is no fault")] = False


class RedisSpec(Spec, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A Redis server."""

    shorthand: ClassVar[str] = "url"

    url: Annotated[str, Meta(description="redis://HOST:PORT/DB or unix:///path, without a password")]
    password_env: Annotated[
        str, Meta(pattern=NO_OR_VARIABLE, description="variable that holds the password")
    ] = ""
    password_file: str = ""
    data_directory: Annotated[str, Meta(description="where the data lives on this machine")] = ""
    queues: Annotated[
        dict[str, Positive], Meta(description="list or stream name -> length that is too long")
    ] = {}
    replicas: Annotated[int, Meta(ge=0, description="replicas that must be connected")] = 0
    replica: Annotated[bool, Meta(description="this server is itself a replica")] = False
    exposed: Annotated[bool, Meta(description="it may listen beyond loopback")] = False
    guessed: Annotated[bool, Meta(description="the login is a guess: a refusal is no fault")] = False


class HttpSpec(Spec, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A page or an API endpoint."""

    shorthand: ClassVar[str] = "url"

    url: str
    method: Literal["GET", "HEAD", "POST", "OPTIONS"] = "GET"
    status: Annotated[int | list[int], Meta(description="the right answers; default 200")] = 200
    max_seconds: Annotated[Seconds, Meta(description="slower than this is a warning")] = 1.0
    contains: Annotated[str, Meta(description="text that the body must hold")] = ""
    metrics: Annotated[list[str], Meta(description="metric names that the page must hold")] = []
    host: Annotated[str, Meta(description="Host header and TLS name, where not the URL's")] = ""
    connect: Annotated[str, Meta(description="HOST:PORT to connect to instead of looking the name up")] = ""
    ca_file: str = ""
    verify: Annotated[bool, Meta(description="check the certificate")] = True
    via: Annotated[str, Meta(description="the service whose proxy this goes through, if any")] = ""


class TlsSpec(Spec, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A certificate as it is served."""

    shorthand: ClassVar[str] = "name"

    name: Annotated[str, Meta(description="host name, with :PORT where it is not 443")]
    connect: Annotated[str, Meta(description="HOST:PORT to connect to instead of looking the name up")] = ""
    ca_file: str = ""
    certificate_file: str = ""
    key_file: str = ""


class NginxSpec(Spec, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An nginx: its configuration, its own status page and its logs."""

    config: Annotated[str, Meta(description="main configuration file")] = "/etc/nginx/nginx.conf"
    pid_file: str = ""
    status_url: Annotated[str, Meta(description="stub_status page")] = ""
    listen: Annotated[str, Meta(description="HOST:PORT where it must answer")] = "127.0.0.1:80"
    access_log: str = ""
    error_log: str = ""
    static: Annotated[list[str], Meta(description="files and folders that must exist to be served")] = []
    cache_path: Annotated[str, Meta(description="folder of proxy_cache")] = ""


class PhpSpec(Spec, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A PHP-FPM pool and the Laravel application it runs."""

    fpm: Annotated[str, Meta(description="listen address of the pool: /run/php/….sock or HOST:PORT")]
    status_path: Annotated[str, Meta(description="pm.status_path of the pool")] = ""
    root: Annotated[str, Meta(description="Laravel's folder")] = ""
    log: Annotated[str, Meta(description="PHP-FPM's own error log")] = ""


class TelegramSpec(Spec, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A Telegram bot."""

    token_env: Annotated[
        str,
        Meta(
            pattern=NO_OR_VARIABLE,
            description="variable that holds the token; TELEGRAM_BOT_TOKEN or BOT_TOKEN by default",
        ),
    ] = ""
    token_file: str = ""
    api_url: str = "https://api.telegram.org"
    mode: Annotated[
        Literal["polling", "webhook", "sending"],
        Meta(description="how updates reach it; sending: it fetches none"),
    ] = "polling"


class LogSpec(Spec, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A log: of the service's container or unit by default, or a file."""

    shorthand: ClassVar[str] = "path"

    path: str = ""
    format: Literal["plain", "json", "uvicorn", "nginx", "nginx-error", "laravel", "postgres"] = "plain"
    silent_after: Annotated[
        Seconds | None, Meta(description="silence longer than this many seconds is a finding")
    ] = None


class EnvSpec(Spec, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The configuration that the service is started with."""

    shorthand: ClassVar[str] = "file"

    file: str
    required: list[Variable] = []
    secret: Annotated[list[Variable], Meta(description="variables whose values are never shown")] = []
    production: Annotated[bool, Meta(description="judge it as a production configuration")] = True


class DataSpec(Spec, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A named SQL query against limits; runs read-only in the service's database."""

    name: Annotated[str, Meta(pattern="^[a-z][a-z0-9_]*$")]
    query: Annotated[str, Meta(description="returns one number")]
    warning: float | None = None
    critical: float | None = None
    below: Annotated[bool, Meta(description="too little is the fault, not too much")] = False
    unit: str = ""
    help: str = ""


class MonitoringSpec(Spec, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A Prometheus, an Alertmanager, or both where one service runs both."""

    prometheus: Annotated[str, Meta(description="URL of a Prometheus, with its prefix where it has one")] = ""
    alertmanager: Annotated[
        str, Meta(description="URL of an Alertmanager, with its prefix where it has one")
    ] = ""
    user: Annotated[str, Meta(description="user of its basic authentication, where it asks for one")] = ""
    password_env: Annotated[
        str, Meta(pattern=NO_OR_VARIABLE, description="variable that holds the password")
    ] = ""
    password_file: Annotated[str, Meta(description="file that holds the password")] = ""
    ca_file: str = ""
    verify: Annotated[bool, Meta(description="check the certificate")] = True


class StaticSpec(Spec, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Pages that are built beforehand and served as files."""

    shorthand: ClassVar[str] = "root"

    root: Annotated[str, Meta(description="folder of the build, such as …/dist")]
    pages: Annotated[
        list[str], Meta(description="paths that the build must hold: /about/, /404.html, /catalog/*/")
    ] = []
    at_least: Annotated[
        dict[str, Positive], Meta(description="path with wildcards -> how many pages of it there must be")
    ] = {}
    sources: Annotated[list[str], Meta(description="files and folders that the build is made from")] = []
    max_age: Annotated[
        str,
        Meta(
            pattern=r"^([1-9][0-9]{0,5}[mhdw])?$", description="an older build is a finding: 30m, 12h, 7d, 2w"
        ),
    ] = ""
    url: Annotated[str, Meta(description="where the pages are served; they are asked for there as well")] = ""
    connect: Annotated[str, Meta(description="HOST:PORT to connect to instead of looking the name up")] = ""
    ca_file: str = ""
    verify: Annotated[bool, Meta(description="check the certificate")] = True


class PoolSpec(Spec, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How many database connections one instance of the service may open."""

    size: Annotated[int, Meta(ge=0)]
    overflow: Annotated[int, Meta(ge=0)] = 0
    service: Annotated[str, Meta(description="the service whose PostgreSQL it uses")] = ""


class BackupSpec(Spec, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where dumps of the service arrive, and how often."""

    path: str
    pattern: str = "*"
    every: Annotated[str, Meta(pattern=r"^[1-9][0-9]*[mhdw]$")] = "1d"
    keep: dict[Literal["daily", "weekly", "monthly"], Positive] = {}


class ServiceSpec(Spec, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A service: what runs it, what it leans on, and what to look at."""

    description: str = ""
    container: Annotated[str, Meta(description="compose service name")] = ""
    project: Annotated[str, Meta(description="compose project of the container, where not the stack's")] = ""
    unit: Annotated[str, Meta(description="systemd unit")] = ""
    replicas: Annotated[Positive, Meta(description="how many containers of it must run")] = 1
    depends_on: Annotated[
        list[str], Meta(description="services whose failure can be the reason of this one's")
    ] = []
    depends_on_guessed: Annotated[
        bool, Meta(description="depends_on is a guess: what it explains is only probable")
    ] = False
    env: EnvSpec | None = None
    pool: PoolSpec | None = None
    postgres: list[PostgresSpec] = []
    redis: list[RedisSpec] = []
    http: list[HttpSpec] = []
    tls: list[TlsSpec] = []
    nginx: list[NginxSpec] = []
    php: list[PhpSpec] = []
    telegram: list[TelegramSpec] = []
    logs: list[LogSpec] = []
    data: list[DataSpec] = []
    monitoring: list[MonitoringSpec] = []
    static: list[StaticSpec] = []
    backup: Annotated[
        list[BackupSpec], Meta(description="where dumps arrive, and how often; taken down, not judged yet")
    ] = []


class ComposeSpec(Spec, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The Docker Compose project."""

    shorthand: ClassVar[str] = "project"

    project: str
    file: str = ""
    env_file: Annotated[str, Meta(description="default .env beside the compose file")] = ""
    docker_host: Annotated[str, Meta(description="unix:///… where not the default socket")] = ""


class HostSpec(Spec, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What to look at on the machine itself."""

    filesystems: Annotated[list[str], Meta(description="mount points; default: all real ones")] = []
    closed_ports: Annotated[
        list[Port], Meta(description="ports that must not be reachable from outside")
    ] = []
    open_ports: Annotated[list[Port], Meta(description="ports that must be listened on")] = []
    names: Annotated[list[str], Meta(description="host names that must resolve")] = []
    firewall: Annotated[bool, Meta(description="a firewall must be active")] = False


class ThresholdSpec(Spec, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Limits that replace a check's own; null switches a level off."""

    warning: float | msgspec.UnsetType | None = msgspec.UNSET
    critical: float | msgspec.UnsetType | None = msgspec.UNSET


class StackSpec(Spec, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A whole stack file."""

    name: Annotated[
        str,
        Meta(pattern="^[A-Za-z0-9][A-Za-z0-9_.-]*$", description="what the stack is called in every output"),
    ]
    flow: Annotated[str, Meta(description="the tree that is walked first; `opsctl runbook` lists them")] = ""
    description: Annotated[str, Meta(description="for people")] = ""
    compose: ComposeSpec | None = None
    services: dict[str, ServiceSpec]
    host: HostSpec = HostSpec()
    prometheus: Annotated[
        str,
        Meta(description="URL of the stack's Prometheus, for what the `monitoring` checks ask of the past"),
    ] = ""
    alertmanager: Annotated[str, Meta(description="URL of the Alertmanager that Prometheus must know")] = ""
    thresholds: Annotated[
        dict[str, ThresholdSpec], Meta(description="by slug: limits that replace a check's own")
    ] = {}
