"""Looks at a Prometheus or an Alertmanager through its HTTP interface.

What a failing sender says is in no API: its totals tell that something failed, the history of those
totals (or a second sample) when, and the program's own log who and why.
"""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, Any

import msgspec

from opsctl.facts.monitoring import Integration, Link, MonitoringFacts, ScrapeTarget
from opsctl.probes import monitoring_parsing as parsing
from opsctl.probes.monitoring_asking import Asker, log_lines
from opsctl.probes.remembering import earlier, for_metrics
from opsctl.stack.specs import MonitoringSpec

if TYPE_CHECKING:
    from opsctl.probes.base import ProbeContext

LOG_SECONDS = 900.0
RESEND_SECONDS = 90.0
"""Prometheus sends a firing alert again every minute (`--rules.alert.resend-delay`), at an evaluation."""
DEFAULT_GROUP_INTERVAL = 300.0
"""Alertmanager's default `group_interval`: what failed is tried again after it."""
SAMPLE_SECONDS = 1.0
MAX_ASKED = 20
_HISTORY = "15m"


def probe(context: ProbeContext) -> MonitoringFacts:
    """Return the facts of one program; that it does not answer, or not yet, is a fact as well."""
    spec = context.spec
    assert isinstance(spec, MonitoringSpec)
    url = spec.prometheus or spec.alertmanager
    asker = Asker(context, spec, url)
    base: dict[str, Any] = {
        "program": "prometheus" if spec.prometheus else "alertmanager",
        "url": parsing.shown_url(asker.url),
    }
    connection = asker.readiness()
    if connection.state != "ok":
        return MonitoringFacts(up=False, connection=connection, **base)
    values = _prometheus(context, asker) if spec.prometheus else _alertmanager(context, asker)
    return MonitoringFacts(connection=connection, problems=asker.problems, **base, **values)


def _prometheus(context: ProbeContext, asker: Asker) -> dict[str, Any]:
    values: dict[str, Any] = {"wants_alertmanager": _names_alertmanager(context)}
    data = asker.data("/api/v1/targets", "targets", state="active")
    if data is not None:
        values["targets_total"], targets = parsing.targets_of(data)
        values["targets"] = _with_history(asker, targets)
    data = asker.data("/api/v1/rules", "rules", exclude_alerts="true")
    if data is not None:
        values["rules_total"], values["alerting_rules"], values["groups"] = parsing.groups_of(data)
    data = asker.data("/api/v1/alertmanagers", "alertmanagers")
    urls = parsing.alertmanagers_of(data) if data is not None else []
    if data is not None:
        values["alertmanagers"] = len(urls)
    page = asker.text("/metrics", "metrics")
    if page is not None:
        values |= _config_state(page, "prometheus")
        values["version"] = parsing.version_of(page)
        values |= _links(context, asker, page, urls)
    values["retry_seconds"] = RESEND_SECONDS
    return values


def _config_state(page: str, program: str) -> dict[str, Any]:
    """Return whether the last reload of the configuration went well, and when one did."""
    well = parsing.totals(page, f"{program}_config_last_reload_successful", "")
    at = parsing.totals(page, f"{program}_config_last_reload_success_timestamp_seconds", "")
    return {
        "config_loaded": bool(well[""]) if "" in well else None,
        "config_loaded_at": float(at[""]) if at.get("") else None,
    }


def _names_alertmanager(context: ProbeContext) -> bool:
    spec = context.stack.spec
    named = (item.alertmanager for service in spec.services.values() for item in service.monitoring)
    return bool(spec.alertmanager) or any(named)


def _with_history(asker: Asker, targets: list[ScrapeTarget]) -> list[ScrapeTarget]:
    """Return the targets; those that are down with what `up` was before."""
    down = [item for item in targets if item.up is False][:MAX_ASKED]
    if not down:
        return targets
    selector = (
        f"up{{job=~{_any_of(item.job for item in down)},instance=~{_any_of(i.instance for i in down)}}}"
    )
    data = asker.data("/api/v1/query", "history", query=f"{selector}[{_HISTORY}]")
    recent = parsing.series_of(data, "job", "instance")
    judged = {
        (item.job, item.instance): parsing.since_up(recent.get((item.job, item.instance), []))
        for item in down
    }
    longer: dict[tuple[str, ...], parsing.Points] = {}
    if data is not None and any(last_up is None for _, last_up in judged.values()):
        query = f"max_over_time(timestamp({selector} == 1)[1d:5m])"
        longer = parsing.series_of(asker.data("/api/v1/query", "history", query=query), "job", "instance")
    result: list[ScrapeTarget] = []
    for item in targets:
        failures, last_up = judged.get((item.job, item.instance), (None, None))
        if failures is not None and last_up is None:
            last_up = next((value for _, value in longer.get((item.job, item.instance), [])), None)
        # without a sample nothing is known of how often it failed: it is not said to be once
        result.append(msgspec.structs.replace(item, failures=failures or None, last_up_at=last_up))
    return result


def _any_of(names: Any) -> str:
    """Return a PromQL regular expression that matches these names only."""
    expression = "|".join(dict.fromkeys(re.escape(name) for name in names))
    return '"' + expression.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _links(context: ProbeContext, asker: Asker, page: str, urls: list[str]) -> dict[str, Any]:
    """Return what is known of sending alerts to each Alertmanager."""
    sent = parsing.totals(page, "prometheus_notifications_sent_total", "alertmanager")
    errors = parsing.totals(page, "prometheus_notifications_errors_total", "alertmanager")
    links = [
        Link(
            name=parsing.shown_url(url),
            address=parsing.address_of(url),
            attempts=sent.get(url),
            failed=errors.get(url),
        )
        for url in urls
    ]
    if not any(link.failed for link in links):
        return {"links": links}
    metrics = ("prometheus_notifications_sent_total", "prometheus_notifications_errors_total")
    series = _history(asker, metrics, "alertmanager", context.target.address)
    timed = [
        msgspec.structs.replace(link, **_outcomes(series, metrics, url))
        for link, url in zip(links, urls, strict=True)
    ]
    return {"links": timed, "history": bool(series)} | _from_log(context)


def _from_log(context: ProbeContext) -> dict[str, Any]:
    since = time.time() - LOG_SECONDS
    command, lines = log_lines(context, since)
    return {"log": command, "failures": parsing.failures_of(lines, since)}


def _history(
    asker: Asker, metrics: tuple[str, str], label: str, address: str
) -> dict[tuple[str, ...], parsing.Points]:
    """Return the samples of two totals of the last quarter of an hour, by metric and label."""
    query = f'{{__name__=~"{"|".join(metrics)}"}}[{_HISTORY}]'
    data = asker.data("/api/v1/query", "history", query=query)
    return parsing.of_instance(parsing.series_of(data, "__name__", label, "instance"), address)


def _outcomes(
    series: dict[tuple[str, ...], parsing.Points], metrics: tuple[str, str], name: str
) -> dict[str, float | None]:
    attempts, failed = (series.get((metric, name), []) for metric in metrics)
    last = parsing.last_outcomes(attempts, failed)
    return {
        "last_failed_at": last.failed_at,
        "failed_after": last.failed_after,
        "last_sent_at": last.sent_at,
    }


_ATTEMPTS = ("alertmanager_notification_requests_total", "alertmanager_notification_requests_failed_total")


def _alertmanager(context: ProbeContext, asker: Asker) -> dict[str, Any]:
    values: dict[str, Any] = {"retry_seconds": DEFAULT_GROUP_INTERVAL}
    page = asker.text("/metrics", "metrics")
    if page is None:
        return values
    values |= _config_state(page, "alertmanager")
    values["version"] = parsing.version_of(page)
    alerts = parsing.totals(page, "alertmanager_alerts", "state")
    values["active_alerts"] = alerts.get("active")
    integrations = _integrations(page)
    if for_metrics(context):  # from before the first failure on: it is the change that tells
        integrations = _since_the_last_look(context, integrations)
    values["integrations"] = integrations
    if not any(item.failed for item in integrations):
        return values
    status = asker.text("/api/v2/status", "status")
    interval = parsing.group_interval(_config(status)) if status is not None else None
    values["retry_seconds"] = interval or DEFAULT_GROUP_INTERVAL
    values |= _from_log(context)
    prometheus = _its_prometheus(context)
    series = _history(prometheus, _ATTEMPTS, "integration", context.target.address) if prometheus else {}
    if series:
        values["history"] = True
        values["integrations"] = [
            msgspec.structs.replace(item, **_outcomes(series, _ATTEMPTS, item.name)) for item in integrations
        ]
    elif not values["log"] and not for_metrics(context):
        values["integrations"] = _second_sample(context, asker, integrations)
    return values


def _integrations(page: str) -> list[Integration]:
    attempts, failed = (parsing.totals(page, name, "integration") for name in _ATTEMPTS)
    return [
        Integration(name=name, attempts=count, failed=failed.get(name))
        for name, count in sorted(attempts.items())
        if count
    ][:50]


def _config(status: str) -> str:
    try:
        config = msgspec.json.decode(status)["config"]["original"]
    except (msgspec.DecodeError, RecursionError, KeyError, TypeError):
        return ""
    return config if isinstance(config, str) else ""


def _its_prometheus(context: ProbeContext) -> Asker | None:
    """Return the stack's Prometheus, which may keep the history of this Alertmanager's totals."""
    spec = context.stack.spec
    for service in spec.services.values():
        for item in service.monitoring:
            if item.prometheus:
                return Asker(context, item, item.prometheus, service)
    return (
        Asker(context, MonitoringSpec(prometheus=spec.prometheus), spec.prometheus)
        if spec.prometheus
        else None
    )


def _since_the_last_look(context: ProbeContext, now: list[Integration]) -> list[Integration]:
    """Return the integrations, each with whether more of its attempts have failed since an earlier look."""
    found = earlier(context, "integrations", now, SAMPLE_SECONDS)
    return _with_growth(found[1], now) if found is not None else now


def _second_sample(context: ProbeContext, asker: Asker, first: list[Integration]) -> list[Integration]:
    """Return the integrations, each with whether more of its attempts failed a second later."""
    if context.left < SAMPLE_SECONDS + 0.5:
        return first
    time.sleep(SAMPLE_SECONDS)
    page = asker.text("/metrics", "second sample")
    if page is None:
        return first
    return _with_growth(first, _integrations(page))


def _with_growth(before: list[Integration], after: list[Integration]) -> list[Integration]:
    """Return the later ones, each with whether more of its attempts have failed since. Pure."""
    failed = {item.name: item.failed or 0 for item in before}
    return [
        msgspec.structs.replace(item, grows=(item.failed or 0) > failed[item.name])
        if item.name in failed
        else item
        for item in after
    ]
