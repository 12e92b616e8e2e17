"""http: reading bodies, following redirects, and what the checks make of it."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opsctl.checks import find_check
from opsctl.checks.base import CheckContext, Limits
from opsctl.facts.base import Connection
from opsctl.facts.http import Dependency, ExpectedMetric, HttpFacts
from opsctl.model import Status, Target
from opsctl.probes import http_body
from opsctl.probes.http import next_hop, probe, without_password
from opsctl.probes.http_exchange import Route, connect_any, lookup, split_address
from opsctl.stack.specs import HttpSpec
from tests.unit.contexts import context_for
from tests.unit.in_thread import served


def bad(body: Any, path: str = "/health") -> dict[str, str]:
    return {item.name: item.state for item in http_body.bad_dependencies(json.dumps(body), path)}


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"status": "ok"}, {}),
        ({"status": "ok", "database": "ok", "redis": "connected"}, {}),
        ({"status": "healthy", "debug": False, "maintenance": False, "error": None}, {}),
        ({"status": "error"}, {"status": "error"}),
        ({"status": "error", "database": "error", "redis": "ok"}, {"database": "error"}),
        (
            {"status": "ok", "database": "error: connection refused"},
            {"database": "error: connection refused"},
        ),
        ({"ok": False, "db": False}, {"db": "false"}),
        ({"healthy": False}, {"status": "false"}),
        ({"status": "ok", "checks": {"db": {"status": "down", "error": "refused"}}}, {"db": "down: refused"}),
        (
            {"status": "UP", "components": {"db": {"status": "DOWN"}, "disk": {"status": "UP"}}},
            {"db": "DOWN"},
        ),
        ({"checks": {"queue": False, "cache": True}}, {"queue": "false"}),
        (
            {"dependencies": [{"name": "redis", "healthy": False}, {"name": "db", "healthy": True}]},
            {"redis": "false"},
        ),
        (
            {"status": "fail", "checks": {"postgres:connections": [{"status": "fail", "output": "full"}]}},
            {"postgres:connections": "fail: full"},
        ),
        ({"status": "degraded", "services": {"smtp": "unavailable"}}, {"smtp": "unavailable"}),
        ([1, 2], {}),
        ("text", {}),
    ],
)
def test_health_bodies_of_the_ordinary_shapes(body: Any, expected: dict[str, str]) -> None:
    assert bad(body) == expected


def test_other_pages_are_not_judged_as_health_pages() -> None:
    assert bad({"status": "failed", "id": 7}, "/orders/7") == {}
    assert bad({"items": [{"status": "failed"}], "status": "ok"}, "/health") == {}
    assert bad({"checks": {"db": "down"}}, "/whatever") == {"db": "down"}


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=30),
        lambda inner: (
            st.lists(inner, max_size=5)
            | st.dictionaries(
                st.sampled_from(["status", "checks", "db", "name", "error", "details", "ok"]),
                inner,
                max_size=5,
            )
        ),
        max_leaves=30,
    )
)
def test_any_json_is_read_and_bounded(body: Any) -> None:
    found = http_body.bad_dependencies(json.dumps(body), "/health")
    assert len(found) <= http_body.MAX_DEPENDENCIES
    assert all(len(item.name) <= 80 and len(item.state) <= http_body.MAX_STATE for item in found)


@given(st.text(max_size=500))
def test_any_text_is_read_and_bounded(text: str) -> None:
    assert http_body.bad_dependencies(text, text) == [] or text
    assert len(http_body.excerpt(text)) <= 200
    http_body.metric_names(text)
    http_body.request_counts(text)


def test_deep_json_is_no_crash() -> None:
    assert http_body.bad_dependencies("[" * 100_000, "/health") == []
    deep: dict[str, Any] = {"status": "error"}
    for _ in range(50):
        deep = {"checks": deep}
    http_body.bad_dependencies(json.dumps(deep), "/health")


METRICS = """# TYPE http_requests_total counter
http_requests_total{method="GET",handler="/",status="200"} 10
http_requests_total{method="GET",handler="/a b",status="503"} 3 1700000000
http_requests_total{status="5xx",method="GET"} 2.0
process_start_time_seconds 1.7e9
"""


def test_pages_of_metrics() -> None:
    assert http_body.metric_names(METRICS) == {"http_requests_total", "process_start_time_seconds"}
    assert http_body.request_counts(METRICS) == (15.0, 5.0)
    assert http_body.request_counts("up 1\n") is None


def test_excerpts_leave_tags_out() -> None:
    page = "<html><style>b{}</style><title>502 Bad\nGateway</title>\x00<hr>nginx</html>"
    assert http_body.excerpt(page) == "502 Bad Gateway nginx"
    assert len(http_body.excerpt("x" * 1000)) == 200


@pytest.mark.parametrize(
    ("url", "location", "route", "expected"),
    [
        ("http://a/x", "/y", Route(), ("http://a/y", Route())),
        ("http://a/x", "https://a/x", Route(), ("https://a/x", Route())),
        ("http://a/x", "https://b/x", Route(), None),
        ("http://a/x", "ftp://a/x", Route(), None),
        ("http://a/x", "http://[::1/x", Route(), None),
        (
            "http://a/x",
            "https://a/x",
            Route(connect="127.0.0.1:8080"),
            ("https://a/x", Route(connect="127.0.0.1:443")),
        ),
        (
            "http://127.0.0.1:80/x",
            "http://shop.example/y",
            Route(host="shop.example"),
            ("http://shop.example/y", Route(host="shop.example", connect="127.0.0.1:80")),
        ),
    ],
)
def test_redirects_stay_on_the_host(
    url: str, location: str, route: Route, expected: tuple[str, Route] | None
) -> None:
    assert next_hop(url, location, route) == expected


def test_addresses() -> None:
    assert split_address("127.0.0.1:81", 80) == ("127.0.0.1", 81)
    assert split_address("[::1]:81", 80) == ("::1", 81)
    assert split_address("::1", 80) == ("::1", 80)
    assert split_address("name", 80) == ("name", 80)
    assert without_password("http://user:secret@a:1/x?y") == "http://a:1/x?y"


@given(st.text(max_size=60))
def test_any_location_is_read(text: str) -> None:
    next_hop("http://a:1/x", text, Route())
    split_address(text, 80)


def test_a_name_that_cannot_be_a_name() -> None:
    with pytest.raises(OSError):
        lookup("a" * 300 + ".invalid", 80, 1)


@pytest.mark.parametrize(
    ("code", "loop", "named"),
    [(503, None, "http/status"), (429, None, "http/too-many-requests"), (302, True, "http/redirect-loop")],
)
@pytest.mark.parametrize("slug", ["http/body", "http/metrics-missing"])
def test_a_page_with_a_wrong_status_proves_nothing_of_its_body(
    slug: str, code: int, loop: bool | None, named: str
) -> None:
    check = find_check(slug)
    assert check is not None
    facts = HttpFacts(
        connection=Connection(state="ok"),
        url="http://x/health",
        expected_status=[200],
        status_code=code,
        redirect_loop=loop,
        dependencies=[Dependency(name="db", state="down")],
        metrics=[ExpectedMetric(name="up", present=False)],
    )
    context = CheckContext(
        check, Target(kind="http", service="x", address=""), Limits(), datetime(2026, 11, 21, tzinfo=UTC)
    )
    (finding,) = check.function(facts, context)
    assert finding.status is Status.BLOCKED
    assert named in finding.summary


@pytest.mark.parametrize(
    ("state", "detail", "words", "fix"),
    [
        ("refused", "Connection refused", "refuses the connection", "Start what should listen there"),
        (
            "tls",
            "[SSL: WRONG_VERSION_NUMBER] wrong version number (_ssl.c:1006)",
            "what listens there speaks no TLS",
            "Something listens there",
        ),
        ("tls", "certificate verify failed", "fails in the TLS handshake", "Something listens there"),
        ("protocol", "BadStatusLine", "does not answer HTTP", "Something listens there"),
        ("closed", "Connection reset", "closes the connection", "Something listens there"),
    ],
)
def test_what_listens_is_not_told_to_be_started(state: str, detail: str, words: str, fix: str) -> None:
    check = find_check("http/refused")
    facts = HttpFacts(
        up=False, connection=Connection(state=state, detail=detail), url="https://127.0.0.1:8080/"
    )
    context = CheckContext(
        check, Target(kind="http", service="x", address=""), Limits(), datetime(2026, 11, 21, tzinfo=UTC)
    )
    (finding,) = check.function(facts, context)
    assert words in finding.summary
    assert finding.remediation is not None
    assert finding.remediation.text.startswith(fix)


@contextmanager
def page(seconds: float, body: bytes) -> Iterator[tuple[str, list[str]]]:
    """Serve one page that takes its time; yield its URL and the methods that were asked with."""
    asked: list[str] = []

    class Page(BaseHTTPRequestHandler):
        def answer(self) -> None:
            asked.append(self.command)
            time.sleep(seconds)
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = answer  # noqa: N815 - the names that the library calls

        def log_message(self, *_: object) -> None:
            pass

    with served(ThreadingHTTPServer(("127.0.0.1", 0), Page)) as port:
        yield f"http://127.0.0.1:{port}/", asked


@pytest.mark.parametrize(("method", "times"), [("GET", 2), ("POST", 1)])
def test_only_methods_that_change_nothing_are_repeated(method: Any, times: int, tmp_path: Path) -> None:
    with page(0.05, b"ok") as (url, asked):
        facts = probe(context_for("http", HttpSpec(url=url, method=method, max_seconds=0.01), tmp_path))
    assert facts.status_code == 200
    assert asked == [method] * times


def test_counters_are_read_again_with_get(tmp_path: Path) -> None:
    with page(0.0, METRICS.encode()) as (url, asked):
        probe(context_for("http", HttpSpec(url=url, method="POST", metrics=["up"]), tmp_path))
    assert asked == ["POST", "GET"]


def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def test_every_address_of_a_name_is_tried() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        open_port = int(server.getsockname()[1])
        addresses = [("127.0.0.1", closed_port()), ("127.0.0.1", open_port)]
        found = [(int(socket.AF_INET), address) for address in addresses]
        connect_any(found, time.monotonic() + 1).close()


def test_refused_says_more_than_an_address_without_a_way() -> None:
    refused = (int(socket.AF_INET), ("127.0.0.1", closed_port()))
    no_way = (int(socket.AF_INET), ("255.255.255.255", 9))  # no stream goes to everybody
    for addresses in ([refused, refused], [refused, no_way], [no_way, refused]):
        with pytest.raises(ConnectionRefusedError):
            connect_any(addresses, time.monotonic() + 1)
