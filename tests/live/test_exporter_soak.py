"""One exporter through every fault, scraped all the time: the short form of `make soak`."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.live.exporter_bed import CANARIES, TOKEN_IN_URL, Bed, bed, unavailable
from tests.live.exporter_scrapers import Client
from tests.live.exporter_soak import FRESH_DESCRIPTORS, FRESH_THREADS, soak
from tests.servers.base import wait_until
from tests.servers.image import LabUnavailable

pytestmark = [
    pytest.mark.live,
    pytest.mark.docker,
    pytest.mark.systemd,
    pytest.mark.xdist_group("docker"),
]

SCRAPES = 150


@pytest.fixture
def made() -> Iterator[Bed]:
    if reason := unavailable():
        pytest.skip(reason)
    try:
        with bed() as one:
            yield one
    except LabUnavailable as reason:
        pytest.skip(str(reason))


def test_every_fault_is_seen_and_forgotten_and_nothing_secret_is_said(made: Bed) -> None:
    report = soak(made, SCRAPES, short=True)
    assert report.wrong == []
    assert report.under_fault >= SCRAPES
    assert report.held(FRESH_THREADS, FRESH_DESCRIPTORS) == []
    command_line = "\n".join(made.command_lines())
    code, said = made.end()
    assert code == 0
    assert said.count("\n") == 1, said
    for secret in (*CANARIES.values(), TOKEN_IN_URL):
        assert secret not in said
        assert secret not in command_line


def test_it_starts_before_any_of_its_targets_and_sees_them_when_they_come() -> None:
    if reason := unavailable():
        pytest.skip(reason)
    with bed(start=False) as made:
        client = Client(made.port, waits=3)
        for path in made.paths:
            page = client.get(path)
            assert page.status == 200, page
            assert {value for name, value in page.ups().items() if "docker" not in name} <= {0.0}, page.ups()
        made.prepare()
        for path in made.paths:

            def well(path: str = path) -> bool:
                page = client.get(path)
                expected = {1.0} if made.has_up(path) else set()
                return page.status == 200 and set(page.ups().values()) == expected

            wait_until(well, path, 60, made.stderr)
        client.close()
        assert made.end()[0] == 0
