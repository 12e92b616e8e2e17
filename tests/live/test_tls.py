"""TLS: each fault of a certificate really served is the first root cause, and gone when undone."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from opsctl.model import Diagnosis, Status
from tests.live.web import crashed, failing, first, found, look
from tests.servers.base import free_port
from tests.servers.certificates import NAME, Authority, Pair, TlsServer

pytestmark = pytest.mark.live


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


def examine(authority: Authority, address: str, name: str = NAME, **more: Any) -> Diagnosis:
    spec = {"name": name, "connect": address, "ca_file": str(authority.file), **more}
    return look({"nginx": {"tls": [spec]}}, "tls")


def assert_healthy(authority: Authority, address: str, name: str = NAME, **more: Any) -> None:
    diagnosis = examine(authority, address, name, **more)
    assert failing(diagnosis) == []
    assert crashed(diagnosis) == []
    assert diagnosis.status is Status.OK
    assert diagnosis.coverage.unknown == 0


@pytest.mark.parametrize("name", [NAME, "localhost", "127.0.0.1"])
def test_a_healthy_certificate_yields_no_finding(authority: Authority, name: str) -> None:
    pair = authority.good()
    with TlsServer(pair) as server:
        for _ in range(5):
            assert_healthy(
                authority,
                server.address,
                name,
                certificate_file=str(pair.certificate),
                key_file=str(pair.key),
            )


@pytest.mark.parametrize(
    ("kind", "slug", "words"),
    [
        ("expired", "tls/expired", "expired 2"),
        ("not_yet_valid", "tls/expired", "not valid before"),
        ("soon", "tls/expiring", "ends in 5 d"),
        ("wrong_name", "tls/name-mismatch", "is for other.example"),
    ],
)
def test_a_bad_certificate(authority: Authority, kind: str, slug: str, words: str) -> None:
    pair: Pair = getattr(authority, kind)()
    with TlsServer(pair) as server:
        diagnosis = examine(authority, server.address)
        assert first(diagnosis) == f"{slug}:nginx"
        assert len(failing(diagnosis)) == 1
        assert words in found(diagnosis, slug).summary
        server.load(authority.good())
        assert_healthy(authority, server.address)


def test_an_authority_that_nobody_knows(authority: Authority, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    other = Authority(tmp_path / "other", "somebody else")
    with TlsServer(authority.good()) as server:
        diagnosis = examine(other, server.address)
        assert first(diagnosis) == "tls/untrusted:nginx"
        assert_healthy(authority, server.address)


def test_expired_and_for_another_name_are_two_causes(authority: Authority) -> None:
    with TlsServer(authority.issue("both", names=["other.example"], days_left=-1)) as server:
        diagnosis = examine(authority, server.address)
    assert {cause.finding.id for cause in diagnosis.root_causes} == {"tls/expired", "tls/name-mismatch"}


def test_a_renewed_certificate_that_was_not_loaded(authority: Authority) -> None:
    with TlsServer(authority.expired()) as server:
        renewed = authority.issue("renewed", days_left=90, days_old=0)
        files = {"certificate_file": str(renewed.certificate), "key_file": str(renewed.key)}
        diagnosis = examine(authority, server.address, **files)
        assert first(diagnosis) == "tls/file-newer-than-served:nginx"
        assert [finding.id for finding in diagnosis.root_causes[0].chain] == ["tls/expired"]
        server.load(renewed)
        assert_healthy(authority, server.address, **files)


def test_a_renewed_certificate_before_the_old_one_ends(authority: Authority) -> None:
    with TlsServer(authority.good()) as server:
        renewed = authority.issue("renewed", days_left=90, days_old=0)
        diagnosis = examine(authority, server.address, certificate_file=str(renewed.certificate))
        assert first(diagnosis) == "tls/file-newer-than-served:nginx"


def test_a_key_of_another_certificate(authority: Authority) -> None:
    pair, other = authority.good(), authority.issue("other")
    with TlsServer(pair) as server:
        files = {"certificate_file": str(pair.certificate), "key_file": str(other.key)}
        diagnosis = examine(authority, server.address, **files)
        assert first(diagnosis) == "tls/key-mismatch:nginx"
        assert found(diagnosis, "tls/key-mismatch").status is Status.WARNING
        assert_healthy(authority, server.address, **(files | {"key_file": str(pair.key)}))


def test_a_key_of_another_certificate_keeps_the_server_from_starting(authority: Authority) -> None:
    pair, other = authority.good(), authority.issue("other")
    diagnosis = examine(
        authority,
        f"127.0.0.1:{free_port()}",
        certificate_file=str(pair.certificate),
        key_file=str(other.key),
    )
    assert first(diagnosis) == "tls/key-mismatch:nginx"
    assert found(diagnosis, "tls/key-mismatch").status is Status.CRITICAL
    assert found(diagnosis, "tls/expired").status is Status.BLOCKED


@contextlib.contextmanager
def plain_server() -> Iterator[int]:
    """A server that answers in plain HTTP, whatever is asked."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection, contextlib.suppress(OSError):
                    connection.settimeout(5)
                    connection.recv(1000)
                    connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)
        thread.join(10)


def test_a_port_that_does_not_speak_tls(authority: Authority) -> None:
    with plain_server() as port:
        diagnosis = examine(authority, f"127.0.0.1:{port}")
    assert first(diagnosis) == "tls/handshake-failed:nginx"
    assert found(diagnosis, "tls/expired").status is Status.BLOCKED


def test_a_closed_port_is_no_fault_of_the_certificate(authority: Authority) -> None:
    diagnosis = examine(authority, f"127.0.0.1:{free_port()}")
    assert diagnosis.root_causes == ()
    assert diagnosis.status is Status.UNKNOWN
    assert found(diagnosis, "tls/handshake-failed").status is Status.UNKNOWN
    assert found(diagnosis, "tls/expired").status is Status.BLOCKED


def test_a_port_that_never_answers(authority: Authority) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        diagnosis = examine(authority, f"127.0.0.1:{listener.getsockname()[1]}")
    assert diagnosis.root_causes == ()
    assert found(diagnosis, "tls/handshake-failed").status is Status.UNKNOWN


def test_files_that_cannot_be_read(authority: Authority, tmp_path: Path) -> None:
    pair = authority.good()
    empty = tmp_path / "empty.pem"
    empty.write_text("nothing\n")
    with TlsServer(pair) as server:
        for certificate, key in ((tmp_path / "absent.pem", pair.key), (pair.certificate, empty)):
            diagnosis = examine(
                authority, server.address, certificate_file=str(certificate), key_file=str(key)
            )
            assert failing(diagnosis) == []
            assert found(diagnosis, "tls/key-mismatch").status is Status.UNKNOWN
        diagnosis = examine(authority, server.address, ca_file=str(empty))
        assert found(diagnosis, "tls/untrusted").status is Status.UNKNOWN
        assert found(diagnosis, "tls/name-mismatch").status is Status.OK
