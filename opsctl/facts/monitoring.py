"""What is known of the stack's own monitoring: a Prometheus, or an Alertmanager.

Names are Alertmanager's and Prometheus' own where they have one.
"""

from __future__ import annotations

from opsctl.facts.base import Annotated, Connection, Facts, Label, Record, counter, gauge


class ScrapeTarget(Record, frozen=True, kw_only=True):
    """One address that Prometheus scrapes."""

    job: Annotated[str, Label("job")]
    instance: Annotated[str, Label("instance")]
    url: Annotated[str, Label("url")] = ""
    address: str = ""
    """host:port of the URL: what joins it to the service that listens there."""
    up: Annotated[
        bool | None, gauge("opsctl_monitoring_target_up", "1 if Prometheus' last scrape of it went well")
    ] = None
    failures: Annotated[
        int | None,
        gauge("opsctl_monitoring_target_failures", "Scrapes that failed in a row, in the last 15 minutes"),
    ] = None
    last_up_at: Annotated[
        float | None,
        gauge(
            "opsctl_monitoring_target_last_up_timestamp_seconds", "Last scrape that went well", unit="seconds"
        ),
    ] = None
    interval: Annotated[
        float | None,
        gauge("opsctl_monitoring_target_interval_seconds", "How often it is scraped", unit="seconds"),
    ] = None
    last_error: str = ""


class RuleGroup(Record, frozen=True, kw_only=True):
    """One group of recording and alerting rules."""

    name: Annotated[str, Label("group")]
    file: Annotated[str, Label("file")] = ""
    rules: Annotated[int, gauge("opsctl_monitoring_rules", "Rules of the group")] = 0
    failing: Annotated[
        int, gauge("opsctl_monitoring_rules_failing", "Rules whose last evaluation ended with an error")
    ] = 0
    failing_rules: list[str] = []
    last_error: str = ""


class Integration(Record, frozen=True, kw_only=True):
    """A way out of Alertmanager: e-mail, Telegram, a webhook. Numbers are totals since its start."""

    name: Annotated[str, Label("integration")]
    attempts: Annotated[
        int | None, counter("alertmanager_notification_requests_total", "Attempts to send since the start")
    ] = None
    failed: Annotated[
        int | None, counter("alertmanager_notification_requests_failed_total", "Attempts to send that failed")
    ] = None
    grows: Annotated[
        bool | None,
        gauge("opsctl_monitoring_integration_failing", "1 if failures were counted during the look itself"),
    ] = None
    last_failed_at: Annotated[
        float | None,
        gauge(
            "opsctl_monitoring_integration_last_failure_timestamp_seconds",
            "Last failed attempt, from a Prometheus' history",
            unit="seconds",
        ),
    ] = None
    failed_after: float | None = None
    """The sample before: the failure came between the two."""
    last_sent_at: Annotated[
        float | None,
        gauge(
            "opsctl_monitoring_integration_last_success_timestamp_seconds",
            "Last attempt that went well, from a Prometheus' history",
            unit="seconds",
        ),
    ] = None


class Link(Record, frozen=True, kw_only=True):
    """An Alertmanager that Prometheus sends alerts to. Numbers are totals since its start."""

    name: Annotated[str, Label("alertmanager")]
    address: str = ""
    attempts: Annotated[
        int | None, counter("prometheus_notifications_sent_total", "Alerts sent since the start")
    ] = None
    failed: Annotated[
        int | None, counter("prometheus_notifications_errors_total", "Alerts sent that did not arrive")
    ] = None
    last_failed_at: Annotated[
        float | None,
        gauge(
            "opsctl_monitoring_alertmanager_last_failure_timestamp_seconds",
            "Last failed attempt, from a Prometheus' history",
            unit="seconds",
        ),
    ] = None
    failed_after: float | None = None
    """The sample before: the failure came between the two."""
    last_sent_at: Annotated[
        float | None,
        gauge(
            "opsctl_monitoring_alertmanager_last_success_timestamp_seconds",
            "Last attempt that went well, from a Prometheus' history",
            unit="seconds",
        ),
    ] = None


class SendFailure(Record, frozen=True, kw_only=True):
    """What a log says last of one receiver's integration, or of one Alertmanager."""

    receiver: Annotated[str, Label("receiver")]
    integration: Annotated[str, Label("integration")]
    failed_at: Annotated[
        float | None,
        gauge("opsctl_monitoring_log_failure_timestamp_seconds", "Last failure in the log", unit="seconds"),
    ] = None
    sent_at: Annotated[
        float | None,
        gauge(
            "opsctl_monitoring_log_success_timestamp_seconds",
            "Last success in the log; only one after a retry is written there",
            unit="seconds",
        ),
    ] = None
    reason: str = ""
    address: str = ""
    """host:port that it could not send to, where the reason names one."""


class MonitoringFacts(Facts, frozen=True, kw_only=True, tag="monitoring"):
    """One Prometheus or one Alertmanager at one moment. None is "not read", never zero."""

    up: Annotated[bool, gauge("opsctl_monitoring_up", "1 if it is ready to work")] = True
    program: str = ""
    """`prometheus` or `alertmanager`."""
    url: str = ""
    connection: Connection
    version: str = ""
    config_loaded: Annotated[
        bool | None,
        gauge("opsctl_monitoring_config_loaded", "1 if the last reload of its configuration went well"),
    ] = None
    config_loaded_at: Annotated[
        float | None,
        gauge(
            "opsctl_monitoring_config_loaded_timestamp_seconds",
            "When it loaded its configuration last",
            unit="seconds",
        ),
    ] = None

    targets_total: Annotated[
        int | None, gauge("opsctl_monitoring_targets", "Targets that Prometheus scrapes")
    ] = None
    targets: list[ScrapeTarget] = []
    """Those that are down, and others up to a bound."""
    rules_total: Annotated[int | None, gauge("opsctl_monitoring_rules_loaded", "Rules of all groups")] = None
    alerting_rules: Annotated[
        int | None, gauge("opsctl_monitoring_alerting_rules", "Alerting rules of all groups")
    ] = None
    groups: list[RuleGroup] = []
    """Groups with a failing rule, and others up to a bound."""
    alertmanagers: Annotated[
        int | None,
        gauge("opsctl_monitoring_alertmanagers", "Alertmanagers that Prometheus sends alerts to"),
    ] = None
    wants_alertmanager: bool = False
    """Whether the stack file names an Alertmanager."""

    active_alerts: Annotated[
        int | None, gauge("opsctl_monitoring_active_alerts", "Alerts that Alertmanager holds as active")
    ] = None
    retry_seconds: Annotated[
        float | None,
        gauge(
            "opsctl_monitoring_retry_seconds",
            "After this time at the latest it tries again to send what could not be sent",
            unit="seconds",
        ),
    ] = None
    integrations: list[Integration] = []
    links: list[Link] = []
    history: bool = False
    """Whether a Prometheus told when the totals of `integrations` or `links` grew."""
    failures: list[SendFailure] = []
    log: str = ""
    """The command that shows the log that was read; empty where none could be."""
