"""A private Prometheus and a private Alertmanager: loopback only, folders of their own."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from typing import Any

import yaml

from tests.servers.base import Server, free_port, wait_until


def _get(url: str, data: bytes | None = None) -> bytes:
    """Return the body of an answer, whatever its status; empty where there is none."""
    request = urllib.request.Request(url, data=data)
    if data is not None:
        request.add_header("Content-Type", "application/json")
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            body: bytes = answer.read()
            return body
    except urllib.error.HTTPError as error:
        return error.read()
    except OSError:
        return b""


class _Program(Server):
    """What the two have in common: a port, a configuration that can be changed while they run."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.port = free_port()
        self.config: dict[str, Any] = {}

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def write(self) -> None:
        (self.folder / "config.yml").write_text(yaml.safe_dump(self.config), encoding="utf-8")

    def reload(self) -> bytes:
        """Write the configuration and have it loaded; returns what the program says of it."""
        self.write()
        return _get(f"{self.url}/-/reload", b"")

    def ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/-/ready", timeout=5) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False


class PrometheusServer(_Program):
    """A Prometheus that scrapes itself, and what `jobs` says, every 0.5 s.

    Args:
        jobs: job name -> addresses.
        alertmanager: address that alerts go to, if any.
    """

    def __init__(self, jobs: dict[str, list[str]] | None = None, alertmanager: str = "") -> None:
        super().__init__("prometheus")
        self.jobs = {"prometheus": [self.address], **(jobs or {})}
        self.alertmanager = alertmanager
        self.rules: list[dict[str, str]] = [{"alert": "Watchdog", "expr": "vector(1)"}]

    def write(self) -> None:
        self.config = {
            "global": {"scrape_interval": "500ms", "scrape_timeout": "400ms", "evaluation_interval": "500ms"},
            "rule_files": [str(self.folder / "rules.yml")],
            "scrape_configs": [
                {"job_name": job, "static_configs": [{"targets": targets}]}
                for job, targets in self.jobs.items()
            ],
        }
        if self.alertmanager:
            self.config["alerting"] = {
                "alertmanagers": [{"static_configs": [{"targets": [self.alertmanager]}]}]
            }
        groups = {"groups": [{"name": "shop", "rules": self.rules}]}
        (self.folder / "rules.yml").write_text(yaml.safe_dump(groups), encoding="utf-8")
        super().write()

    def argv(self) -> list[str]:
        self.write()
        return [
            "prometheus",
            f"--config.file={self.folder}/config.yml",
            f"--storage.tsdb.path={self.folder}/data",
            f"--web.listen-address={self.address}",
            "--web.enable-lifecycle",
            "--rules.alert.resend-delay=1s",
        ]

    def ask(self, path: str) -> Any:
        """Return `data` of an answer of the API."""
        return json.loads(_get(f"{self.url}/api/v1/{path}"))["data"]

    def wait_for_scrapes(self) -> None:
        """Wait until every target was scraped at least twice, well or not."""

        def scraped() -> bool:
            result = self.ask("query?query=count_over_time(up[1m])")["result"]
            wanted = sum(len(targets) for targets in self.jobs.values())
            return len(result) >= wanted and all(float(item["value"][1]) >= 2 for item in result)

        wait_until(scraped, "scrapes", 120)


class AlertmanagerServer(_Program):
    """An Alertmanager with one receiver, `people`, that is told by `receiver`.

    Args:
        receiver: such as {"webhook_configs": [{"url": "http://…"}]}.
    """

    def __init__(self, receiver: dict[str, Any] | None = None) -> None:
        super().__init__("alertmanager")
        self.receiver = receiver or {}

    def write(self) -> None:
        self.config = {
            "route": {
                "receiver": "people",
                "group_wait": "100ms",
                "group_interval": "1s",
                "repeat_interval": "2s",
            },
            "receivers": [{"name": "people", **self.receiver}],
        }
        super().write()

    def argv(self) -> list[str]:
        self.write()
        return [
            "prometheus-alertmanager",
            f"--config.file={self.folder}/config.yml",
            f"--storage.path={self.folder}/data",
            f"--web.listen-address={self.address}",
            "--cluster.listen-address=",
        ]

    def fire(self, name: str = "Drill") -> None:
        """Let an alert fire here, as Prometheus would."""
        _get(f"{self.url}/api/v2/alerts", json.dumps([{"labels": {"alertname": name}}]).encode())

    def failed(self, integration: str) -> int:
        """Return how many attempts by an integration have failed."""
        prefix = f'alertmanager_notification_requests_failed_total{{integration="{integration}"'
        lines = _get(f"{self.url}/metrics").decode().splitlines()
        return sum(int(float(line.split()[-1])) for line in lines if line.startswith(prefix))
