"""nginx: configuration, logs and status page read as values."""

from __future__ import annotations

import os
import socket
from calendar import timegm
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opsctl.checks import find_check
from opsctl.checks.base import CheckContext, Limits
from opsctl.facts.base import Connection
from opsctl.facts.nginx import LogErrors, NginxFacts
from opsctl.model import Status, Target
from opsctl.probes import nginx, nginx_config, nginx_logs, nginx_process
from opsctl.probes.nginx_stranger import stranger
from opsctl.stack.specs import NginxSpec
from tests.unit.contexts import context_for
from tests.unit.in_thread import served

DATA = Path(__file__).parent / "data" / "nginx"
ERROR_LOG = (DATA / "error.log").read_text()
ACCESS_LOG = (DATA / "access.log").read_text()
NOW = float(timegm((2026, 11, 21, 4, 11, 30, 0, 0, 0)))


def configuration() -> list[nginx_config.Directive]:
    return list(nginx_config.parse((DATA / "nginx.conf").read_text(), "nginx.conf"))


def test_directives_know_their_blocks() -> None:
    directives = configuration()
    names = [item.name for item in directives]
    assert names[:5] == ["user", "worker_processes", "pid", "events", "worker_connections"]
    passed = next(item for item in directives if item.arguments == ("http://127.0.0.1:9000/v1/",))
    assert passed.blocks == (("http",), ("server",), ("location", "/api/"))
    assert nginx_config.first_value(directives, "pid") == "/run/nginx.pid"


def test_servers_are_what_requests_are_passed_to() -> None:
    found = {(item.address, item.group) for item in nginx_config.servers(configuration())}
    assert found == {
        ("10.0.0.1:8000", "app"),
        ("/run/app.sock", "app"),
        ("127.0.0.1:9000", "127.0.0.1:9000"),
        ("/run/php/fpm.sock", "/run/php/fpm.sock"),
        ("/run/other.sock", "/run/other.sock"),
        ("[::1]:443", "[::1]:443"),
    }


def test_logs_limit_and_proxy_protocol() -> None:
    directives = configuration()
    assert nginx_config.log_paths(directives, "access_log") == ["/var/log/nginx/access.log"]
    assert nginx_config.log_paths(directives, "error_log") == ["/var/log/nginx/error.log"]
    assert nginx_config.connection_limit(directives, 4) == 4 * 768
    assert nginx_config.connection_limit([], 4) == 512
    assert nginx_config.speaks_proxy_protocol(directives)


def test_includes_are_read_once_and_circles_end() -> None:
    files = {
        "/etc/nginx/nginx.conf": "include a.conf; http { include a.conf; }",
        "/etc/nginx/a.conf": "x 1; include nginx.conf;",
    }
    directives, read, unread = nginx_config.read_all(
        "/etc/nginx/nginx.conf", "/etc/nginx", files.get, lambda pattern: [pattern]
    )
    assert read == ["/etc/nginx/nginx.conf", "/etc/nginx/a.conf"]
    assert unread == []
    assert [item.name for item in directives].count("x") == 1


def test_the_error_log_is_classed_and_only_the_last_minute_counts() -> None:
    lines = nginx_logs.error_lines(ERROR_LOG, 0, NOW)
    assert [(item.name, item.path, item.upstream) for item in lines] == [
        ("limited", "/health", ""),
        ("upstream-refused", "/api/items", "127.0.0.1:8000"),
        ("upstream-timeout", "/api/slow", "[::1]:8001"),
        ("upstream-refused", "/admin", "/run/php/fpm.sock"),
        ("connections", "", ""),
        ("cache-full", "/p", "127.0.0.1:8000"),
        ("upstream-refused", "/api/lead", "backend"),
    ]


@pytest.mark.parametrize("hours", [-5, 0, 3, 5.75])
def test_the_clock_of_the_error_log_is_told_from_its_last_change(hours: float) -> None:
    written = timegm((2026, 11, 21, 4, 11, 29, 0, 0, 0)) - hours * 3600
    assert nginx_logs.zone_offset(ERROR_LOG, written + 2) == hours * 3600
    assert nginx_logs.zone_offset("", 0) is None


def test_the_access_log_counts_visitors_and_not_us() -> None:
    counted = nginx_logs.traffic(ACCESS_LOG, NOW, "opsctl")
    assert (counted.requests, counted.errors, counted.limited, counted.clients) == (5, 2, 1, 4)
    assert counted.newest_errors == 2
    assert counted.unparsed == 0
    assert len(counted.lines) == 7, "our own requests still prove that something works"


def test_a_later_success_ends_an_error() -> None:
    counted = nginx_logs.traffic(ACCESS_LOG, NOW, "opsctl")
    lines = [item for item in nginx_logs.error_lines(ERROR_LOG, 0, NOW) if item.path.startswith("/api")]
    grouped = {item.name: item for item in nginx_logs.grouped(lines[:2], counted.lines)}
    assert grouped["upstream-refused"].followed_by_success is True
    assert grouped["upstream-timeout"].followed_by_success is False
    assert nginx_logs.grouped(lines[:1], None)[0].followed_by_success is None


@pytest.mark.parametrize(
    ("status", "over"), [(200, True), (404, True), (499, False), (429, False), (502, False)]
)
def test_a_client_that_went_away_was_not_answered(status: int, over: bool) -> None:
    lines = [item for item in nginx_logs.error_lines(ERROR_LOG, 0, NOW) if item.path == "/api/slow"]
    later = nginx_logs.AccessLine(NOW - 1, "10.0.0.1", "/api/slow", status, "curl")
    assert nginx_logs.grouped(lines, [later])[0].followed_by_success is over


def test_the_status_page() -> None:
    page = "Active connections: 3 \nserver accepts handled requests\n 5 5 4 \n"
    page += "Reading: 0 Writing: 1 Waiting: 2 \n"
    values = nginx_logs.status_page(page)
    assert (values["connections_active"], values["requests"], values["connections_waiting"]) == (3, 4, 2)
    assert nginx_logs.status_page("<html>404</html>") == {}


@pytest.mark.parametrize(
    ("text", "valid"),
    [
        (
            "nginx: the configuration file /x syntax is ok\nnginx: configuration file /x test is successful",
            True,
        ),
        (
            'nginx: [alert] could not open error log file: open() "/l" failed (13: Permission denied)\n'
            "nginx: the configuration file /x syntax is ok\n"
            'nginx: [emerg] open() "/run/nginx.pid" failed (13: Permission denied)',
            True,
        ),
        (
            "nginx: the configuration file /x syntax is ok\n"
            'nginx: [emerg] open() "/no/a.log" failed (2: No such file or directory)',
            False,
        ),
        ('nginx: [emerg] unknown directive "lisen" in /x:3', False),
        ('nginx: [emerg] cannot load certificate key "/k": (13: Permission denied)', None),
        ("", None),
    ],
)
def test_the_verdict_of_nginx_without_the_right_to_write(text: str, valid: bool | None) -> None:
    assert nginx_logs.config_verdict(text)[0] is valid


def test_process_texts() -> None:
    stat = "12 (nginx: a) b) S 7 1 1 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 4711 1 2"
    assert nginx_process.stat_fields(stat) == (7, 4711)
    assert nginx_process.stat_fields("") is None
    assert nginx_process.prefix_of("nginx: master process nginx -p /srv/x -c /srv/x/n.conf") == "/srv/x"


def test_rights_are_read_from_mode_bits(tmp_path: Path) -> None:
    file = tmp_path / "page"
    file.write_text("x")
    file.chmod(0o640)
    stranger = 54321
    assert nginx_process.may_access(file, 0, (), 4, "root") == ""
    assert "may not be" in nginx_process.may_access(file, stranger, (), 4, "a stranger")
    assert nginx_process.may_access(tmp_path / "nothing", stranger, (), 4, "a stranger")


@given(st.text(max_size=400))
def test_parsers_never_raise(text: str) -> None:
    directives = list(nginx_config.parse(text))
    nginx_config.servers(directives)
    nginx_config.connection_limit(directives, 2)
    nginx_config.log_paths(directives, "access_log")
    nginx_logs.config_verdict(text)
    nginx_logs.status_page(text)
    nginx_logs.traffic(text, NOW, "opsctl")
    nginx_logs.zone_offset(text, NOW)
    nginx_process.stat_fields(text)


@given(
    st.lists(
        st.sampled_from(
            [
                "server",
                "upstream",
                "a",
                "proxy_pass",
                "http://a/",
                "$x",
                "{",
                "}",
                ";",
                '"',
                "'",
                "\\",
                "#",
                "\n",
                " ",
            ]
        ),
        max_size=60,
    )
)
def test_configuration_of_any_shape_is_read(words: list[str]) -> None:
    nginx_config.servers(list(nginx_config.parse(" ".join(words))))


@given(st.integers(0, 99), st.integers(0, 99), st.integers(0, 9999), st.text(max_size=80))
def test_log_lines_of_any_shape_are_read(day: int, hour: int, year: int, words: str) -> None:
    stamp = f"{year:04}/{day:02}/{day:02} {hour:02}:{hour:02}:{hour:02}"
    for item in nginx_logs.error_lines(f"{stamp} [error] 1#1: *1 {words} limiting requests", 0, -1e12):
        assert len(item.text) <= 300
    line = f'1.1.1.1 - - [{day:02}/Nov/{year:04}:{hour:02}:00:00 +0000] "GET / HTTP/1.1" 200 1 "-" "{words}"'
    nginx_logs.traffic(line, NOW, "opsctl")


def test_an_upstream_that_listens_on_a_later_address_of_its_name_answers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = int(server.getsockname()[1])
        # ::1 first, as most machines order localhost; this one may have it in another order or not at all
        first = (int(socket.AF_INET), ("127.0.0.9", port))
        found = [first, (int(socket.AF_INET), ("127.0.0.1", port))]
        monkeypatch.setattr(nginx, "lookup", lambda *_: found)
        assert nginx._connect(f"localhost:{port}") == "ok"
        monkeypatch.setattr(nginx, "lookup", lambda *_: [first])
        assert nginx._connect(f"localhost:{port}") == "refused"


def test_a_pipe_as_log_holds_nobody_up(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "access.log")
    (tmp_path / "nginx.conf").write_text("events {}\n")
    spec = NginxSpec(config="nginx.conf", listen="127.0.0.1:1", access_log="access.log", error_log="none.log")
    facts = nginx.probe(context_for("nginx", spec, tmp_path))
    problem = facts.problem("access_log")
    assert problem is not None
    assert (problem.code, "not a file" in problem.message) == ("unsupported", True)


SERVERS = """
upstream app { server 10.0.0.1:8000; server 10.0.0.2:8000 backup; server unix:/run/app.sock down; }
server {
    location / { proxy_pass http://app; }
    location /a { proxy_pass http://127.0.0.1:9000; }
    location /b { proxy_pass http://localhost:9001; }
    location /c { proxy_pass http://products:7000; }
    location /d { fastcgi_pass unix:/run/fpm.sock; }
}
"""


@pytest.mark.parametrize(
    ("address", "may"),
    [
        ("app", True),
        ("10.0.0.2:8000", True),
        ("/run/app.sock", True),
        ("127.0.0.1:9000", True),
        ("127.0.0.1:9001", True),
        ("[::1]:9001", True),
        ("172.18.0.4:7000", True),
        ("/run/fpm.sock", True),
        ("127.0.0.1:9002", False),
        ("10.0.0.9:8000", False),
        ("172.18.0.4:9001", False),
        ("other", False),
        ("/run/old.sock", False),
    ],
)
def test_what_the_configuration_may_pass_requests_to(address: str, may: bool) -> None:
    directives = list(nginx_config.parse(SERVERS))
    assert nginx_config.may_pass_to(directives, address) is may
    anything = list(nginx_config.parse(SERVERS + "location /e { proxy_pass http://$where; }"))
    assert nginx_config.may_pass_to(anything, address)


@given(st.text(max_size=200), st.text(max_size=40))
def test_any_configuration_can_be_asked_for_any_address(text: str, address: str) -> None:
    assert nginx_config.may_pass_to(nginx_config.parse(text), address) in (True, False)


STAMP = "2026/11/21 04:11:20 [error] 7#7: *1 "
ABOUT = ', client: 127.0.0.1, server: _, request: "GET {} HTTP/1.1", host: "shop.example:8080"'


@pytest.mark.parametrize(
    ("words", "status", "file"),
    [
        ('directory index of "/srv/catalog/" is forbidden', "403", "/srv/catalog/"),
        ('open() "/srv/a.html" failed (13: Permission denied)', "403", "/srv/a.html"),
        ('"/srv/index.html" is forbidden (13: Permission denied)', "403", "/srv/index.html"),
        ("access forbidden by rule", "403", ""),
        ('open() "/srv/a.html" failed (2: No such file or directory)', "404", "/srv/a.html"),
        ('"/srv/index.html" is not found (2: No such file or directory)', "404", "/srv/index.html"),
        (
            'rewrite or internal redirection cycle while internally redirecting to "/index.html"',
            "500",
            "/index.html",
        ),
    ],
)
def test_why_nginx_refused_a_page(words: str, status: str, file: str) -> None:
    log = (STAMP + words + ABOUT.format("/a?x=1") + "\n") * 2
    (found,) = nginx_logs.refusals(
        log, 0, NOW, lambda host, path: (host, path) == ("shop.example:8080", "/a")
    )
    assert (found.status, found.file, found.reason, found.count) == (status, file, words, 2)
    assert nginx_logs.refusals(log, 0, NOW, lambda _host, _path: False) == []
    assert nginx_logs.refusals(log, 0, NOW + 3600, lambda _host, _path: True) == []


@given(st.text(max_size=400))
def test_any_log_has_bounded_refusals(text: str) -> None:
    found = nginx_logs.refusals((STAMP + text + "\n") * 3, 0, NOW, lambda _host, _path: True, most=2)
    assert len(found) <= 2
    assert all(len(item.reason) <= 300 for item in found)


def test_lines_about_servers_that_are_gone_have_a_class_of_their_own() -> None:
    lines = nginx_logs.error_lines(ERROR_LOG, 0, NOW)
    gone = nginx_logs.without_gone(lines, lambda line: line.upstream == "127.0.0.1:8000")
    assert {item.name for item in gone if item.upstream == "127.0.0.1:8000"} == {"upstream-gone"}
    assert [item.name for item in gone if not item.upstream] == [
        item.name for item in lines if not item.upstream
    ]


@contextmanager
def answering(server: str) -> Iterator[str]:
    """Serve as another program would, under a Server header; yield its address."""

    class Stranger(BaseHTTPRequestHandler):
        def do_TRACE(self) -> None:
            self.send_response_only(501)
            if server:
                self.send_header("Server", server)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with served(ThreadingHTTPServer(("127.0.0.1", 0), Stranger)) as port:
        yield f"127.0.0.1:{port}"


def looked_at(listen: str, folder: Path) -> NginxFacts:
    (folder / "nginx.conf").write_text("events {}\n")
    spec = NginxSpec(config="nginx.conf", listen=listen, pid_file="none.pid")
    return nginx.probe(context_for("nginx", spec, folder, 60.0))


def test_another_program_on_its_port_is_not_nginx(tmp_path: Path) -> None:
    with answering("SimpleHTTP/0.6 Python/3.11.7") as listen:
        facts = looked_at(listen, tmp_path)
    assert (facts.up, facts.connection.state) == (False, "protocol")
    assert "something else" in facts.connection.detail
    assert "SimpleHTTP/0.6 Python/3.11.7" in facts.connection.detail
    (found,) = find_check("nginx/down").function(facts, judging("nginx/down"))
    assert found.status is Status.CRITICAL
    assert "SimpleHTTP" in found.summary
    assert found.remediation is not None
    assert found.remediation.text.startswith("Another program holds the port")


@pytest.mark.parametrize("server", ["nginx", "nginx/1.22.1", "openresty/1.25.3.1", "Angie"])
def test_who_calls_itself_nginx_is_nginx(server: str) -> None:
    assert stranger(server, "", False) == ""
    assert stranger(server, "python3", False) == ""


@pytest.mark.parametrize(
    ("server", "holder", "master", "named"),
    [
        ("SimpleHTTP/0.6", "", False, True),
        ("SimpleHTTP/0.6", "", True, False),  # a header of its own, and nginx is seen to run
        ("SimpleHTTP/0.6", "nginx", False, False),
        ("SimpleHTTP/0.6", "python3", True, True),
        ("", "node", False, True),
        ("", "node", True, True),
        ("", "", False, False),
        ("", "docker-proxy", False, False),  # it passes on to whom it is not said
        ("shop", "docker-proxy", False, False),
        ("shop", "haproxy", True, False),
    ],
)
def test_who_answers_in_its_place(server: str, holder: str, master: bool, named: bool) -> None:
    said = stranger(server, holder, master)
    assert bool(said) is named
    assert not named or (holder or server) in said


def judging(slug: str) -> CheckContext:
    target = Target(kind="nginx", service="x", address="")
    return CheckContext(find_check(slug), target, Limits(), datetime(2026, 11, 21, tzinfo=UTC))


@pytest.mark.parametrize(("count", "status"), [(1, Status.WARNING), (2, Status.CRITICAL)])
def test_one_request_that_waited_in_vain_is_a_warning(count: int, status: Status) -> None:
    late = LogErrors(name="upstream-timeout", count=count, last_at=1.0, upstreams=["127.0.0.1:8000"])
    check = find_check("nginx/upstream-timeout")
    facts = NginxFacts(up=True, connection=Connection(state="ok"), errors=[late])
    (found,) = check.function(facts, judging("nginx/upstream-timeout"))
    assert found.status is status
