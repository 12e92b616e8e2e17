"""http: reading bodies, following redirects, and what the checks make of it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opsctl.probes import http_body
from opsctl.probes.http import next_hop, without_password
from opsctl.probes.http_exchange import Route, lookup, split_address


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
