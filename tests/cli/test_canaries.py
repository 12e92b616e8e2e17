"""Secrets never leave: planted ones appear in no command, no format, no snapshot and no error."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.running import opsctl

WORD = "canary"
PASSWORD = f"{WORD}-pa55/w@rd"
TOKEN = f"987654321:{WORD.upper()}abcdefghijklmnopqrstuvwxyz012"
ENV = f"""DB_PASSWORD={PASSWORD}
DATABASE_URL=postgresql://shop:{WORD}-url@127.0.0.1:1/shop
BOT_TOKEN={TOKEN}
JWT_SECRET={WORD}-jwt-5678
ODD_NAME={WORD}-odd-9012
"""
LOG = f"""2026-11-21 04:00:00 ERROR connection to postgresql://shop:{WORD}-log@db:5432/shop refused
2026-11-21 04:00:01 ERROR login failed: password={WORD}-log2 for shop
2026-11-21 04:00:02 ERROR Authorization: Bearer {WORD}.abcdefgh.token
2026-11-21 04:00:03 ERROR bad token {TOKEN}
2026-11-21 04:00:04 ERROR odd is {WORD}-odd-9012
"""


@pytest.fixture
def telltale() -> Iterator[int]:
    """Serve HTTP answers whose body and headers repeat secrets; gives the port."""
    server = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        body = f'{{"status": "down", "error": "password={WORD}-body, {PASSWORD}, {TOKEN}"}}'.encode()
        head = f"HTTP/1.1 503 Unavailable\r\nX-Token: {WORD}-header\r\n".encode()
        head += f"Content-Length: {len(body)}\r\n\r\n".encode()
        while True:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            with connection:
                connection.settimeout(2)
                try:
                    connection.recv(4096)
                    connection.sendall(head + body)
                except OSError:
                    continue

    threading.Thread(target=serve, daemon=True).start()
    yield int(server.getsockname()[1])
    server.close()


@pytest.fixture
def folder(tmp_path: Path, telltale: int) -> Path:
    """Return a folder with a stack file whose parts are full of secrets."""
    (tmp_path / ".env").write_text(ENV)
    (tmp_path / "app.log").write_text(LOG)
    (tmp_path / "secret.txt").write_text(f"{WORD}-file-3456\n")
    (tmp_path / "opsctl.yml").write_text(
        f"""name: shop
services:
  db: {{postgres: {{dsn: "postgresql://shop@127.0.0.1:1/shop", password_env: DATABASE_URL}}}}
  cache: {{redis: {{url: "redis://127.0.0.1:1/0", password_env: DB_PASSWORD}}}}
  queue: {{redis: {{url: "redis://127.0.0.1:1/1", password_file: secret.txt}}}}
  api:
    depends_on: [db, cache]
    http:
      - "http://127.0.0.1:{telltale}/health"
      - "http://127.0.0.1:{telltale}/x?token={WORD}-query-77"
    logs: {{path: app.log}}
    env: {{file: .env, required: [MISSING], secret: [ODD_NAME]}}
  bot: {{telegram: {{token_env: BOT_TOKEN, api_url: "http://127.0.0.1:1"}}}}
"""
    )
    return tmp_path


def assert_silent(text: str) -> None:
    at = text.lower().find(WORD)
    assert at < 0, f"…{text[max(at - 120, 0) : at + 60]}…"


@pytest.mark.parametrize("output", ["text", "json", "yaml", "markdown", "junit", "nagios"])
@pytest.mark.parametrize("command", ["diagnose", "health"])
def test_no_format_of_a_look_shows_one(folder: Path, command: str, output: str) -> None:
    ended = opsctl(command, "--output", output, "--timeout", "5", cwd=folder)
    assert "postgres/down" in ended.stdout
    assert_silent(ended.stdout + ended.stderr)


def test_no_snapshot_holds_one_and_no_replay_shows_one(folder: Path) -> None:
    ended = opsctl("snapshot", "-o", "s.json", "--timeout", "5", cwd=folder)
    assert ended.code == 0, ended.stderr
    assert_silent((folder / "s.json").read_text())
    assert_silent(ended.stdout + ended.stderr)
    assert_silent(opsctl("diagnose", "--from", "s.json", "--output", "json", cwd=folder).stdout)
    assert_silent(opsctl("diff", "s.json", "s.json", cwd=folder).stdout)


def test_the_shown_id_of_a_url_that_holds_a_known_secret_can_be_verified(tmp_path: Path) -> None:
    (tmp_path / "app.env").write_text(f"FEED_KEY={WORD}77\n")
    (tmp_path / "opsctl.yml").write_text(
        "name: feed\nservices:\n  app:\n    env: app.env\n    http:\n"
        f"      - http://127.0.0.1:1/a/{WORD}77/x\n      - http://127.0.0.1:1/b/\n"
    )
    shown = opsctl("stack", "show", "opsctl.yml", cwd=tmp_path)
    assert_silent(shown.stdout)
    target = next(word for word in shown.stdout.split() if word.endswith("/a/[redacted]/x"))
    verified = opsctl("verify", "http/refused", "--target", target, "--timeout", "5", cwd=tmp_path)
    assert verified.code == 2, verified.stderr
    assert "/b/" not in verified.stdout
    assert_silent(verified.stdout + verified.stderr)
    refused = opsctl("verify", "http/refused", "--target", "none", cwd=tmp_path)
    assert refused.code == 3
    assert target in refused.stderr
    assert_silent(refused.stderr)


@pytest.mark.parametrize(
    "arguments",
    [
        ("stack", "show"),
        ("stack", "show", "--output", "json"),
        ("stack", "validate"),
        ("stack", "validate", ".env"),
        ("stack", "validate", "./app.log"),
        ("diagnose", "--stack", "./.env"),
        ("diagnose", "--from", ".env"),
        ("diagnose", "--from", "app.log"),
        ("verify", "http/status", "--debug", "--timeout", "5"),
        ("verify", "telegram/unreachable", "--timeout", "5"),
        ("diagnose", "--debug", "--timeout", "5"),
    ],
)
def test_no_other_command_shows_one(folder: Path, arguments: tuple[str, ...]) -> None:
    ended = opsctl(*arguments, cwd=folder)
    assert_silent(ended.stdout + ended.stderr)
