"""--web.config.file: TLS, passwords and headers, as the other exporters read it."""

from __future__ import annotations

import base64
import contextlib
import os
import ssl
import subprocess
import sys
from pathlib import Path

import bcrypt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporters import guard as guarding
from exporters.guard import FileGuard
from exporters.requests import Answer, Request, line
from exporters.web_config import WebConfig, parse
from opsctl.errors import UserError
from tests.servers.base import wait_until
from tests.unit.exporter import LONG, Client, ask, serving

PASSWORD = "correct-horse-battery"
HASH = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode()


def fine(_request: Request) -> Answer:
    return line(200, "fine")


def login(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def config(folder: Path, text: str) -> Path:
    path = folder / "web.yml"
    path.write_text(text)
    return path


def certificate(folder: Path) -> None:
    """Write cert.pem and key.pem for 127.0.0.1."""
    names = ["-keyout", "key.pem", "-out", "cert.pem", "-subj", "/CN=localhost"]
    names += ["-addext", "subjectAltName=IP:127.0.0.1"]
    kind = ["-x509", "-days", "2", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    subprocess.run(["openssl", "req", *kind, *names], cwd=folder, check=True, capture_output=True)


def test_only_who_knows_the_password_is_answered(tmp_path: Path) -> None:
    guard = FileGuard(config(tmp_path, f"basic_auth_users: {{alice: '{HASH}'}}\n"))
    assert guard.protected
    with serving(fine, guard) as server, Client(server.port) as client:
        for header in ("", "Bearer x", "Basic !!", "Basic", login("alice", "wrong"), login("bob", PASSWORD)):
            status, headers, body = client.ask("/", authorization=header)
            assert status == 401
            assert headers["www-authenticate"].startswith("Basic ")
            assert body == b"Unauthorized\n"
        assert client.ask("/", authorization=login("alice", "x" * 100))[0] == 401
        for _ in range(3):
            assert client.ask("/", authorization=login("alice", PASSWORD))[0] == 200
        assert client.ask("/-/healthy")[0] == 401


def test_tls_and_headers(tmp_path: Path) -> None:
    certificate(tmp_path)
    text = "tls_server_config: {cert_file: cert.pem, key_file: key.pem, min_version: TLS13}\n"
    text += "http_server_config: {http2: false, headers: {X-Frame-Options: deny}}\n"
    guard = FileGuard(config(tmp_path, text))
    assert not guard.protected
    trusting = ssl.create_default_context(cafile=str(tmp_path / "cert.pem"))
    with serving(fine, guard) as server:
        with Client(
            server.port, lambda raw: trusting.wrap_socket(raw, server_hostname="127.0.0.1")
        ) as client:
            for _ in range(3):
                status, headers, body = client.ask("/")
                assert (status, body, headers["x-frame-options"]) == (200, b"fine\n", "deny")
            client.send(b"".join(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n" for _ in range(5)))
            assert [client.answer()[0] for _ in range(5)] == [200] * 5
        with Client(server.port) as plain:
            plain.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n" + b" " * 300)
            with contextlib.suppress(ConnectionError):
                assert b"fine" not in plain.file.read()


def test_a_client_without_a_certificate_is_kept_out_where_one_is_asked_for(tmp_path: Path) -> None:
    certificate(tmp_path)
    text = "tls_server_config: {cert_file: cert.pem, key_file: key.pem, client_ca_file: cert.pem, "
    text += "client_auth_type: RequireAndVerifyClientCert}\n"
    guard = FileGuard(config(tmp_path, text))
    assert guard.protected
    context = ssl.create_default_context(cafile=str(tmp_path / "cert.pem"))
    with serving(fine, guard) as server:
        assert status(server.port, context) == 0
        context.load_cert_chain(tmp_path / "cert.pem", tmp_path / "key.pem")
        assert status(server.port, context) == 200


def status(port: int, context: ssl.SSLContext) -> int:
    """Return the status of an answer; 0 where there is none."""
    try:
        with Client(port, lambda raw: context.wrap_socket(raw, server_hostname="127.0.0.1")) as client:
            return client.ask("/")[0]
    except OSError:
        return 0


def test_a_changed_file_counts_and_a_broken_one_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(guarding, "LOOK_AGAIN_SECONDS", 0.0)
    path = config(tmp_path, f"basic_auth_users: {{alice: '{HASH}'}}\n")
    with serving(fine, FileGuard(path)) as server:

        def of(user: str) -> int:
            return ask(server.port, "/", authorization=login(user, PASSWORD))[0]

        assert (of("alice"), of("robert")) == (200, 401)
        path.write_text(f"basic_auth_users: {{robert: '{HASH}'}}\n")
        wait_until(lambda: of("robert") == 200, "the new user", LONG)
        assert of("alice") == 401
        path.write_text("basic_auth_users: {robert: nonsense}\n")
        os.utime(path, (1, 1))
        assert [of("robert") for _ in range(3)] == [200] * 3
        assert capfd.readouterr().err.count("stays as it was") == 1
        path.write_text("")  # an editor is about to write it: not a moment without passwords
        os.utime(path, (2, 2))
        assert [of("robert"), of("alice"), ask(server.port, "/")[0]] == [200, 401, 401]
    assert "is empty" in capfd.readouterr().err


def test_what_is_written_while_the_file_is_read_is_seen_the_next_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guarding, "LOOK_AGAIN_SECONDS", 0.0)
    path = config(tmp_path, f"basic_auth_users: {{alice: '{HASH}'}}\n")
    real = guarding.Passwords

    def slow(users: dict[str, str]) -> guarding.Passwords:
        if "alice" in users:
            config(tmp_path, f"basic_auth_users: {{robert: '{HASH}'}}\n")
        return real(users)

    monkeypatch.setattr(guarding, "Passwords", slow)
    with serving(fine, FileGuard(path)) as server:
        assert ask(server.port, "/", authorization=login("alice", PASSWORD))[0] == 401
        assert ask(server.port, "/", authorization=login("robert", PASSWORD))[0] == 200


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: [", "no YAML"),
        ("- a", "Expected `object`"),
        ("basic_auth_user: {}", "basic_auth_users is"),
        ("tls_server_config: {cert_file: a}", "needs cert_file and key_file"),
        ("tls_server_config: {cert_file: a, key_file: b, cipher_suites: [x]}", "cipher_suites is not known"),
        ("tls_server_config: {cert_file: a, key_file: b, min_version: TLS10}", "none of those allowed"),
        ("tls_server_config: {cert_file: a, key_file: b, min_version: TLS13, max_version: TLS12}", "above"),
        (
            "tls_server_config: {cert_file: a, key_file: b, client_auth_type: RequireAndVerifyClientCert}",
            "ca",
        ),
        (
            "tls_server_config: {cert_file: a, key_file: b, client_auth_type: RequireAnyClientCert}",
            "not done",
        ),
        ("tls_server_config: {cert_file: a, key_file: b, client_ca_file: c}", "client_auth_type"),
        ("tls_server_config: {cert_file: nowhere, key_file: b}", "cannot read"),
        ("http_server_config: {headers: {Set-Cookie: a}}", "only Strict-Transport-Security"),
        ("basic_auth_users: {a: plain-text-password}", "bcrypt hash"),
    ],
)
def test_what_is_wrong_is_said_and_no_secret_with_it(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(UserError) as caught:
        FileGuard(config(tmp_path, text))
    assert words in str(caught.value)
    assert "plain-text-password" not in str(caught.value)


def test_a_file_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot read"):
        FileGuard(tmp_path / "nowhere.yml")


def test_a_certificate_that_does_not_fit_its_key_is_said(tmp_path: Path) -> None:
    certificate(tmp_path)
    (tmp_path / "first.pem").write_bytes((tmp_path / "cert.pem").read_bytes())
    certificate(tmp_path)
    path = config(tmp_path, "tls_server_config: {cert_file: first.pem, key_file: key.pem}\n")
    with pytest.raises(UserError, match=r"first\.pem.*key\.pem"):
        FileGuard(path)


@given(st.one_of(st.binary(max_size=80), st.text(max_size=80).map(str.encode)))
def test_reading_a_file_fails_with_nothing_but_a_user_error(data: bytes) -> None:
    with contextlib.suppress(UserError):
        assert isinstance(parse(data, "web.yml"), WebConfig)


def test_bcrypt_is_imported_only_where_there_are_users(tmp_path: Path) -> None:
    path = config(tmp_path, "http_server_config: {http2: false}\n")
    program = (
        "import sys\nfrom pathlib import Path\n"
        "import exporters.command\nfrom exporters.guard import FileGuard\n"
        f"FileGuard(Path({str(path)!r}))\nassert 'bcrypt' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)
