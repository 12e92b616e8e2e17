"""nginx as the exporter looks at it: asked once a look, over one connection, before the look begins."""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import Any

import pytest

from exporters.looking import Lookout
from opsctl.facts.nginx import NginxFacts
from opsctl.look import look
from opsctl.model import Reading
from tests.servers.base import wait_until
from tests.servers.nginx import NginxServer
from tests.unit.exporter import LONG, stack

pytestmark = [
    pytest.mark.live,
    pytest.mark.skipif(shutil.which("nginx", path="/usr/sbin:/usr/bin") is None, reason="apt install nginx"),
]


class Watched:
    """An nginx whose status page logs who asks for it, and a lookout for it."""

    def __init__(self, nginx: NginxServer, asked: Path) -> None:
        self._asked = asked
        self.ahead: int | None = None
        """How many questions must have come before a look begins."""
        services = {"web": {"nginx": nginx.stack_spec(status_url=nginx.url("/counted"))}}
        self.lookout = Lookout(stack(services), self._look)

    def questions(self) -> int:
        """Return how often the status page was asked for."""
        return len(self._asked.read_text().splitlines()) if self._asked.exists() else 0

    def _look(self, *arguments: Any) -> Reading:
        wanted = self.ahead
        if wanted is not None:
            wait_until(lambda: self.questions() == wanted, f"question {wanted} before the look")
        return look(*arguments)

    def facts(self) -> NginxFacts:
        """Look as a scrape does."""
        return facts_now(self.lookout)


def facts_now(lookout: Lookout) -> NginxFacts:
    """Look as a scrape does."""
    (reading,) = lookout.readings(lookout.of_kinds(["nginx"]), time.monotonic() + LONG, here=True)
    assert isinstance(reading.facts, NginxFacts), reading.problem
    return reading.facts


def test_it_is_asked_before_the_look_begins_and_once(tmp_path: Path) -> None:
    log = tmp_path / "asked.log"
    page = f"location = /counted {{ stub_status; access_log {log}; }}"
    with NginxServer(server_extra=page) as nginx:
        watched = Watched(nginx, log)
        watched.facts()  # all there is
        first = watched.facts()  # opens the connection that is kept
        for _ in range(3):
            before = watched.questions()
            watched.ahead = before + 1
            facts = watched.facts()
            assert watched.questions() == before + 1
            assert facts.up
            assert facts.connections_accepted == first.connections_accepted
            assert facts.requests is not None
            assert first.requests is not None
            assert facts.requests > first.requests
            first = facts


def test_an_nginx_that_went_and_came_back_is_seen_at_once() -> None:
    with NginxServer() as nginx:
        lookout = Lookout(stack({"web": {"nginx": nginx.stack_spec()}}))
        assert [facts_now(lookout).up for _ in range(3)] == [True] * 3
        nginx.stop()
        down = facts_now(lookout)
        assert (down.up, down.requests) == (False, None)
        nginx.start()
        assert [facts_now(lookout).up for _ in range(3)] == [True] * 3
