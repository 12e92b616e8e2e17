"""Asking Prometheus and Alertmanager over HTTP, and reading the end of their logs. Bounded in all ways."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from opsctl import system
from opsctl.facts.base import Connection, FactProblem
from opsctl.logs.stores import journal_lines, stream_lines
from opsctl.probes.http_exchange import Exchange, Route, exchange
from opsctl.probes.monitoring_parsing import data_of

if TYPE_CHECKING:
    from opsctl.logs.entries import Line
    from opsctl.probes.base import ProbeContext
    from opsctl.stack.specs import MonitoringSpec, ServiceSpec

MAX_BODY = 8 * 1024 * 1024
"""A thousand targets or rules take about one megabyte."""
MAX_LOG_BYTES = 1024 * 1024
MAX_LOG_LINES = 2000
MAX_CONTAINERS = 3
_SHARE = 0.6
"""How much of the time that is left one request may take: one that hangs leaves something to the next."""
_FIRST_SHARE = 0.9
"""As above for the first one: where that hangs, nothing else is asked."""


class Asker:
    """One program's HTTP interface."""

    def __init__(
        self, context: ProbeContext, spec: MonitoringSpec, url: str, service: ServiceSpec | None = None
    ) -> None:
        self.context, self.url = context, url.rstrip("/")
        ca_file = context.stack.path(spec.ca_file) if spec.ca_file else None
        self._route = Route(
            ca_file=ca_file,
            verify=spec.verify,
            authorization=_authorization(context, spec, service or context.service),
            max_body=MAX_BODY,
        )
        self.problems: list[FactProblem] = []

    def get(self, path: str, share: float = _SHARE) -> Exchange:
        """Send one request; never raises."""
        return exchange(f"{self.url}{path}", self._route, self.context.left * share)

    def readiness(self) -> Connection:
        """Return how asking `/-/ready` ended: `ok`, or why it is not."""
        done = self.get("/-/ready", _FIRST_SHARE)
        if done.connection.state != "ok":
            return done.connection
        if done.status == 200:
            return done.connection
        words = done.body[:200].decode("utf-8", "replace").strip().splitlines()
        detail = f"{done.status} {words[0] if words else ''}".strip()
        state = {401: "auth-failed", 403: "auth-failed", 503: "loading"}.get(done.status or 0, "protocol")
        return Connection(state=state, detail=detail[:300], address=done.connection.address)

    def text(self, path: str, part: str) -> str | None:
        """Return a page, None where it could not be read; `problems` then says why."""
        done = self.get(path)
        if done.connection.state == "ok" and done.status == 200:
            return done.body.decode("utf-8", "replace")
        said = done.connection.detail if done.connection.state != "ok" else f"answered {done.status}"
        self.problem(part, done.connection.state, f"{path} {said}")
        return None

    def data(self, path: str, part: str, **query: str) -> Any:
        """Return `data` of an answer of the API, None where it could not be read."""
        asked = f"{path}?{urlencode(query)}" if query else path
        done = self.get(asked)
        if done.connection.state == "ok":
            data = data_of(done.body)
            if data is not None:
                return data
        said = done.connection.detail if done.connection.state != "ok" else f"answered {done.status}"
        self.problem(part, done.connection.state, f"{path}: {said}")
        return None

    def problem(self, part: str, state: str, message: str) -> None:
        """Note that a part could not be read."""
        code = {"timeout": "timeout", "refused": "refused"}.get(state, "unsupported")
        self.problems.append(FactProblem(part=part, code=code, message=message[:300]))


def _authorization(context: ProbeContext, spec: MonitoringSpec, service: ServiceSpec) -> str:
    if not spec.user:
        return ""
    password = context.secrets.resolve(service, spec.password_env, spec.password_file) or ""
    context.redactor.add(password)
    token = base64.b64encode(f"{spec.user}:{password}".encode()).decode()
    context.redactor.add(token)
    return f"Basic {token}"


def log_lines(context: ProbeContext, since: float) -> tuple[str, list[Line]]:
    """Return the command that shows the service's log, and its last lines; nothing where there is no log.

    Args:
        context: of the service whose unit or container writes the log.
        since: unix seconds.
    """
    try:
        if context.service.unit:
            return _of_unit(context, context.service.unit, since)
        if context.service.container:
            return _of_containers(context, context.service.container, since)
    except OSError:
        pass
    return "", []


def _of_unit(context: ProbeContext, unit: str, since: float) -> tuple[str, list[Line]]:
    argv = [
        "journalctl", "-u", unit, "-o", "json", "--reverse", "--no-pager", "-n", str(MAX_LOG_LINES),
        f"--since=@{int(since)}", "--output-fields=MESSAGE,PRIORITY,SYSLOG_IDENTIFIER",
    ]  # fmt: skip
    result = system.run(argv, context.left * _SHARE)
    if not result.ok or "not seeing messages" in result.stderr.lower():
        return "", []
    return f"journalctl -u {unit} --since=-15min", journal_lines(result.stdout)


def _of_containers(context: ProbeContext, service: str, since: float) -> tuple[str, list[Line]]:
    from opsctl.probes.container_listing import own_containers
    from opsctl.probes.docker_api import ApiError, api, containers

    engine = api(context)
    query = {"stdout": 1, "stderr": 1, "timestamps": 1, "tail": MAX_LOG_LINES, "since": int(since)}
    lines: list[Line] = []
    try:
        for item in own_containers(context, context.service, containers(context))[:MAX_CONTAINERS]:
            identity = str(item.get("Id", ""))
            terminal = bool((engine.inspect(identity).get("Config") or {}).get("Tty"))
            body = engine.get(f"/containers/{identity}/logs", query, MAX_LOG_BYTES)
            lines += stream_lines(body, terminal)
    except ApiError:
        return "", []
    return f"docker compose logs --since 15m {service}", lines
