"""Pages and endpoints: each fault of a real API is the first root cause, and gone when undone."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from opsctl.model import Status
from tests.live.web import crashed, failing, first, found, look
from tests.servers.api import ApiServer
from tests.servers.base import free_port
from tests.servers.redis import RedisServer

pytestmark = pytest.mark.live


@pytest.fixture(scope="module")
def shared_api() -> Iterator[ApiServer]:
    with ApiServer() as server:
        assert isinstance(server, ApiServer)
        yield server


@pytest.fixture
def api(shared_api: ApiServer) -> Iterator[ApiServer]:
    yield shared_api
    shared_api.fault()


def backend(api: ApiServer, path: str = "/health", **more: Any) -> dict[str, Any]:
    return {"backend": {"http": [{"url": api.url(path), **more}]}}


def healthy(services: dict[str, Any]) -> None:
    diagnosis = look(services, "http")
    assert failing(diagnosis) == []
    assert crashed(diagnosis) == []
    assert diagnosis.status is Status.OK
    assert diagnosis.coverage.unknown == 0


@contextlib.contextmanager
def fault(api: ApiServer, **what: Any) -> Iterator[None]:
    api.fault(**what)
    try:
        yield
    finally:
        api.fault()


@pytest.mark.parametrize(
    ("what", "slug", "words"),
    [
        ({"status": 500}, "http/status", "500 Internal Server Error"),
        ({"status": 503, "body": {"status": "error", "redis": "error"}}, "http/status", 'redis is "error"'),
        ({"status": 404}, "http/status", "404"),
        ({"body": {"status": "ok", "database": "error"}}, "http/body", 'database is "error"'),
        ({"seconds": 1.2}, "http/slow", "are allowed"),
        ({"redirect": True}, "http/redirect-loop", "circle"),
        ({"status": 429}, "http/too-many-requests", "30"),
    ],
)
def test_a_fault_of_the_answer_is_the_first_cause(
    api: ApiServer, what: dict[str, Any], slug: str, words: str
) -> None:
    with fault(api, **what):
        diagnosis = look(backend(api), "http")
    assert first(diagnosis) == f"{slug}:backend", failing(diagnosis)
    assert len(diagnosis.root_causes) == 1
    assert words in diagnosis.root_causes[0].finding.summary
    assert diagnosis.root_causes[0].finding.remediation
    healthy(backend(api))


def test_a_refused_connection_and_a_stopped_server() -> None:
    api = ApiServer()
    try:
        api.start()
        healthy(backend(api))
        api.stop()
        diagnosis = look(backend(api), "http")
        assert first(diagnosis) == "http/refused:backend", failing(diagnosis)
        assert found(diagnosis, "http/status").status is Status.BLOCKED
        api.start()
        healthy(backend(api))
    finally:
        api.remove()


def test_a_frozen_server_times_out() -> None:
    with ApiServer() as api:
        assert isinstance(api, ApiServer)
        api.freeze()
        diagnosis = look(backend(api), "http")
        assert first(diagnosis) == "http/timeout:backend", failing(diagnosis)
        assert "nothing was answered" in diagnosis.root_causes[0].finding.summary
        api.thaw()
        healthy(backend(api))


def test_a_timeout_shorter_than_the_allowed_time_is_not_judged(api: ApiServer) -> None:
    with fault(api, seconds=4):
        diagnosis = look(backend(api, max_seconds=10), "http")
    assert found(diagnosis, "http/timeout").status is Status.UNKNOWN
    assert failing(diagnosis) == []


def test_a_name_that_does_not_resolve() -> None:
    services = {"backend": {"http": [{"url": "http://api.opsctl-test.invalid/health"}]}}
    diagnosis = look(services, "http")
    assert first(diagnosis) == "http/name-unresolved:backend", failing(diagnosis)
    assert "api.opsctl-test.invalid" in diagnosis.root_causes[0].finding.summary


def test_connect_replaces_the_lookup(api: ApiServer) -> None:
    url = "http://api.opsctl-test.invalid/health"
    healthy({"backend": {"http": [{"url": url, "connect": f"127.0.0.1:{api.port}"}]}})


def test_a_metric_that_is_missing(api: ApiServer) -> None:
    services = backend(api, "/metrics", metrics=["http_requests_total", "process_start_time_seconds"])
    with fault(api, hide_metrics=True):
        diagnosis = look(services, "http")
    assert first(diagnosis) == "http/metrics-missing:backend", failing(diagnosis)
    healthy(services)


def test_wanted_text_that_is_not_there(api: ApiServer) -> None:
    services = backend(api, "/", contains='"service":"api"')
    healthy(services)
    with fault(api, body={"service": "other"}, paths=["/"]):
        diagnosis = look(services, "http")
    assert first(diagnosis) == "http/body:backend", failing(diagnosis)


def test_a_dependency_that_is_down_is_named_by_the_health_body() -> None:
    with RedisServer() as redis, ApiServer(redis_url=redis.url) as api:
        assert isinstance(api, ApiServer)
        services = backend(api) | {"redis": {"redis": redis.url}}
        services["backend"]["depends_on"] = ["redis"]
        healthy(services)
        redis.stop()
        diagnosis = look(services, "http")
        assert first(diagnosis) == "redis/down:redis", failing(diagnosis)
        assert [item.id for item in diagnosis.root_causes[0].chain] == ["http/status"]
        assert 'redis is "error"' in diagnosis.root_causes[0].chain[0].summary
        redis.start()
        healthy(services)


def test_errors_that_happen_now_and_errors_of_the_past() -> None:
    import threading

    from tests.live.web import ask

    with ApiServer() as api:
        assert isinstance(api, ApiServer)
        services = backend(api, "/metrics", metrics=["http_requests_total"])
        address, ended = f"127.0.0.1:{api.port}", threading.Event()
        api.fault(status=500, paths=["/items"])

        def visit() -> None:
            while not ended.wait(0.02):
                ask(address, "/items")

        assert ask(address, "/items") == 500
        visitors = [threading.Thread(target=visit) for _ in range(2)]
        for visitor in visitors:
            visitor.start()
        try:
            diagnosis = look(services, "http")
        finally:
            ended.set()
            for visitor in visitors:
                visitor.join()
        assert first(diagnosis) == "http/error-rate:backend", failing(diagnosis)
        api.fault()
        healthy(services)


@pytest.mark.parametrize("answer", [b"", b"not http at all\r\n\r\n"])
def test_a_port_that_does_not_speak_http(answer: bytes) -> None:
    import threading

    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        listener.settimeout(20)
        port = listener.getsockname()[1]

        def serve() -> None:
            stream, _ = listener.accept()
            with stream:
                stream.recv(4096)
                stream.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        diagnosis = look({"backend": {"http": [f"http://127.0.0.1:{port}/"]}}, "http")
        thread.join()
    assert first(diagnosis) == "http/refused:backend", failing(diagnosis)


def test_bytes_that_drip_in_do_not_hold_the_probe_up() -> None:
    import threading

    ended = threading.Event()
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        listener.settimeout(20)
        port = listener.getsockname()[1]

        def drip() -> None:
            stream, _ = listener.accept()
            with stream, contextlib.suppress(OSError):
                stream.recv(4096)
                stream.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
                while not ended.wait(0.2):
                    stream.sendall(b"x")

        thread = threading.Thread(target=drip)
        thread.start()
        diagnosis = look({"backend": {"http": [f"http://127.0.0.1:{port}/"]}}, "http")
        ended.set()
        thread.join()
    assert first(diagnosis) == "http/timeout:backend", failing(diagnosis)
    assert "did not end" in diagnosis.root_causes[0].finding.summary


def test_a_free_port_is_refused() -> None:
    diagnosis = look({"backend": {"http": [f"http://127.0.0.1:{free_port()}/"]}}, "http")
    assert first(diagnosis) == "http/refused:backend", failing(diagnosis)
