"""What is known of a PHP-FPM pool and the Laravel application it runs.

Metric names follow php-fpm_exporter where it has one.
"""

from __future__ import annotations

from opsctl.facts.base import Annotated, Connection, Facts, Info, Label, Record, counter, gauge


class StorageFolder(Record, frozen=True, kw_only=True):
    """A folder that Laravel must be able to write; `reason` says why the pool's user cannot."""

    path: Annotated[str, Label("path")]
    writable: Annotated[
        bool | None, gauge("opsctl_php_storage_writable", "1 if the pool's user may write there")
    ] = None
    reason: str = ""


class LoggedErrors(Record, frozen=True, kw_only=True):
    """Error lines of one log in the last two minutes."""

    log: Annotated[str, Label("log")]
    count: Annotated[int | None, gauge("opsctl_php_log_errors", "Error lines in the last two minutes")] = None
    last_at: Annotated[
        float | None,
        gauge("opsctl_php_log_error_last_timestamp_seconds", "Time of the last one", unit="seconds"),
    ] = None
    example: str = ""


class PhpFacts(Facts, frozen=True, kw_only=True, tag="php"):
    """One pool at one moment. None is "not read", never zero."""

    up: Annotated[bool, gauge("phpfpm_up", "1 if the pool answered")] = True
    connection: Connection
    address: str = ""
    pool: Annotated[str, Info("opsctl_php_pool_info", "pool", "Name of the pool")] = ""
    manager: Annotated[str, Info("opsctl_php_manager_info", "manager", "static, dynamic, ondemand")] = ""
    master_pid: int | None = None
    frozen: Annotated[bool | None, gauge("opsctl_php_frozen", "1 if the master process is stopped")] = None
    answered: Annotated[
        bool | None, gauge("opsctl_php_answered", "1 if a worker took the request in time")
    ] = None
    waited_seconds: Annotated[
        float | None, gauge("opsctl_php_answer_seconds", "Time until a worker answered", unit="seconds")
    ] = None
    max_children_logged_at: Annotated[
        float | None,
        gauge(
            "opsctl_php_max_children_logged_timestamp_seconds",
            "When the log last said that pm.max_children was reached",
            unit="seconds",
        ),
    ] = None

    listen_queue: Annotated[
        int | None, gauge("phpfpm_listen_queue", "Requests that wait for a free worker")
    ] = None
    max_listen_queue: Annotated[
        int | None, gauge("phpfpm_max_listen_queue", "Most requests that have waited since the start")
    ] = None
    idle_processes: Annotated[int | None, gauge("phpfpm_idle_processes", "Idle workers")] = None
    active_processes: Annotated[int | None, gauge("phpfpm_active_processes", "Busy workers")] = None
    total_processes: Annotated[int | None, gauge("phpfpm_total_processes", "Workers")] = None
    max_children_reached: Annotated[
        int | None, counter("phpfpm_max_children_reached", "Times that pm.max_children was reached")
    ] = None
    accepted_connections: Annotated[
        int | None, counter("phpfpm_accepted_connections", "Requests accepted")
    ] = None
    slow_requests: Annotated[
        int | None, counter("phpfpm_slow_requests", "Requests over request_slowlog_timeout")
    ] = None

    root: str = ""
    storage: list[StorageFolder] = []
    app_key_set: Annotated[bool | None, gauge("opsctl_php_app_key_set", "1 if APP_KEY has a value")] = None
    app_key_valid: Annotated[
        bool | None, gauge("opsctl_php_app_key_valid", "1 if APP_KEY is 16 or 32 bytes long")
    ] = None
    debug: Annotated[bool | None, gauge("opsctl_php_debug", "1 if APP_DEBUG is true")] = None
    environment: Annotated[str, Info("opsctl_php_environment_info", "environment", "APP_ENV")] = ""
    errors: list[LoggedErrors] = []
