"""HTTP for metrics: version, encryption and name lookup of real answers."""

from __future__ import annotations

import contextlib
import dataclasses
import http.server
import ssl
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest

from opsctl.facts.http import HttpFacts
from opsctl.metrics import exposition, facts_from_series, parse_exposition, samples
from opsctl.probes import http as probing
from opsctl.probes.http import probe
from opsctl.stack.specs import HttpSpec
from tests.servers.base import free_port
from tests.servers.certificates import Authority, Pair
from tests.unit.contexts import context_for

pytestmark = pytest.mark.live


class Page(http.server.BaseHTTPRequestHandler):
    """Answers everything with two letters."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


@contextlib.contextmanager
def serving(pair: Pair | None = None, handler: type[Page] = Page) -> Iterator[int]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    if pair is not None:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(pair.certificate, pair.key)
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()
        thread.join(60)


def read(spec: HttpSpec, detail: str = "metrics") -> HttpFacts:
    context = context_for("http", spec, Path("/"), 60.0)
    return probe(dataclasses.replace(context, options={"detail": detail}))


def series(facts: HttpFacts) -> dict[str, Any]:
    return parse_exposition(exposition(samples(facts)))


def test_a_plain_page() -> None:
    with serving() as port:
        found = series(read(HttpSpec(url=f"http://127.0.0.1:{port}/")))
        assert found["probe_http_version"] == [({}, "1.1")]
        assert found["probe_http_ssl"] == [({}, "0")]
        assert float(found["probe_dns_lookup_time_seconds"][0][1]) >= 0
        assert "probe_tls_version_info" not in found
        assert "probe_ssl_earliest_cert_expiry" not in found


def test_a_page_over_tls(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    with serving(authority.good()) as port:
        url = f"https://localhost:{port}/"
        facts = read(HttpSpec(url=url, connect=f"127.0.0.1:{port}", ca_file=str(authority.file)))
        assert facts.success
        found = series(facts)
        assert found["probe_http_ssl"] == [({}, "1")]
        assert found["probe_tls_version_info"] == [({"version": "TLS 1.3"}, "1")]
        (end,) = found["probe_ssl_earliest_cert_expiry"]
        assert float(end[1]) > 1_700_000_000
        assert facts_from_series(HttpFacts, found).details == facts.details
        unverified = series(read(HttpSpec(url=url, connect=f"127.0.0.1:{port}", verify=False)))
        assert unverified["probe_http_ssl"] == [({}, "1")]
        assert "probe_ssl_earliest_cert_expiry" not in unverified


def test_what_was_not_answered_is_not_told() -> None:
    facts = read(HttpSpec(url=f"http://127.0.0.1:{free_port()}/"))
    assert facts.up is False
    found = series(facts)
    assert "probe_dns_lookup_time_seconds" in found
    assert "probe_http_version" not in found
    assert "probe_http_ssl" not in found


def test_a_diagnosis_keeps_none_of_it() -> None:
    with serving() as port:
        assert read(HttpSpec(url=f"http://127.0.0.1:{port}/"), detail="").details is None


class Counted(Page):
    """Prometheus text of an application: what it has answered with 200 and with 500, look by look."""

    counts: ClassVar[list[tuple[int, int]]] = []

    def do_GET(self) -> None:
        numbers = zip(("200", "500"), self.counts.pop(0), strict=True)
        body = "".join(
            f'http_requests_total{{status="{code}"}} {number}\n' for code, number in numbers
        ).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@pytest.mark.parametrize(
    ("counts", "windows"),
    [
        # one request of each window was opsctl's own
        ([(7, 3), (14, 6), (21, 9)], [(None, None), (9, 3), (9, 3)]),
        # the first errors of all
        ([(100, 0), (100, 40), (200, 40)], [(100, 0), (39, 40), (99, 0)]),
        # it was started anew: what it counts now began at nothing
        ([(100, 50), (1000, 0), (1000, 7)], [(None, None), (1000, 0), (6, 7)]),
    ],
)
def test_a_scrape_compares_with_the_look_before_and_asks_once(
    monkeypatch: pytest.MonkeyPatch,
    counts: list[tuple[int, int]],
    windows: list[tuple[int | None, int | None]],
) -> None:
    monkeypatch.setattr(probing, "WINDOW_SECONDS", 0.0)
    kept: dict[str, Any] = {}

    class Handler(Counted):
        counts: ClassVar[list[tuple[int, int]]] = []

    Handler.counts += counts
    with serving(handler=Handler) as port:
        spec = HttpSpec(url=f"http://127.0.0.1:{port}/metrics", metrics=["http_requests_total"])
        context = dataclasses.replace(
            context_for("http", spec, Path("/"), 60.0), options={"detail": "metrics", "kept": kept}
        )
        found = [probe(context) for _ in counts]
    assert Handler.counts == [], "asked once a look"
    assert [(item.window_requests, item.window_errors) for item in found] == windows


@pytest.mark.parametrize(("code", "asked"), [(200, 2), (503, 1)])
def test_a_slow_answer_is_asked_for_again_unless_it_is_wrong_anyway(code: int, asked: int) -> None:
    questions: list[str] = []

    class Slow(Page):
        def do_GET(self) -> None:
            questions.append(self.path)
            time.sleep(0.2)
            self.send_response(code)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"ok")

    with serving(handler=Slow) as port:
        found = read(HttpSpec(url=f"http://127.0.0.1:{port}/", max_seconds=0.1), "")
    assert len(questions) == asked
    assert found.duration_seconds is not None
    assert found.duration_seconds > 0.1
    assert (found.first_try_seconds is not None) == (asked == 2)
