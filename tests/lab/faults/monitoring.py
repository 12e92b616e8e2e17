"""freemarket's own Prometheus and Alertmanager: parts that can fail while the product is well."""

from __future__ import annotations

from collections.abc import Iterator

from tests.lab.faults.base import fault
from tests.lab.stacks.base import ComposeSystem
from tests.lab.stacks.freemarket import FOLDER

HERE = f"{FOLDER}/monitoring"
RELOAD = "docker kill -s HUP $(docker ps -q --filter label=com.docker.compose.service={})"
PROMETHEUS, ALERTMANAGER = "http://127.0.0.1:9090", "http://127.0.0.1:9093"
USERS = ["http/*", "nginx/*", "telegram/*", "postgres/*"]
FAILED = f"curl -s -m 2 {ALERTMANAGER}/metrics | grep -E '^alertmanager_notification_requests_failed_total'"


def _id(lab: ComposeSystem, service: str) -> str:
    """Return a container of the monitoring project, stopped ones too."""
    return lab.sh(f"docker ps -aq --no-trunc --filter label=com.docker.compose.service={service}").strip()


def _asked(lab: ComposeSystem, query: str, what: str) -> None:
    """Wait until a query of Prometheus has an answer."""
    lab.wait(
        f"curl -s -m 2 -G --data-urlencode '{query}' {PROMETHEUS}/api/v1/query | grep -q '\"value\"'",
        what,
        60,
    )


def _failures(lab: ComposeSystem, integration: str) -> int:
    text = lab.sh(f"{FAILED} | grep '{integration}' | sed 's/.* //'", check=False).split()
    return sum(int(float(number)) for number in text)


def _more_failures(lab: ComposeSystem, integration: str, than: int) -> None:
    """Wait until more attempts have failed than before, and Prometheus saw it of the new configuration."""
    lab.wait(
        f"test \"$({FAILED} | grep '{integration}' | sed 's/.* //')\" -gt {than}",
        "an attempt that failed",
        60,
    )
    total = f'alertmanager_notification_requests_failed_total{{integration="{integration}"}}'
    loaded = "max(time() - alertmanager_config_last_reload_success_timestamp_seconds) > 11"
    _asked(lab, f"query=max(changes({total}[11s])) >= 1 and {loaded}", "a failure in its history")


@fault(
    "freemarket",
    expect=[("container/exited", "prometheus")],
    shows=[("monitoring/prometheus-down", "prometheus")],
    innocent=USERS,
)
def prometheus_stopped(lab: ComposeSystem) -> Iterator[None]:
    """Nothing is recorded and no alert fires; the product is well."""
    lab.sh(f"docker stop -t 2 {_id(lab, 'prometheus')}")
    yield
    lab.sh(f"docker start {_id(lab, 'prometheus')}")
    lab.wait_healthy()


@fault("freemarket", expect=[("monitoring/prometheus-down", "prometheus")], innocent=USERS, hangs=True)
def prometheus_hung(lab: ComposeSystem) -> Iterator[None]:
    """The process is there and answers nothing."""
    pid = lab.sh(f"docker inspect -f '{{{{.State.Pid}}}}' {_id(lab, 'prometheus')}").strip()
    lab.sh(f"kill -STOP {pid}")
    yield
    lab.sh(f"kill -CONT {pid}")
    lab.wait_healthy()


@fault(
    "freemarket",
    expect=[("container/exited", "alertmanager")],
    shows=[("monitoring/alertmanager-down", "alertmanager"), ("monitoring/target-down", "prometheus")],
    innocent=USERS,
)
def alertmanager_stopped(lab: ComposeSystem) -> Iterator[None]:
    """Alerts fire and nobody is told; that Prometheus cannot scrape it either is the same fault."""
    lab.sh(f"docker stop -t 2 {_id(lab, 'alertmanager')}")
    _asked(lab, 'query=sum_over_time((1 - up{job="alertmanager"})[1m:5s]) >= 3', "failed scrapes")
    yield
    lab.sh(f"docker start {_id(lab, 'alertmanager')}")
    lab.wait_healthy()


@fault("freemarket", expect=[("monitoring/target-down", "prometheus")], innocent=[*USERS, "container/*"])
def scrape_target_wrong(lab: ComposeSystem) -> Iterator[None]:
    """Somebody adds an exporter with the wrong port; nothing listens there."""
    with lab.edited(f"{HERE}/prometheus.yml", "targets: ['freemarket.com']", "targets: ['127.0.0.1:9187']"):
        lab.sh(RELOAD.format("prometheus"))
        _asked(lab, 'query=count_over_time(up{instance="127.0.0.1:9187"}[1m]) >= 2', "two failed scrapes")
        yield
    lab.sh(RELOAD.format("prometheus"))


@fault("freemarket", expect=[("monitoring/rule-failing", "prometheus")], innocent=[*USERS, "container/*"])
def rule_fails(lab: ComposeSystem) -> Iterator[None]:
    """A join that is no longer unique; the grammar is right, so the reload went well."""
    joined = "prometheus_build_info * on(job) prometheus_http_requests_total"
    with lab.edited(f"{HERE}/rules.yml", "expr: up == 0,", f"expr: {joined},"):
        lab.sh(RELOAD.format("prometheus"))
        lab.wait(f'curl -s -m 2 {PROMETHEUS}/api/v1/rules | grep -q \'"health":"err"\'', "a failed rule", 60)
        yield
    lab.sh(RELOAD.format("prometheus"))


@fault(
    "freemarket",
    expect=[("monitoring/notification-failing", "alertmanager")],
    innocent=[*USERS, "container/*"],
)
def alert_token_revoked(lab: ComposeSystem) -> Iterator[None]:
    """Telegram refuses the token of the alerts; the shop's own bot has another one and works."""
    before = _failures(lab, "telegram")
    with lab.edited(f"{HERE}/alertmanager.yml", "AAfreemarket", "AArevoked"):
        lab.sh(RELOAD.format("alertmanager"))
        _more_failures(lab, "telegram", before)
        yield
    lab.sh(RELOAD.format("alertmanager"))


@fault(
    "freemarket",
    expect=[("monitoring/notification-failing", "alertmanager")],
    innocent=[*USERS, "container/*"],
)
def mail_server_refuses(lab: ComposeSystem) -> Iterator[None]:
    """The receiver tells by e-mail as well, and nothing listens where the mail server should be."""
    before = _failures(lab, "email")
    mail = (
        "- name: telegram\n    email_configs: [{to: ops@freemarket.com, from: alerts@freemarket.com,"
        " smarthost: '127.0.0.1:2525', require_tls: false}]"
    )
    with lab.edited(f"{HERE}/alertmanager.yml", "- name: telegram", mail):
        lab.sh(RELOAD.format("alertmanager"))
        _more_failures(lab, "email", before)
        yield
    lab.sh(RELOAD.format("alertmanager"))


@fault(
    "freemarket", expect=[("monitoring/notification-failing", "prometheus")], innocent=[*USERS, "container/*"]
)
def alerts_go_nowhere(lab: ComposeSystem) -> Iterator[None]:
    """Prometheus sends its alerts to a port where no Alertmanager listens."""
    errors = (
        f"curl -s -m 2 {PROMETHEUS}/metrics | grep -E '^prometheus_notifications_errors_total.*:9094.* [1-9]'"
    )
    targets = "alertmanagers: [{static_configs: [{targets: ['127.0.0.1:%s']}]}]"
    with lab.edited(f"{HERE}/prometheus.yml", targets % "9093", targets % "9094"):
        lab.sh(RELOAD.format("prometheus"))
        lab.wait(errors, "alerts that did not arrive", 150)
        yield
    lab.sh(RELOAD.format("prometheus"))
