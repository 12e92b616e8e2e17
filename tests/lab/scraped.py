"""The exporter in the lab: the shipped unit on a booted system, scraped by the system's own Prometheus.

`python -m tests.lab.scraped --duration 600` (`make scraped`) ends with 1 where a single scrape failed or
a single sample was dropped.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
import urllib.parse
from dataclasses import dataclass, field
from typing import Any

import yaml

from exporters.pages import PAGES
from tests.lab import load
from tests.lab.stacks.base import STACK_FILE
from tests.lab.stacks.freemarket import FOLDER, Freemarket
from tests.servers.image import LabUnavailable
from tests.servers.systemd import INSIDE_PACKAGES, INSIDE_PROJECT, PROJECT, unavailable

ADDRESS = "127.0.0.1:9779"
PROMETHEUS = "http://127.0.0.1:9090"
INTERVAL = 5
KINDS = (*PAGES, "findings")
DROPPED = (
    "prometheus_target_scrapes_sample_duplicate_timestamp_total",
    "prometheus_target_scrapes_sample_out_of_order_total",
    "prometheus_target_scrapes_sample_out_of_bounds_total",
    "prometheus_target_scrapes_exceeded_sample_limit_total",
    "prometheus_target_scrapes_exceeded_body_size_limit_total",
    "prometheus_target_scrape_pool_exceeded_target_limit_total",
    "prometheus_target_scrape_pool_exceeded_label_limits_total",
    "prometheus_target_scrapes_exemplar_out_of_order_total",
)
"""What Prometheus counts when it throws away what it has scraped."""
DROP_IN = f"""\
[Service]
SupplementaryGroups=docker
EnvironmentFile={FOLDER}/.env
"""


@dataclass
class Scraped:
    """What a Prometheus says of its scrapes."""

    seconds: float
    scrapes: dict[str, int]
    series: dict[str, int]
    slowest: dict[str, float]
    wrong: list[str] = field(default_factory=list)


def jobs() -> list[dict[str, Any]]:
    """Return one job for each path of the exporter."""
    target: dict[str, Any] = {"static_configs": [{"targets": [ADDRESS]}]}
    found = [{"job_name": name, "metrics_path": f"/metrics/{name}", **target} for name in KINDS]
    found.append({"job_name": "exporter", "metrics_path": "/metrics", **target})
    for module, name in (("http", "https://freemarket.com/"), ("tls", "freemarket.com")):
        parameters = {"module": [module], "target": [name]}
        found.append(
            {"job_name": f"probe_{module}", "metrics_path": "/probe", "params": parameters, **target}
        )
    return [{"scrape_interval": f"{INTERVAL}s", **job} for job in found]


class ScrapedSystem:
    """A booted freemarket with the exporter on it.

    Args:
        system: booted and well.
    """

    def __init__(self, system: Freemarket) -> None:
        self.system = system

    def install(self) -> None:
        """Install the exporter as the head of its unit says, and have the system's Prometheus scrape it."""
        server, deploy = self.system.server, PROJECT / "exporters" / "deploy"
        self.system.sh("useradd --system --no-create-home --shell /usr/sbin/nologin opsctl")
        server.write(
            "/usr/local/bin/opsctl",
            f"#!/bin/sh\nexport PYTHONPATH={INSIDE_PROJECT}:{INSIDE_PACKAGES} PYTHONDONTWRITEBYTECODE=1\n"
            'exec /usr/bin/python3 -m opsctl "$@"\n',
        )
        self.system.sh(f"chmod 755 /usr/local/bin/opsctl; chgrp opsctl {STACK_FILE}; chmod 640 {STACK_FILE}")
        server.write("/etc/systemd/system/opsctl-exporter.service.d/lab.conf", DROP_IN)
        server.unit("opsctl-exporter.service", (deploy / "opsctl-exporter.service").read_text())
        self.system.sh("systemctl enable --now opsctl-exporter")
        self.system.wait(f"curl -sf -m 2 http://{ADDRESS}/-/healthy", "the exporter", 60)
        file = f"{FOLDER}/monitoring/prometheus.yml"
        config = yaml.safe_load(self.system.sh(f"cat {file}"))
        config["scrape_configs"] += jobs()
        server.write(file, yaml.safe_dump(config, sort_keys=False))
        self.system.sh("docker kill -s HUP $(docker ps -q --filter name=monitoring.prometheus)")

    def ask(self, query: str) -> dict[str, float]:
        """Return an instant query's values by job."""
        url = f"{PROMETHEUS}/api/v1/query?query={urllib.parse.quote(query)}"
        rows = json.loads(self.system.sh(f"curl -s -m 20 '{url}'"))["data"]["result"]
        return {row["metric"].get("job", ""): float(row["value"][1]) for row in rows}

    def dropped(self) -> dict[str, float]:
        """Return how many samples Prometheus has thrown away by now, by the reason."""
        text = self.system.sh(f"curl -s -m 20 {PROMETHEUS}/metrics")
        rows = (line.split() for line in text.splitlines() if line.startswith(DROPPED))
        return {name: float(value) for name, value in rows}

    def watch(self, seconds: float) -> Scraped:
        """Let Prometheus scrape for so long, and return what it says of it."""
        names = {job["job_name"] for job in jobs()}
        self.system.server.wait_for(
            lambda: {job for job, up in self.ask("up").items() if up == 1} >= names, "every job up", 90
        )
        before, began = self.dropped(), time.monotonic()
        time.sleep(seconds)
        window = f"[{int(time.monotonic() - began)}s]"
        after = self.dropped()
        ups = self.ask(f"min_over_time(up{window})")
        counts = self.ask(f"count_over_time(up{window})")
        # one query, as a scrape that ends between two of them would look like a loss
        lost = self.ask(
            f"sum_over_time(scrape_samples_scraped{window})"
            f" - sum_over_time(scrape_samples_post_metric_relabeling{window})"
        )
        slowest = self.ask(f"max_over_time(scrape_duration_seconds{window})")
        series = self.ask("scrape_samples_scraped")
        least = int(seconds / INTERVAL) - 1
        wrong = [f"{job}: a scrape failed" for job in names if ups.get(job) != 1]
        wrong += [f"{job}: {counts.get(job)} scrapes, not {least}" for job in names if counts[job] < least]
        wrong += [f"{job}: {lost[job]:g} samples were dropped" for job in names if lost[job]]
        wrong += [f"{name}: {after[name] - before[name]:g}" for name in after if after[name] != before[name]]
        wrong += [f"{name} is not counted" for name in DROPPED[:3] if name not in after]
        wrong += self.said()
        return Scraped(
            seconds,
            {job: int(counts[job]) for job in sorted(names)},
            {job: int(series[job]) for job in sorted(names)},
            {job: slowest[job] for job in sorted(names)},
            wrong,
        )

    def said(self) -> list[str]:
        """Return what Prometheus and the exporter complain of in their logs."""
        log = self.system.sh("docker logs $(docker ps -q --filter name=monitoring.prometheus) 2>&1")
        words = ("Error on ingesting", "append failed", "out of order", "duplicate sample")
        found = [line for line in log.splitlines() if any(word in line for word in words)]
        unit = self.system.sh("journalctl -q -u opsctl-exporter -o cat --no-pager")
        return found[:5] + [line for line in unit.splitlines() if "fault in opsctl" in line][:5]

    def use(self) -> dict[str, float]:
        """Return what the exporter says of its own process."""
        text = self.system.sh(f"curl -s -m 20 http://{ADDRESS}/metrics")
        rows = [
            line.split() for line in text.splitlines() if line.startswith(("process_", "opsctl_exporter_"))
        ]
        return {row[0]: float(row[1]) for row in rows if "{" not in row[0]}


def run(seconds: float) -> tuple[Scraped, dict[str, float], dict[str, float]]:
    """Boot, install, scrape for so long; return what was found, and the exporter's use before and after."""
    system = Freemarket(shared_machine=True)
    try:
        system.boot()
        load.start(system)
        scraped = ScrapedSystem(system)
        scraped.install()
        scraped.watch(15)
        before = scraped.use()
        return scraped.watch(seconds), before, scraped.use()
    finally:
        system.stop()


def main() -> int:
    """Run and print what was found."""
    parser = argparse.ArgumentParser(prog="python -m tests.lab.scraped", description=__doc__)
    parser.add_argument("--duration", type=float, default=600, help="seconds")
    arguments = parser.parse_args()
    try:
        if reason := unavailable():
            raise LabUnavailable(reason)
        found, before, after = run(arguments.duration)
    except LabUnavailable as reason:
        print(f"the lab cannot run here: {reason}", file=sys.stderr)
        return 3
    for job, count in found.scrapes.items():
        words = f"{count} scrapes, {found.series[job]} series, slowest {found.slowest[job]:.3f} s"
        print(f"{job:<12} {words}")
    for name in ("process_resident_memory_bytes", "process_open_fds", "opsctl_exporter_threads"):
        print(f"{name}: {before[name]:g} -> {after[name]:g}")
    cpu = after["process_cpu_seconds_total"] - before["process_cpu_seconds_total"]
    print(f"{cpu:.1f} s of processor time in {found.seconds:.0f} s")
    print("\n".join(found.wrong) if found.wrong else "no scrape failed and no sample was dropped")
    return 1 if found.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
