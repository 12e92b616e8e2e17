"""HTTP requests and answers as values: what is refused, what is compressed, and nothing ever raises else."""

from __future__ import annotations

import contextlib
import gzip

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporters.application import seconds_for
from exporters.requests import Answer, BadRequest, Request, accepts_gzip, encoded, line, parse

GOOD = b"GET /metrics/redis?x=1&x=2 HTTP/1.1\r\nHost: a\r\nAccept: text/plain\r\nACCEPT: */*"


def test_a_request_is_read() -> None:
    request = parse(GOOD)
    assert (request.method, request.path, request.query) == ("GET", "/metrics/redis", {"x": ["1", "2"]})
    assert request.headers == {"host": "a", "accept": "text/plain,*/*"}
    assert request.keep_alive
    assert request.one("y") == ""
    with pytest.raises(BadRequest, match="more than once"):
        request.one("x")


@pytest.mark.parametrize(
    ("head", "keep"),
    [
        (b"GET / HTTP/1.1\r\nHost: a", True),
        (b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Close", False),
        (b"GET / HTTP/1.0", False),
        (b"GET / HTTP/1.0\r\nConnection: keep-alive", False),
    ],
)
def test_the_connection_is_kept_as_asked(head: bytes, keep: bool) -> None:
    assert parse(head).keep_alive is keep


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"", 400),
        (b"GET /", 400),
        (b"GET  / HTTP/1.1\r\nHost: a", 400),
        (b"\x16\x03\x01\x02\x00\x01", 400),  # TLS to a plain port
        (b"GET / FTP/1.1\r\nHost: a", 400),
        (b"GET / HTTP/2.0\r\nHost: a", 505),
        (b"G<T / HTTP/1.1\r\nHost: a", 400),
        (b"GET / HTTP/1.1", 400),  # no Host
        (b"GET / HTTP/1.1\r\nHost: a\r\nHost: b", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nnonsense", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\n folded: x", 400),
        (b"GET metrics HTTP/1.1\r\nHost: a", 400),
        (b"GET http://[ HTTP/1.1\r\nHost: a", 400),
        (b"GET /?" + b"&".join(b"a=1" for _ in range(50)) + b" HTTP/1.1\r\nHost: a", 400),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5", 413),
        (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked", 413),
        (b"GET / HTTP/1.1\r\nHost: a" + b"\r\nX: y" * 200, 431),
    ],
)
def test_what_is_no_request_is_refused(head: bytes, status: int) -> None:
    with pytest.raises(BadRequest) as caught:
        parse(head)
    assert caught.value.status == status
    assert "\n" not in caught.value.words


@given(st.binary(max_size=300))
def test_reading_a_request_fails_with_nothing_else(head: bytes) -> None:
    with contextlib.suppress(BadRequest):
        parse(head)
    with contextlib.suppress(BadRequest):
        parse(b"GET /" + head + b" HTTP/1.1\r\nHost: a")


@pytest.mark.parametrize(
    ("header", "accepted"),
    [
        *(("gzip", True), ("deflate, gzip;q=0.5", True), ("*", True), ("GZIP", True), ("gzip; q=1.0", True)),
        *(("", False), ("deflate", False), ("gzip;q=0", False), ("gzip;q=0.000", False), ("br", False)),
    ],
)
def test_gzip_is_used_where_it_is_accepted(header: str, accepted: bool) -> None:
    assert accepts_gzip(header) is accepted


@pytest.mark.parametrize("accepted", ["gzip", ""])
def test_a_body_in_pieces(accepted: str) -> None:
    pieces = [b"a 1\n" * 5000, b"b 2\n" * 3, b"c 3\n" * 5000]
    asked = Request("GET", "/", headers={"accept-encoding": accepted})
    head, _, sent = encoded(Answer(200, iter(pieces)), asked, {}, True).partition(b"\r\n\r\n")
    assert f"Content-Length: {len(sent)}".encode() in head
    assert (gzip.decompress(sent) if accepted else sent) == b"".join(pieces)
    assert encoded(Answer(200, iter([])), asked, {}, True).endswith(b"Content-Length: 0\r\n\r\n")


def test_an_answer_on_the_wire() -> None:
    body = b"x 1\n" * 5000
    asked = Request("GET", "/", headers={"accept-encoding": "gzip"})
    head, _, sent = encoded(Answer(200, body), asked, {"X-Frame-Options": "deny\r\nEvil: 1"}, True).partition(
        b"\r\n\r\n"
    )
    assert gzip.decompress(sent) == body
    assert b"Content-Encoding: gzip" in head
    assert f"Content-Length: {len(sent)}".encode() in head
    assert b"\r\nEvil" not in head
    assert b"Connection" not in head
    without, _, nothing = encoded(
        Answer(200, body), Request("HEAD", "/", headers=asked.headers), {}, False
    ).partition(b"\r\n\r\n")
    assert nothing == b""
    assert f"Content-Length: {len(sent)}".encode() in without
    assert b"Connection: close" in without
    small = b"x 1\n" * 100
    assert encoded(Answer(200, small), asked, {}, True).endswith(b"\r\n\r\n" + small)
    assert encoded(line(405, "no", Allow="GET"), None, {}, False).startswith(
        b"HTTP/1.1 405 Method Not Allowed\r\n"
    )


@pytest.mark.parametrize(
    ("header", "own", "seconds"),
    [("", 9, 9), ("10", 9, 9), ("5", 9, 4.5), ("1", 9, 0.5), ("0.6", 9, 0.2), ("0.1", 9, 0.05), ("60", 3, 3)],
)
def test_the_scrapers_time_is_kept(header: str, own: float, seconds: float) -> None:
    headers = {"x-prometheus-scrape-timeout-seconds": header} if header else {}
    assert seconds_for(Request("GET", "/", headers=headers), own) == pytest.approx(seconds)


@pytest.mark.parametrize("header", ["soon", "nan", "-1", "0"])
def test_a_time_that_is_none_is_refused(header: str) -> None:
    with pytest.raises(BadRequest, match="Timeout"):
        seconds_for(Request("GET", "/", headers={"x-prometheus-scrape-timeout-seconds": header}), 9)


def test_a_head_is_remembered_unless_it_has_a_password() -> None:
    head = b"GET /metrics HTTP/1.1\r\nHost: remembered"
    assert parse(head) is parse(head)
    secret = head + b"\r\nAUTHORIZATION: Basic YTpi"
    assert parse(secret) == parse(secret)
    assert parse(secret) is not parse(secret)
