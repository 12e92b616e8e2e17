"""Requests counted as an access log's lines come: formats, routes, histograms, bounds."""

from __future__ import annotations

import itertools

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from opsctl.logs.access_formats import COMBINED, Format, compiled, guessing, of_configuration
from opsctl.logs.routes import MOST_CHILDREN, MOST_ROUTES, MOST_SEGMENTS, Routes, segments
from opsctl.logs.traffic import BOUNDS, MOST_UPSTREAMS, TrafficCounter, TrafficState
from opsctl.probes import nginx_config
from opsctl.redact import Redactor

TIMED = COMBINED + ' rt=$request_time urt="$upstream_response_time" ua="$upstream_addr"'
BARE = "$remote_addr $request_method $request_uri $status $body_bytes_sent $request_time $upstream_addr"
JSON = (
    '{"at":"$time_iso8601","request_method":"$request_method","request_uri":"$request_uri",'
    '"status":$status,"body_bytes_sent":$body_bytes_sent,"request_time":$request_time,'
    '"upstream_response_time":"$upstream_response_time","upstream_addr":"$upstream_addr",'
    '"agent":"$http_user_agent"}'
)
VALUES = {
    "remote_addr": "10.0.0.1",
    "remote_user": "-",
    "time_local": "21/Nov/2026:04:09:14 +0000",
    "time_iso8601": "2026-11-21T04:09:14+00:00",
    "request": "GET /api/users/17?x=1 HTTP/1.1",
    "request_method": "GET",
    "request_uri": "/api/users/17?x=1",
    "status": "200",
    "body_bytes_sent": "512",
    "http_referer": "https://shop.example/",
    "http_user_agent": "Mozilla/5.0 (X11; Linux)",
    "request_time": "0.120",
    "upstream_response_time": "0.001, 0.110",
    "upstream_addr": "10.0.0.7:80, 10.0.0.8:80",
}


def written(template: str, **values: str) -> bytes:
    """Return a line as nginx writes it."""
    for name, value in sorted((VALUES | values).items(), key=lambda item: -len(item[0])):
        template = template.replace(f"${name}", value)
    return f"{template}\n".encode()


def form(template: str, escape: str = "default") -> Format:
    found = compiled(template, escape)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("template", "escape", "timed"),
    [(COMBINED, "default", False), (TIMED, "default", True), (BARE, "none", True), (JSON, "json", True)],
)
@pytest.mark.parametrize("guess", [False, True])
def test_every_format_says_the_same(template: str, escape: str, timed: bool, guess: bool) -> None:
    if guess and template == BARE:
        pytest.skip("nobody can know what its numbers are")
    counter = TrafficCounter()
    counter.feed(written(template) * 3, guessing() if guess else form(template, escape))
    (requests,) = counter.requests()
    assert (requests.route, requests.method, requests.status, requests.count) == (
        "/api/users/:id",
        "GET",
        "200",
        3,
    )
    assert counter.unparsed == 0
    (route,) = counter.routes()
    assert route.bytes == 3 * 512
    assert (route.count, route.sum) == ((3, pytest.approx(0.36)) if timed else (None, None))
    if timed:
        assert route.buckets is not None
        assert [route.buckets[limit] for limit in ("0.1", "0.25", "+Inf")] == [0, 3, 3]
    if timed and not (guess and template == TIMED):
        assert requests.upstream == "10.0.0.8:80"  # the last that was tried
    if template in (TIMED, JSON) and not (guess and template == TIMED):
        (upstream,) = counter.upstreams()
        assert (upstream.upstream, upstream.count, upstream.sum) == ("10.0.0.8:80", 3, pytest.approx(0.33))


def test_what_is_odd_and_yet_a_request() -> None:
    counter = TrafficCounter()
    odd = [
        written(TIMED, remote_user="John Smith"),
        written(TIMED, http_user_agent="\\x22quoted\\x22 \xff"),
        written(TIMED, upstream_addr="-", upstream_response_time="-"),
        written(TIMED, request="\\x16\\x03\\x01", status="400"),
        written(TIMED, request="", status="400", body_bytes_sent="0"),
        written(TIMED, upstream_addr="unix:/run/app.sock, 10.0.0.8:80 : 10.0.0.9:80"),
    ]
    counter.feed(b"".join(odd), form(TIMED))
    assert (counter.lines, counter.unparsed) == (6, 0)
    counter.feed(b"\xff\x00 garbage\n\n" + written(COMBINED), form(TIMED))
    assert (counter.lines, counter.unparsed) == (8, 2)
    counter.feed(b"2026/11/21 04:00:00 [error] 7#7: upstream timed out\n", form(TIMED))
    assert (counter.lines, counter.unparsed) == (8, 2)  # what a container says of errors in between
    assert sum(item.count for item in counter.requests()) == 6
    assert {item.upstream for item in counter.requests()} == {"", "10.0.0.8:80", "10.0.0.9:80"}


def test_a_format_that_does_not_say_what_is_counted_is_none() -> None:
    assert compiled("$remote_addr $request") is None
    assert compiled('{"at":"$time_iso8601","status":$status}', "json") is None


def test_logs_of_a_configuration() -> None:
    text = f"""
    http {{
        log_format timed '{COMBINED} '
                         'rt=$request_time';
        log_format json escape=json '{JSON}';
        access_log /var/log/nginx/access.log timed buffer=32k;
        access_log /var/log/nginx/access.json json;
        server {{ access_log /var/log/nginx/api.log json; location /x {{ access_log off; }} }}
        server {{ access_log /dev/stdout; access_log /var/log/nginx/$host.log; access_log /srv/c.log; }}
    }}"""
    formats, followed = of_configuration(nginx_config.parse(text))
    assert followed == ["/var/log/nginx/access.log", "/var/log/nginx/api.log", "/srv/c.log"]
    assert {name: found.has_time for name, found in formats.items()} == {
        "/var/log/nginx/access.log": True,
        "/var/log/nginx/access.json": True,
        "/var/log/nginx/api.log": True,
        "/dev/stdout": False,
        "/srv/c.log": False,
    }
    assert formats["/var/log/nginx/access.log"].rows(written(COMBINED + " rt=$request_time"))


@pytest.mark.parametrize(
    ("path", "route"),
    [
        ("/", "/"),
        ("/api/v1/menu", "/api/v1/menu"),
        ("/api/v1/menu/17", "/api/v1/menu/:id"),
        ("/orders/3f2504e0-4f89-11d3-9a0c-0305e82c3301/pay", "/orders/:uuid/pay"),
        ("/blob/9f86d081884c7d659a2feaa0c55ad015", "/blob/:hash"),
        ("/day/2026-11-21", "/day/:date"),
        ("/product/samsung-galaxy-s23-256gb/", "/product/:slug/"),
        ("/assets/index-3f9a1c.js", "/assets/:file.js"),
        ("/u/bob@example.com", "/u/:email"),
        ("/товар", "/:slug"),
        ("/%D1%82", "/:slug"),
        ("/reset/aGVsbG8gd29ybGQhIQ", "/reset/:token"),
        ("/bot123456:AAE-xyz/getMe", "/:slug/getMe"),
        ("//double//slash", "/double/slash"),
        ("/about/", "/about/"),
    ],
)
def test_routes(path: str, route: str) -> None:
    assert "/".join(segments(path)) == route


@given(st.text())
def test_any_path_has_a_short_route(path: str) -> None:
    assert len(segments(f"/{path}")) <= MOST_SEGMENTS + 1
    assert Routes().name(f"/{path}", True).startswith("/")


def test_routes_are_bounded_and_strangers_leave_none() -> None:
    routes = Routes()
    names = [f"{first}{second}{third}" for first, second, third in itertools.product("abcdefghij", repeat=3)]
    assert {routes.name(f"/{name}.php", False) for name in names} == {"other"}
    assert routes.name("/api/users", True) == "/api/users"
    found = {routes.name(f"/product/{name}/", True) for name in names}
    assert len(found) == MOST_CHILDREN + 1
    assert routes.name("/product/qwerty/", True) == "/product/:name/"
    assert routes.name("/api/users", False) == "/api/users"
    found = {routes.name(f"/a{name[0]}/b{name[1]}/c{name[2]}", True) for name in names}
    assert len(routes.state().names) <= MOST_ROUTES
    assert "other" in found


def test_a_path_with_a_secret_gets_no_name_and_is_in_no_state() -> None:
    redactor = Redactor()
    redactor.add("canaryparrotxyz")
    counter = TrafficCounter(None, redactor.text)
    for path in (
        "/hook/canaryparrotxyz/run",
        "/canaryparrotxyz",
        "/api/v1/users/17",
        "/login",
        "/token/refresh",
    ):
        counter.feed(written(TIMED, request=f"POST {path} HTTP/1.1"), form(TIMED))
    text = repr(counter.requests()) + msgspec.json.encode(counter.state()).decode()
    assert "canaryparrotxyz" not in text
    assert {item.route for item in counter.requests()} >= {"other", "/api/v1/users/:id", "/login"}


def test_upstreams_and_methods_are_bounded() -> None:
    counter = TrafficCounter()
    for number in range(500):
        line = written(
            TIMED, upstream_addr=f"10.0.{number // 250}.{number % 250}:80", request=f"M{number} / HTTP/1.1"
        )
        counter.feed(line, form(TIMED))
    assert len({item.upstream for item in counter.requests()}) <= MOST_UPSTREAMS + 1
    assert {item.method for item in counter.requests()} == {"other"}
    assert sum(item.count for item in counter.requests()) == 500


LINES = [
    written(TIMED, request=f"{method} /api/{name} HTTP/1.1", status=status, request_time=time)
    for method, name, status, time in itertools.product(
        ("GET", "POST"),
        ("menu", "users/7", "x" * 60),
        ("200", "404", "503"),
        ("0.005", "0.006", "12.000", "-"),
    )
] + [b"garbage\n", b"\n"]


@settings(max_examples=60, deadline=None)
@given(chosen=st.lists(st.sampled_from(LINES), max_size=30), cuts=st.lists(st.integers(0, 30), max_size=4))
def test_any_split_and_any_restart_gives_the_same_counts(chosen: list[bytes], cuts: list[int]) -> None:
    whole, parts = TrafficCounter(), TrafficCounter()
    whole.feed(b"".join(chosen), form(TIMED))
    for start, end in itertools.pairwise([0, *sorted(cuts), len(chosen) + 30]):
        parts.feed(b"".join(chosen[start:end]), form(TIMED))
        kept = msgspec.json.decode(msgspec.json.encode(parts.state()), type=TrafficState)
        parts = TrafficCounter(kept)
    assert (parts.lines, parts.unparsed) == (whole.lines, whole.unparsed)
    assert parts.requests() == whole.requests()
    assert parts.routes() == whole.routes()
    assert parts.upstreams() == whole.upstreams()
    assert sum(item.count for item in whole.requests()) == whole.lines - whole.unparsed


@given(st.floats(0, 100))
def test_a_histogram_holds_what_was_at_most_its_limit(seconds: float) -> None:
    counter = TrafficCounter()
    counter.feed(written(TIMED, request_time=f"{seconds:.3f}"), form(TIMED))
    (route,) = counter.routes()
    assert route.buckets == {
        **{f"{bound:g}": int(float(f"{seconds:.3f}") <= bound) for bound in BOUNDS},
        "+Inf": 1,
    }
