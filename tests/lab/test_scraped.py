"""A real Prometheus scrapes every path of the exporter for a minute and loses nothing."""

from __future__ import annotations

import pytest

from tests.lab.runner import Run
from tests.lab.scraped import run

pytestmark = [pytest.mark.docker, pytest.mark.systemd]


FULL = ("node", "postgres", "redis", "nginx", "container", "logs", "data", "findings", "exporter")
"""Jobs whose pages are not empty on this system."""


@pytest.mark.timeout(900)
@pytest.mark.xdist_group("lab-freemarket")
def test_a_minute_without_a_failed_scrape_or_a_dropped_sample(lab: Run) -> None:
    lab.close()  # one booted system at a time
    found, _, _ = run(60)
    assert found.wrong == []
    assert min(found.scrapes.values()) >= 10
    assert {job for job in FULL if not found.series[job]} == set()
