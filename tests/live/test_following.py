"""The exporter follows the logs of a real nginx while they are rotated: each request is counted once."""

from __future__ import annotations

import contextlib
import http.client
import os
import shutil
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.live.exporter_bed import held_descriptors
from tests.live.test_exporter import WAITS, Exporter, exporting
from tests.servers.base import free_port, wait_until
from tests.servers.nginx import NginxServer

pytestmark = pytest.mark.live

FORMATS = {
    "combined": ("", "combined"),
    "timed": (
        'log_format timed \'$remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent'
        ' "$http_referer" rt=$request_time urt="$upstream_response_time" up="$upstream_addr"\';',
        "timed",
    ),
    "json": (
        'log_format json escape=json \'{"at":"$time_iso8601","request_method":"$request_method",'
        '"request_uri":"$request_uri","status":$status,"body_bytes_sent":$body_bytes_sent,'
        '"request_time":$request_time,"upstream_response_time":"$upstream_response_time",'
        '"upstream_addr":"$upstream_addr","agent":"$http_user_agent"}\';',
        "json",
    ),
}


def logging_nginx(form: str, upstreams: dict[str, str] | None = None) -> NginxServer:
    declared, name = FORMATS[form]
    server = NginxServer(upstreams=upstreams, http_extra=declared)
    plain = server.text
    server.text = lambda: plain().replace(  # type: ignore[method-assign]
        f"    access_log {server.access_log};\n{declared}",
        f"{declared}\n    access_log {server.access_log} {name};\n",
    )
    return server


def services(nginx: NginxServer) -> dict[str, Any]:
    spec = {
        "config": str(nginx.config),
        "pid_file": str(nginx.pid_file),
        "listen": nginx.listen,
        "status_url": nginx.status_url,
    }
    return {"web": {"nginx": spec, "logs": [{"path": str(nginx.error_log), "format": "nginx-error"}]}}


def series(exporter: Exporter, page: str, name: str) -> dict[tuple[str, ...], float]:
    status, text = exporter.get(page, WAITS)
    assert status == 200, text
    return {
        tuple(value for label, value in sorted(sample.labels.items()) if label != "service"): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == name
    }


def by_route(exporter: Exporter) -> dict[str, int]:
    """Return the requests that the tests have sent, by method and route and status."""
    found: dict[str, int] = {}
    for labels, value in series(exporter, "/metrics/nginx", "opsctl_nginx_http_requests_total").items():
        method, route, status = labels[:3]
        if method != "other":  # opsctl's own TRACE
            key = f"{method} {route} {status}"
            found[key] = found.get(key, 0) + int(value)
    return found


def becomes(exporter: Exporter, expected: dict[str, int]) -> None:
    with contextlib.suppress(RuntimeError):  # the comparison below says more
        wait_until(lambda: by_route(exporter) == expected, "all requests", 20)
    assert by_route(exporter) == expected


class Sender:
    """Sends requests over kept connections, and counts them."""

    def __init__(self, nginx: NginxServer) -> None:
        self.nginx, self.sent = nginx, 0

    def send(self, count: int, path: str = "/") -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self.nginx.port, timeout=WAITS)
        for _ in range(count):
            connection.request("GET", path)
            connection.getresponse().read()
            self.sent += 1
        connection.close()

    def wait_for(self, count: int) -> None:
        """Wait until so many more have been sent."""
        before = self.sent
        wait_until(lambda: self.sent > before + count, "requests", WAITS)

    @contextlib.contextmanager
    def sending(self) -> Iterator[None]:
        """Send as fast as it goes, meanwhile."""
        stop = threading.Event()

        def run() -> None:
            while not stop.is_set():
                self.send(20)

        thread = threading.Thread(target=run)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join(WAITS)


def rename_and_reopen(nginx: NginxServer, number: int) -> None:
    """Rotate as logrotate's Debian configuration does."""
    nginx.access_log.rename(nginx.access_log.with_name(f"access.log.{number}"))
    os.kill(nginx.pid, signal.SIGUSR1)
    wait_until(nginx.access_log.exists, "the new log", WAITS)


@pytest.mark.parametrize("form", FORMATS)
def test_requests_are_counted_once_over_rotations_under_load(form: str, tmp_path: Path) -> None:
    with logging_nginx(form) as nginx, exporting(tmp_path, services(nginx)) as exporter:
        assert by_route(exporter) == {}
        sender = Sender(nginx)
        for number in range(3):
            with sender.sending():
                sender.wait_for(200)
                rename_and_reopen(nginx, number)
                sender.wait_for(200)
            becomes(exporter, {"GET / 200": sender.sent})
        sender.send(1, "/no-such-page")
        becomes(exporter, {"GET / 200": sender.sent - 1, "GET other 404": 1})
        assert series(exporter, "/metrics/nginx", "opsctl_nginx_access_log_unparsed_lines_total") == {(): 0}
        counts = series(exporter, "/metrics/nginx", "opsctl_nginx_http_request_duration_seconds_count")
        if form == "combined":
            assert counts == {}
        else:
            assert sum(counts.values()) >= sender.sent


def test_copytruncate_loses_nothing_that_is_in_the_copy(tmp_path: Path) -> None:
    with logging_nginx("timed") as nginx, exporting(tmp_path, services(nginx)) as exporter:
        assert by_route(exporter) == {}
        sender = Sender(nginx)
        for number in range(3):
            sender.send(150)
            shutil.copyfile(nginx.access_log, nginx.access_log.with_name(f"access.log.{number}"))
            os.truncate(nginx.access_log, 0)
            sender.send(70)
            becomes(exporter, {"GET / 200": sender.sent})


def test_a_restart_with_a_state_counts_on(tmp_path: Path) -> None:
    state = tmp_path / "state"
    state.mkdir()
    options = ("--state-directory", str(state))
    with logging_nginx("timed") as nginx:
        sender = Sender(nginx)
        with exporting(tmp_path, services(nginx), *options) as exporter:
            assert by_route(exporter) == {}
            sender.send(100)
            becomes(exporter, {"GET / 200": 100})
        sender.send(30)
        rename_and_reopen(nginx, 1)
        sender.send(40)
        with exporting(tmp_path, services(nginx), *options) as exporter:
            becomes(exporter, {"GET / 200": 170})
        assert (state / "following.json").stat().st_mode & 0o077 == 0
        (state / "following.json").write_text('{"version": 1, "logs": [')
        with exporting(tmp_path, services(nginx), *options) as exporter:  # a broken file is none
            assert by_route(exporter) == {}


def test_errors_of_an_upstream_that_is_gone_by_class_and_template(tmp_path: Path) -> None:
    gone = f"127.0.0.1:{free_port()}"
    nginx = logging_nginx("json", {"/api/": f"http://{gone}"})
    with nginx, exporting(tmp_path, services(nginx)) as exporter:
        assert by_route(exporter) == {}
        Sender(nginx).send(25, "/api/users/17?token=Canary-9f41c6-parrot")
        becomes(exporter, {"GET /api/users/:id 502": 25})
        requests = series(exporter, "/metrics/nginx", "opsctl_nginx_http_requests_total")
        assert requests["GET", "/api/users/:id", "502", gone] == 25

        def errors() -> dict[tuple[str, ...], float]:
            return series(exporter, "/metrics/logs", "opsctl_log_error_entries_total")

        expected = {("connection",): 25, ("database",): 0, ("application",): 0}
        wait_until(lambda: errors() == expected, f"errors: {errors()}", WAITS)
        kinds = series(exporter, "/metrics/logs", "opsctl_log_template_errors_total")
        assert [count for labels, count in kinds.items() if "other" not in labels] == [25]
        assert "Canary" not in exporter.get("/metrics/logs")[1] + exporter.get("/metrics/nginx")[1]


def test_an_nginx_that_goes_and_comes_back(tmp_path: Path) -> None:
    with logging_nginx("combined") as nginx, exporting(tmp_path, services(nginx)) as exporter:
        page = "/metrics/nginx"
        for _ in range(2):
            assert exporter.samples(page)["nginx_up"] == 1
            assert exporter.samples(page)["nginx_http_requests_total"] > 0
            nginx.stop()
            found = exporter.samples(page)
            assert found["nginx_up"] == 0
            assert "nginx_http_requests_total" not in found
            nginx.start()
            wait_until(lambda: "nginx_http_requests_total" in exporter.samples(page), "up again", WAITS)


def test_a_frozen_nginx_costs_no_page_and_leaves_nothing_behind(tmp_path: Path) -> None:
    with logging_nginx("timed") as nginx, exporting(tmp_path, services(nginx)) as exporter:
        page = "/metrics/nginx"
        assert exporter.samples(page)["nginx_up"] == 1

        def held() -> int:
            return held_descriptors(exporter.process.pid)

        before = held()
        os.kill(nginx.pid, signal.SIGSTOP)
        workers = nginx.workers()
        for pid in workers:
            os.kill(pid, signal.SIGSTOP)
        try:
            for _ in range(3):
                found = exporter.samples(page)
                assert found["nginx_up"] == 0
                assert "nginx_http_requests_total" not in found
        finally:
            for pid in [nginx.pid, *workers]:
                os.kill(pid, signal.SIGCONT)
        wait_until(lambda: "nginx_http_requests_total" in exporter.samples(page), "up again", WAITS)
        for _ in range(50):
            exporter.samples(page)
        wait_until(lambda: held() <= before + 1, f"{held()} descriptors, {before} before", WAITS)
