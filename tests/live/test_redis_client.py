"""The client of the Redis probe on real servers: TCP, TLS, Unix sockets, users, and what it leaves."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from opsctl.probes.connection import connection_state
from opsctl.probes.redis_client import RedisClient
from opsctl.probes.redis_parsing import info_fields
from opsctl.probes.redis_protocol import AuthenticationError, ErrorReply, NoConnection, NoPermissionError
from tests.servers.base import free_port
from tests.servers.certificates import Authority
from tests.servers.redis import RedisServer

pytestmark = pytest.mark.live


@contextlib.contextmanager
def client_of(url: str, password: str | None = None) -> Iterator[RedisClient]:
    client = RedisClient(url, password, 10.0)
    try:
        yield client
    finally:
        client.close()


def test_every_kind_of_answer() -> None:
    with RedisServer() as server, client_of(server.url) as client:
        client.ask([("RPUSH", "list", "ä", ""), ("SET", "text", "a\r\nb")])
        found = client.ask([("LRANGE", "list", 0, -1), ("GET", "text"), ("GET", "none"), ("LLEN", "list")])
        assert found == [["ä", ""], "a\r\nb", None, 2]
        (wrong,) = client.ask([("LLEN", "text")])
        assert isinstance(wrong, ErrorReply)
        assert wrong.words.startswith("WRONGTYPE ")
        large = "x" * 1_000_000
        client.command("SET", "large", large)
        assert client.ask([("GET", "large"), ("PING",)]) == [large, "PONG"]


def test_one_connection_for_all_questions() -> None:
    with RedisServer() as server, client_of(server.url) as client:
        for _ in range(50):
            client.command("PING")
        assert info_fields(client.command("INFO"))["connected_clients"] == 1
        with server.client() as other:
            first = other.info("stats")["total_connections_received"]
            client.command("PING")
            assert other.info("stats")["total_connections_received"] == first
            other.client_kill_filter(_type="normal", skipme=True)
            assert client.command("PING") == "PONG"
            assert other.info("stats")["total_connections_received"] == first + 1


def test_a_unix_socket() -> None:
    server = RedisServer()
    path = server.folder / "redis.sock"
    server.directives["unixsocket"] = str(path)
    with server, client_of(f"unix://{path}") as client:
        assert client.command("PING") == "PONG"


def test_passwords_and_users() -> None:
    with RedisServer(password="right-1") as server:
        with client_of(server.url, "right-1") as client:
            assert client.command("PING") == "PONG"
            client.command("ACL", "SETUSER", "watcher", "on", ">watch-2", "+ping")
        with client_of(server.url.replace("//", "//watcher@"), "watch-2") as client:
            assert client.command("PING") == "PONG"
            with pytest.raises(NoPermissionError):
                client.command("INFO")
        for url, password in (
            (server.url, None),
            (server.url, "wrong"),
            (server.url.replace("//", "//no@"), "x"),
        ):
            with client_of(url, password) as client, pytest.raises(AuthenticationError) as caught:
                client.command("PING")
            assert "wrong" not in str(caught.value)
    with (
        RedisServer() as server,
        client_of(server.url, "needless") as client,
        pytest.raises(AuthenticationError),
    ):
        client.command("PING")


def test_tls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    authority = Authority(tmp_path)
    pair, port = authority.good(), free_port()
    server = RedisServer(tls_port=port, tls_auth_clients="no")
    for option, file in (("cert", pair.certificate), ("key", pair.key), ("ca-cert", authority.file)):
        copy = server.data / file.name
        copy.write_bytes(file.read_bytes())
        server._own(copy)
        server.directives[f"tls-{option}-file"] = str(copy)
    with server:
        with client_of(f"rediss://127.0.0.1:{port}") as client, pytest.raises(NoConnection) as caught:
            client.command("PING")  # nobody trusts our authority
        assert connection_state(caught.value) == "tls"
        monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
        with client_of(f"rediss://localhost:{port}") as client:
            accepted = [info_fields(client.command("INFO"))["total_connections_received"] for _ in range(20)]
            assert len(set(accepted)) == 1
