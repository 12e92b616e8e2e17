"""A real Prometheus scrapes every path of the exporter, through TLS and with a password."""

from __future__ import annotations

import json
import subprocess
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

import bcrypt
import pytest

from exporters.pages import PAGES
from tests.live.test_exporter import WAITS, exporting
from tests.servers.base import wait_until
from tests.servers.prometheus import PrometheusServer, _Program
from tests.servers.redis import RedisServer

pytestmark = pytest.mark.live

PASSWORD = "correct-horse-battery"


class Scraper(PrometheusServer):
    """A Prometheus with one job for each path of an exporter."""

    def __init__(self, address: str, jobs: dict[str, dict[str, Any]], certificate: Path) -> None:
        super().__init__()
        self.scraped, self.paths, self.certificate = address, jobs, certificate

    def write(self) -> None:
        super().write()
        common = {
            "scheme": "https",
            "tls_config": {"ca_file": str(self.certificate)},
            "basic_auth": {"username": "prometheus", "password": PASSWORD},
            "scrape_interval": "10s",
            "scrape_timeout": "10s",
            "static_configs": [{"targets": [self.scraped]}],
        }
        self.config["scrape_configs"] = [
            {"job_name": job, **common, **more} for job, more in self.paths.items()
        ]
        _Program.write(self)

    def by_job(self, query: str) -> dict[str, float]:
        """Return an instant query's values by job."""
        url = f"{self.url}/api/v1/query?query={urllib.parse.quote(query)}"
        with urllib.request.urlopen(url, timeout=WAITS) as answer:
            rows = json.load(answer)["data"]["result"]
        return {row["metric"].get("job", ""): float(row["value"][1]) for row in rows}


def test_prometheus_takes_every_page_whole(tmp_path: Path) -> None:
    names = ["-keyout", "key.pem", "-out", "cert.pem", "-subj", "/CN=localhost"]
    names += ["-addext", "subjectAltName=IP:127.0.0.1"]
    kind = ["-x509", "-days", "2", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    subprocess.run(["openssl", "req", *kind, *names], cwd=tmp_path, check=True, capture_output=True)
    hashed = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode()
    (tmp_path / "web.yml").write_text(
        "tls_server_config: {cert_file: cert.pem, key_file: key.pem}\n"
        f"basic_auth_users: {{prometheus: '{hashed}'}}\n"
    )
    with RedisServer() as redis:
        assert isinstance(redis, RedisServer)
        services = {"cache": {"redis": {"url": redis.url}}}
        with exporting(tmp_path, services, "--web.config.file", str(tmp_path / "web.yml")) as exporter:
            jobs: dict[str, dict[str, Any]] = {
                name: {"metrics_path": f"/metrics/{name}"} for name in (*PAGES, "findings")
            }
            jobs["exporter"] = {"metrics_path": "/metrics"}
            probe = {"target": [f"127.0.0.1:{redis.port}"], "module": ["tcp"]}
            jobs["probe"] = {"metrics_path": "/probe", "params": probe}
            prometheus = Scraper(f"127.0.0.1:{exporter.port}", jobs, tmp_path / "cert.pem")
            try:
                prometheus.start(WAITS)
                wait_until(
                    lambda: prometheus.by_job("up") == dict.fromkeys(jobs, 1.0),
                    "all scraped",
                    WAITS,
                    prometheus.log,
                )
                scraped = prometheus.by_job("scrape_samples_scraped")
                wait_until(lambda: prometheus.by_job("redis_up") == {"redis": 1.0}, "redis_up", WAITS)
                wait_until(
                    lambda: prometheus.by_job("probe_success") == {"probe": 1.0}, "probe_success", WAITS
                )
                assert {
                    name for name in ("node", "redis", "findings", "exporter", "probe") if not scraped[name]
                } == set()
                log = prometheus.log.read_text()
                for trouble in ("duplicate", "Error on ingesting", "out of order", "append failed"):
                    assert trouble not in log
            finally:
                prometheus.remove()
