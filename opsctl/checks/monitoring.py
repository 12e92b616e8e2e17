"""The stack's own monitoring: does Prometheus see, do its rules work, and is anybody told?"""

from __future__ import annotations

from shlex import quote
from typing import TYPE_CHECKING

from opsctl.checks.base import CheckContext, Limits, NotObserved, check
from opsctl.checks.running import log_commands, state_commands
from opsctl.checks.wording import count_text, seconds_text
from opsctl.model import Evidence, Status
from opsctl.watching import receiver_subject, target_subject

if TYPE_CHECKING:
    from collections.abc import Iterator

    from opsctl.facts.monitoring import Integration, Link, MonitoringFacts, ScrapeTarget, SendFailure
    from opsctl.model import Finding

_PROMETHEUS, _ALERTMANAGER = "prometheus", "alertmanager"
_NAMES = {_PROMETHEUS: "Prometheus", _ALERTMANAGER: "Alertmanager"}
_MARGIN_SECONDS = 60.0
"""How much later than planned a repeated attempt, and the scrape that counts it, may come."""
DISCOVERY_SECONDS = 15.0
"""How long after it loaded its configuration Prometheus may still look for Alertmanagers (every 5 s)."""
MAX_NAMED = 20


def _curl(facts: MonitoringFacts, path: str) -> str:
    return f"curl -sS -m 5 {quote(facts.url.rstrip('/') + path)}"


def _reachable(program: str, facts: MonitoringFacts, context: CheckContext) -> Iterator[Finding]:
    """Judge whether a program answers and is ready."""
    if facts.program != program:
        yield context.ok(f"not asked here: this is the {_NAMES[facts.program]}")
        return
    name, connection = _NAMES[program], facts.connection
    if connection.state == "no-permission":
        raise NotObserved(f"no permission to connect to {facts.url}", "run outside the sandbox")
    if connection.state == "auth-failed":
        raise NotObserved(
            f"{facts.url} asks for a login: {connection.detail}",
            "name `user` and `password_env` under `monitoring:` in the stack file",
        )
    if facts.up:
        version = f" {facts.version}" if facts.version else ""
        took = f" in {seconds_text(connection.seconds)}" if connection.seconds is not None else ""
        yield context.ok(f"{name}{version} is ready{took}")
        return
    said = connection.detail or connection.state
    words = {
        "loading": f"{name} at {facts.url} runs and is not ready yet: {said}",
        "timeout": f"{name} at {facts.url} gives no answer: {said}",
        "protocol": f"{facts.url} does not answer as {name} does: {said}",
    }
    yield context.critical(
        words.get(connection.state, f"{name} at {facts.url} cannot be reached: {said}"),
        value=connection.state,
        source=_curl(facts, "/-/ready"),
        fix=f"Start it and read the end of its log. Until then {_LOST[program]}.",
        commands=[*state_commands(context), *log_commands(context)],
    )


_LOST = {
    _PROMETHEUS: "nothing is recorded, no rule is evaluated and no alert fires",
    _ALERTMANAGER: "alerts fire and nobody is told",
}


@check("monitoring/prometheus-down", needs="GET /-/ready", reachability=True)
def prometheus_down(facts: MonitoringFacts, context: CheckContext) -> Iterator[Finding]:
    """Prometheus does not answer or is not ready: nothing is recorded and no alert fires."""
    yield from _reachable(_PROMETHEUS, facts, context)


@check("monitoring/alertmanager-down", needs="GET /-/ready", reachability=True)
def alertmanager_down(facts: MonitoringFacts, context: CheckContext) -> Iterator[Finding]:
    """Alertmanager does not answer or is not ready: alerts fire and nobody is told."""
    yield from _reachable(_ALERTMANAGER, facts, context)


@check(
    "monitoring/target-down",
    needs="GET /api/v1/targets and the last 15 minutes of `up`",
    limits=Limits(warning=2, unit="failed scrapes", source="one failed scrape may be chance"),
    role="symptom",
)
def target_down(facts: MonitoringFacts, context: CheckContext) -> Iterator[Finding]:
    """Prometheus cannot scrape a target, so its numbers and its alerts are missing.

    Where the target itself is down, that is the cause and this hangs below it.
    """
    if facts.program != _PROMETHEUS:
        yield context.ok("Alertmanager scrapes nothing")
        return
    context.need_part(facts, "targets")
    total = context.need(facts.targets_total, "the targets")
    down = [item for item in facts.targets if item.up is False]
    bad = [item for item in down if _is_down(item, context)]
    for item in bad[:MAX_NAMED]:
        yield context.warning(
            f"target {item.instance} of job {item.job} {_since(item, context)}: {item.last_error or 'down'}",
            subject=target_subject(item.job, item.instance),
            value=item.failures,
            threshold=context.limits.warning,
            unit="failed scrapes",
            source=_curl(facts, "/api/v1/targets?state=active"),
            evidence=[
                Evidence(
                    text=f"scraped at {item.url}",
                    value="down",
                    source=f"curl -sS -m 5 -o /dev/null {quote(item.url)}",
                )
            ],
            fix="Ask the target yourself, from where Prometheus runs. Where it answers, correct its address "
            "in scrape_configs and reload; where it does not, start the exporter or the service behind it.",
            commands=[
                f"curl -sS -m 5 -o /dev/null -w '%{{http_code}}\\n' {quote(item.url)}",
                "promtool check config /etc/prometheus/prometheus.yml",
            ],
        )
    if not bad:
        chance = f", {len(down)} of them not at the last scrape" if down else ""
        yield context.ok(f"{count_text(total, 'target')} scraped{chance}")


def _is_down(item: ScrapeTarget, context: CheckContext) -> bool:
    """Return whether enough scrapes failed in a row; without history the last one must do."""
    if item.failures is None:
        return True
    return context.limits.status(item.failures) is not Status.OK


def _since(item: ScrapeTarget, context: CheckContext) -> str:
    if item.last_up_at is not None:
        return f"is down for {seconds_text(max(context.at.timestamp() - item.last_up_at, 0))}"
    return "was not up once in the last day" if item.failures is not None else "is down"


@check("monitoring/rule-failing", needs="GET /api/v1/rules")
def rule_failing(facts: MonitoringFacts, context: CheckContext) -> Iterator[Finding]:
    """A rule ends with an error at each evaluation, so its alert can never fire."""
    if facts.program != _PROMETHEUS:
        yield context.ok("Alertmanager evaluates no rules")
        return
    context.need_part(facts, "rules")
    total = context.need(facts.rules_total, "the rules")
    failing = [group for group in facts.groups if group.failing]
    for group in failing[:MAX_NAMED]:
        names = ", ".join(group.failing_rules[:3])
        more = f" and {group.failing - 3} more" if group.failing > 3 else ""
        verb = "fails" if group.failing == 1 else "fail"
        yield context.warning(
            f"rule {names}{more} of group {group.name} {verb}: {group.last_error}"
            if group.failing == 1
            else f"rules {names}{more} of group {group.name} {verb}, for one: {group.last_error}",
            subject=f"{group.file} {group.name}".strip(),
            value=group.failing,
            unit="rules",
            source=_curl(facts, "/api/v1/rules"),
            fix="Run the expression by itself, mend it, check the file and reload Prometheus.",
            commands=[
                f"promtool check rules {quote(group.file)}" if group.file else "promtool check rules FILE"
            ],
        )
    if not failing:
        yield context.ok(
            f"{count_text(total, 'rule')} evaluated without an error" if total else "there are no rules"
        )


@check(
    "monitoring/notification-failing",
    needs="GET /metrics, the history or the log of failed attempts",
    permission="to read the log of Alertmanager's container or unit",
)
def notification_failing(facts: MonitoringFacts, context: CheckContext) -> Iterator[Finding]:
    """An alert fires, and telling somebody of it fails.

    Totals since the start prove nothing by themselves: a failure counts where the log or a Prometheus'
    history shows it, no success came after it, and the next attempt is not overdue.
    """
    if facts.program == _PROMETHEUS:
        yield from _to_alertmanager(facts, context)
    else:
        yield from _to_receivers(facts, context)


def _to_alertmanager(facts: MonitoringFacts, context: CheckContext) -> Iterator[Finding]:
    context.need_part(facts, "alertmanagers")
    if context.need(facts.alertmanagers, "the Alertmanagers") == 0:
        if facts.wants_alertmanager and facts.alerting_rules:
            loaded = context.at.timestamp() - (facts.config_loaded_at or 0.0)
            if loaded < DISCOVERY_SECONDS:
                raise NotObserved(
                    f"its configuration was loaded {seconds_text(max(loaded, 0))} ago and it still looks for "
                    "its Alertmanagers",
                    "look again in a moment",
                )
            yield context.critical(
                f"Prometheus knows no Alertmanager: {count_text(facts.alerting_rules, 'alerting rule')} "
                "can fire and nobody is told",
                subject="alerting",
                value=0,
                unit="Alertmanagers",
                source=_curl(facts, "/api/v1/alertmanagers"),
                fix="Name it under `alerting: alertmanagers:` in prometheus.yml and reload.",
                commands=["promtool check config /etc/prometheus/prometheus.yml"],
            )
        else:
            yield context.ok("no Alertmanager is named, and none is asked for")
        return
    context.need_part(facts, "metrics")
    bad = 0
    unsure = []
    for link in facts.links:
        if not link.failed:
            continue
        said = next((item for item in facts.failures if item.address == link.address), None)
        current = _is_current(link, said, facts, context)
        if current is None:
            unsure.append(link.name)
        if not current:
            continue
        bad += 1
        reason = f": {said.reason}" if said and said.reason else ""
        yield context.critical(
            f"Prometheus cannot send alerts to {link.address}{_ago(link, said, context)}{reason}",
            subject=link.address,
            value=link.failed,
            unit="alerts",
            source=facts.log or _curl(facts, "/metrics") + " | grep prometheus_notifications_errors_total",
            fix="Start that Alertmanager, or correct its address under `alerting:` and reload Prometheus.",
            commands=[f"curl -sS -m 5 http://{link.address}/-/ready"],
        )
    if unsure:
        raise _unproven(unsure)
    if not bad:
        yield context.ok(f"alerts reach {count_text(facts.alertmanagers or 0, 'Alertmanager')}")


def _to_receivers(facts: MonitoringFacts, context: CheckContext) -> Iterator[Finding]:
    context.need_part(facts, "metrics")
    bad = 0
    unsure: list[str] = []
    for item in facts.integrations:
        if not item.failed:
            continue
        said = [one for one in facts.failures if one.integration.partition("[")[0] == item.name]
        rows: list[SendFailure | None] = [*said] if said else [None]
        for row in rows:
            current = _is_current(item, row, facts, context)
            if current is None:
                unsure.append(item.name)
            if not current:
                continue
            bad += 1
            yield _receiver(item, row, facts, context)
    if unsure:
        raise _unproven(unsure)
    if not bad:
        tried = sum(item.attempts or 0 for item in facts.integrations)
        failed = sum(item.failed or 0 for item in facts.integrations)
        over = f", {failed} failed before and no more" if failed else " and none failed"
        yield context.ok(
            f"{count_text(tried, 'notification')} sent{over}" if tried else "nothing was to be sent"
        )


def _receiver(
    item: Integration, said: SendFailure | None, facts: MonitoringFacts, context: CheckContext
) -> Finding:
    who = (
        f"receiver {said.receiver} cannot be told by {said.integration}"
        if said
        else f"nobody is told by {item.name}"
    )
    reason = f": {said.reason}" if said and said.reason else ""
    return context.critical(
        f"{who}{_ago(item, said, context)}{reason}",
        subject=receiver_subject(said.receiver, said.integration) if said else item.name,
        value=item.failed,
        unit="failed attempts",
        source=facts.log if said else _curl(facts, "/metrics") + " | grep alertmanager_notification_requests",
        evidence=[
            Evidence(
                text=f"{item.failed} of {item.attempts} attempts by {item.name} failed since its start",
                value=item.failed,
                source=_curl(facts, "/metrics") + " | grep alertmanager_notification_requests_failed_total",
            )
        ],
        fix="Follow the reason: token, address, account or firewall of that receiver. After a change check "
        "the file and reload Alertmanager; it tries again by itself.",
        commands=[
            "amtool check-config /etc/prometheus/alertmanager.yml",
            f"amtool --alertmanager.url={quote(facts.url)} alert query",
        ],
    )


def _ago(item: Integration | Link, said: SendFailure | None, context: CheckContext) -> str:
    times = [at for at in (item.last_failed_at, said.failed_at if said else None) if at is not None]
    if not times:
        return ""
    return f", last {seconds_text(max(context.at.timestamp() - max(times), 0))} ago"


def _is_current(
    item: Integration | Link, said: SendFailure | None, facts: MonitoringFacts, context: CheckContext
) -> bool | None:
    """Return whether sending fails now; None where nothing tells when it failed, or in which order.

    What failed is tried again after `retry_seconds` at the latest. An older failure that nothing
    followed is over: the next attempt went well, or the alert is gone. So is one of a configuration
    that was replaced since: the next attempt will tell. A history has samples: what was counted between two
    of them may be older than a configuration that was loaded between the two, and than a success.
    """
    now = context.at.timestamp()
    most = (facts.retry_seconds or 0.0) + _MARGIN_SECONDS
    failed_at = said.failed_at if said is not None else None
    if said is None and facts.history:
        failed_at = item.last_failed_at
    if failed_at is None:
        if facts.history or facts.log:
            return False
        grows = getattr(item, "grows", None)
        if grows or (facts.active_alerts and item.attempts == item.failed):
            return True
        return False if grows is False and not facts.active_alerts else None
    loaded = facts.config_loaded_at or 0.0
    if now - failed_at > most or failed_at < loaded:
        return False
    if said is None and item.failed_after is not None and item.failed_after < loaded:
        return None  # under the old configuration or under the new one
    if said is None and item.last_sent_at == failed_at:
        return None  # both were counted by one sample: the retry may have gone well
    sent = [at for at in (said.sent_at if said else None, item.last_sent_at) if at is not None]
    return not any(at > failed_at for at in sent)


def _unproven(names: list[str]) -> NotObserved:
    return NotObserved(
        f"attempts by {', '.join(dict.fromkeys(names))} failed once; whether they still do cannot be told",
        "name the container or unit that writes its log, or the Prometheus that scrapes it",
    )
