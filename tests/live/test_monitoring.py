"""Monitoring: each fault of a real Prometheus and Alertmanager is named first, and gone when undone."""

from __future__ import annotations

import contextlib
import http.server
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from opsctl.model import Diagnosis, Status
from tests.live.web import crashed, failing, first, found, look
from tests.servers.base import free_port, wait_until
from tests.servers.prometheus import AlertmanagerServer, PrometheusServer

pytestmark = pytest.mark.live
SECONDS = 120.0
"""How long a program may take to notice, on a machine that is busy with other things."""


class Listener:
    """An HTTP server of a test's own that counts what it is sent; `status` is what it answers."""

    def __init__(self) -> None:
        self.port = free_port()
        self.status = 200
        self.posts = 0
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def _answer(self) -> None:
                self.rfile.read(int(self.headers.get("Content-Length") or 0))
                body = b"shop_orders 1\n"
                self.send_response(outer.status)
                self.send_header("Content-Type", "text/plain; version=0.0.4")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def do_GET(self) -> None:
                self._answer()

            def do_POST(self) -> None:
                outer.posts += 1
                self._answer()

            def log_message(self, *_: object) -> None:
                return

        self._handler = Handler
        self._server: http.server.ThreadingHTTPServer | None = None

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def start(self) -> None:
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", self.port), self._handler)
        threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True
        ).start()

    def stop(self) -> None:
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def __enter__(self) -> Listener:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


@contextlib.contextmanager
def running(server: Any) -> Iterator[Any]:
    try:
        server.start(SECONDS)
        yield server
    finally:
        server.remove()


def prometheus_service(server: PrometheusServer) -> dict[str, Any]:
    return {"prometheus": {"monitoring": {"prometheus": server.url}}}


def alertmanager_service(server: AlertmanagerServer) -> dict[str, Any]:
    return {"alertmanager": {"monitoring": {"alertmanager": server.url}}}


def until_first(wanted: str, services: dict[str, Any], words: str = "") -> Diagnosis:
    """Look until a cause comes first, with some words in its summary, and return that look."""
    seen: list[Diagnosis] = []

    def named() -> bool:
        seen.append(look(services, "containers"))
        return first(seen[-1]) == wanted and words in seen[-1].root_causes[0].finding.summary

    wait_until(named, f"{wanted} named", SECONDS)
    assert crashed(seen[-1]) == []
    return seen[-1]


def settle(services: dict[str, Any]) -> None:
    """Wait until nothing is reported any more, and everything was seen."""

    def quiet() -> bool:
        diagnosis = look(services, "containers")
        return not failing(diagnosis) and diagnosis.status is Status.OK

    wait_until(quiet, "nothing left", SECONDS)


def test_prometheus_stopped_and_frozen() -> None:
    with running(PrometheusServer()) as server:
        server.wait_for_scrapes()
        services = prometheus_service(server)
        settle(services)
        server.freeze()
        diagnosis = until_first("monitoring/prometheus-down:prometheus", services)
        assert "gives no answer" in found(diagnosis, "monitoring/prometheus-down").summary
        server.thaw()
        settle(services)
        server.stop()
        diagnosis = until_first("monitoring/prometheus-down:prometheus", services)
        assert found(diagnosis, "monitoring/target-down").status is Status.BLOCKED
        server.start(SECONDS)
        settle(services)


def test_alertmanager_stopped() -> None:
    with running(AlertmanagerServer()) as manager:
        services = alertmanager_service(manager)
        settle(services)
        manager.stop()
        until_first("monitoring/alertmanager-down:alertmanager", services)
        manager.start(SECONDS)
        settle(services)


def test_a_target_with_the_wrong_port() -> None:
    with Listener() as shop, running(PrometheusServer({"shop": [shop.address]})) as server:
        services = prometheus_service(server) | {"shop": {"http": [f"http://{shop.address}/health"]}}
        settle(services)
        server.jobs["shop"] = ["127.0.0.1:1"]
        server.reload()
        diagnosis = until_first("monitoring/target-down:prometheus", services)
        summary = found(diagnosis, "monitoring/target-down").summary
        assert summary.startswith("target 127.0.0.1:1 of job shop was not up once")
        assert "connection refused" in summary
        server.jobs["shop"] = [shop.address]
        server.reload()
        settle(services)


def test_a_target_whose_service_is_down_hangs_below_that() -> None:
    with Listener() as shop, running(PrometheusServer({"shop": [shop.address]})) as server:
        services = prometheus_service(server) | {"shop": {"http": [f"http://{shop.address}/health"]}}
        settle(services)
        shop.stop()

        def below() -> bool:
            diagnosis = look(services, "containers")
            chains = [[item.id for item in cause.chain] for cause in diagnosis.root_causes]
            alone = first(diagnosis) == "http/refused:shop" and diagnosis.also == ()
            return alone and chains == [["monitoring/target-down"]]

        wait_until(below, "the target below its service, and no second cause", SECONDS)
        shop.start()
        settle(services)


def test_a_rule_that_fails() -> None:
    with running(PrometheusServer()) as server:
        services = prometheus_service(server)
        server.wait_for_scrapes()
        settle(services)
        joined = "prometheus_build_info * on(job) prometheus_http_requests_total"
        server.rules.append({"alert": "Joined", "expr": joined})
        server.reload()
        diagnosis = until_first("monitoring/rule-failing:prometheus", services)
        summary = found(diagnosis, "monitoring/rule-failing").summary
        assert summary.startswith("rule Joined of group shop fails: ")
        server.rules.pop()
        server.reload()
        settle(services)


def test_alerts_do_not_reach_alertmanager() -> None:
    with (
        running(AlertmanagerServer()) as manager,
        running(PrometheusServer(alertmanager=manager.address)) as server,
    ):
        services = prometheus_service(server) | alertmanager_service(manager)
        settle(services)
        server.alertmanager = "127.0.0.1:1"
        server.reload()
        words = "cannot send alerts to 127.0.0.1:1"
        until_first("monitoring/notification-failing:prometheus", services, words)
        server.alertmanager = ""
        server.reload()
        until_first("monitoring/notification-failing:prometheus", services, "knows no Alertmanager")
        server.alertmanager = manager.address
        server.reload()
        settle(services)


def test_a_stopped_alertmanager_explains_that_nothing_reaches_it() -> None:
    with (
        running(AlertmanagerServer()) as manager,
        running(
            PrometheusServer({"alertmanager": [manager.address]}, alertmanager=manager.address)
        ) as server,
    ):
        services = prometheus_service(server) | alertmanager_service(manager)
        server.wait_for_scrapes()
        settle(services)
        manager.stop()

        def all_below() -> bool:
            diagnosis = look(services, "containers")
            chains = [{item.id for item in cause.chain} for cause in diagnosis.root_causes]
            alone = first(diagnosis) == "monitoring/alertmanager-down:alertmanager"
            return alone and chains == [{"monitoring/target-down", "monitoring/notification-failing"}]

        wait_until(all_below, "both findings below the stopped Alertmanager", SECONDS)
        manager.start(SECONDS)
        settle(services)


def test_a_receiver_that_cannot_be_told_with_history() -> None:
    with Listener() as hook:
        receiver = {"webhook_configs": [{"url": f"http://{hook.address}/hook/CANARY-1234567890"}]}
        with (
            running(AlertmanagerServer(receiver)) as manager,
            running(
                PrometheusServer({"alertmanager": [manager.address]}, alertmanager=manager.address)
            ) as server,
        ):
            services = prometheus_service(server) | alertmanager_service(manager)
            wait_until(lambda: hook.posts > 0, "a first notification", SECONDS)
            settle(services)
            hook.stop()
            diagnosis = until_first("monitoring/notification-failing:alertmanager", services)
            assert "nobody is told by webhook" in diagnosis.root_causes[0].finding.summary
            assert "CANARY" not in repr(diagnosis)
            hook.start()
            settle(services)


def test_a_receiver_that_cannot_be_told_without_history() -> None:
    """Where no log and no Prometheus tells when, a second sample, or that nothing ever went well, does."""
    receiver = {"telegram_configs": [{"api_url": "http://127.0.0.1:1", "bot_token": "1:x", "chat_id": 1}]}
    with running(AlertmanagerServer(receiver)) as manager:
        services = alertmanager_service(manager)
        settle(services)
        manager.fire()
        wait_until(lambda: manager.failed("telegram") > 0, "a failed attempt", SECONDS)
        diagnosis = until_first("monitoring/notification-failing:alertmanager", services)
        assert "nobody is told by telegram" in diagnosis.root_causes[0].finding.summary
