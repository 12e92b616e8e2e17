"""Telegram: each fault of a Bot API on loopback is the first root cause; the token never gets out."""

from __future__ import annotations

import json
import logging
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from opsctl.diagnose import diagnose
from opsctl.engine import collect
from opsctl.model import Diagnosis, Snapshot, Status
from opsctl.stack import reader
from tests.live.web import crashed, failing, first, found
from tests.servers.base import free_port
from tests.servers.telegram import TOKEN, FakeBotApi

pytestmark = pytest.mark.live


@pytest.fixture
def api() -> Iterator[FakeBotApi]:
    with FakeBotApi() as server:
        yield server


class Bot:
    """A stack with one bot whose token stands in an env file."""

    def __init__(self, folder: Path, url: str) -> None:
        self.folder = folder
        self.environment = folder / "bot.env"
        self.environment.write_text(f"TELEGRAM_BOT_TOKEN={TOKEN}\n")
        self.spec: dict[str, Any] = {"token_env": "TELEGRAM_BOT_TOKEN", "api_url": url}
        self.service: dict[str, Any] = {"env": {"file": "bot.env", "production": False}}
        self.more: dict[str, Any] = {}
        self.snapshot: Snapshot | None = None

    def examine(self, **more: Any) -> Diagnosis:
        services = {"bot": {**self.service, "telegram": {**self.spec, **more}}, **self.more}
        text = json.dumps({"name": "live", "flow": "bot", "services": services})
        stack = reader.parse(text.encode(), "live.yml", self.folder)
        self.snapshot = collect(stack, wanted=lambda target: target.kind == "telegram")
        diagnosis = diagnose(self.snapshot)
        everything = msgspec.json.encode([self.snapshot, diagnosis]).decode()
        assert TOKEN not in everything
        assert TOKEN.partition(":")[2] not in everything
        return diagnosis

    def assert_healthy(self, **more: Any) -> None:
        diagnosis = self.examine(**more)
        assert failing(diagnosis) == []
        assert crashed(diagnosis) == []
        assert diagnosis.status is Status.OK
        assert [item for item in diagnosis.findings if item.status is Status.UNKNOWN] == []


@pytest.fixture
def bot(tmp_path: Path, api: FakeBotApi, monkeypatch: pytest.MonkeyPatch) -> Bot:
    for name in ("TELEGRAM_BOT_TOKEN", "BOT_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    return Bot(tmp_path, api.url)


def test_a_healthy_bot_yields_no_finding_and_keeps_its_updates(bot: Bot, api: FakeBotApi) -> None:
    for _ in range(5):
        bot.assert_healthy()
    assert set(api.calls) == {"getMe", "getWebhookInfo"}


def test_a_healthy_webhook_yields_no_finding(bot: Bot, api: FakeBotApi) -> None:
    api.webhook = {"url": "https://bot.example/hook", "pending_update_count": 2}
    bot.assert_healthy(mode="webhook")
    api.failed_delivery("Connection refused", seconds_ago=3600)
    bot.assert_healthy(mode="webhook")
    api.failed_delivery("Connection refused", waiting=0)
    bot.assert_healthy(mode="webhook")


@pytest.mark.parametrize("text", ["", "TELEGRAM_BOT_TOKEN=\n", "OTHER=1\n"])
def test_no_token(bot: Bot, text: str) -> None:
    bot.environment.write_text(text)
    diagnosis = bot.examine()
    assert first(diagnosis) == "telegram/token-missing:bot"
    assert found(diagnosis, "telegram/updates-pending").status is Status.BLOCKED
    bot.environment.write_text(f"TELEGRAM_BOT_TOKEN={TOKEN}\n")
    bot.assert_healthy()


def test_no_token_file(bot: Bot, tmp_path: Path) -> None:
    del bot.spec["token_env"]
    secret = tmp_path / "token"
    assert first(bot.examine(token_file="token")) == "telegram/token-missing:bot"
    secret.write_text(TOKEN + "\n")
    bot.assert_healthy(token_file="token")


def test_the_usual_variable_is_found_without_being_named(bot: Bot) -> None:
    del bot.spec["token_env"]
    bot.environment.write_text(f"BOT_TOKEN={TOKEN}\n")
    bot.assert_healthy()


def test_an_unreadable_environment_is_unknown_not_missing(bot: Bot) -> None:
    bot.service = {"unit": "opsctl-no-such-bot.service"}
    bot.spec["token_env"] = "SOME_TOKEN"
    diagnosis = bot.examine()
    assert found(diagnosis, "telegram/token-missing").status is Status.UNKNOWN


@pytest.mark.parametrize("token", ["changeme", "123456789:AAanother-canary-0123456789abcdefghij", "x" * 500])
def test_a_token_that_telegram_refuses(bot: Bot, token: str) -> None:
    bot.environment.write_text(f"TELEGRAM_BOT_TOKEN={token}\n")
    diagnosis = bot.examine()
    assert first(diagnosis) == "telegram/token-invalid:bot"
    assert token not in str(diagnosis)
    bot.environment.write_text(f"TELEGRAM_BOT_TOKEN={TOKEN}\n")
    bot.assert_healthy()


def test_a_webhook_beside_the_poller(bot: Bot, api: FakeBotApi) -> None:
    api.webhook = {"url": f"https://bot.example/{TOKEN}", "pending_update_count": 4}
    diagnosis = bot.examine()
    assert first(diagnosis) == "telegram/conflict:bot"
    assert "bot.example" in found(diagnosis, "telegram/conflict").summary
    api.webhook = {"url": "", "pending_update_count": 0}
    bot.assert_healthy()


def test_several_replicas_poll(bot: Bot) -> None:
    bot.service["replicas"] = 2
    assert first(bot.examine()) == "telegram/conflict:bot"
    assert failing(bot.examine(mode="sending")) == []


def test_two_services_poll_with_one_token(bot: Bot) -> None:
    bot.more = {"twin": bot.service | {"telegram": dict(bot.spec)}}
    diagnosis = bot.examine()
    assert {cause.finding.id for cause in diagnosis.root_causes} == {"telegram/conflict"}
    bot.more = {"twin": bot.service | {"telegram": {**bot.spec, "mode": "sending"}}}
    bot.assert_healthy()


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("unavailable", "502 Bad Gateway"),
        ("too-many", "429 Too Many Requests"),
        ("hang", "no answer in time"),
        ("dribble", "no answer in time"),
        ("garbage", "200"),
        ("redirect", "302"),
    ],
)
def test_an_api_that_gives_no_good_answer(bot: Bot, api: FakeBotApi, fault: str, words: str) -> None:
    api.fault = fault
    diagnosis = bot.examine()
    assert first(diagnosis) == "telegram/unreachable:bot"
    assert words in found(diagnosis, "telegram/unreachable").summary
    assert found(diagnosis, "telegram/token-invalid").status is Status.OK
    assert "elsewhere" not in "".join(api.calls)
    api.fault = ""
    bot.assert_healthy()


def test_an_api_that_is_not_there(bot: Bot) -> None:
    diagnosis = bot.examine(api_url=f"http://127.0.0.1:{free_port()}")
    assert first(diagnosis) == "telegram/unreachable:bot"
    assert "Connection refused" in found(diagnosis, "telegram/unreachable").summary


def test_an_api_that_hangs_up(bot: Bot) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def hang_up() -> None:
            listener.accept()[0].close()

        thread = threading.Thread(target=hang_up, daemon=True)
        thread.start()
        diagnosis = bot.examine(api_url=f"http://127.0.0.1:{listener.getsockname()[1]}")
        thread.join(10)
    assert first(diagnosis) == "telegram/unreachable:bot"


def test_an_api_that_does_not_speak_tls(bot: Bot, api: FakeBotApi) -> None:
    diagnosis = bot.examine(api_url=api.url.replace("http:", "https:"))
    assert first(diagnosis) == "telegram/unreachable:bot"
    assert "TLS" in found(diagnosis, "telegram/unreachable").summary


def test_a_webhook_that_fails(bot: Bot, api: FakeBotApi) -> None:
    api.failed_delivery("Wrong response from the webhook: 502 Bad Gateway")
    diagnosis = bot.examine(mode="webhook")
    assert first(diagnosis) == "telegram/webhook-failing:bot"
    assert "502 Bad Gateway" in found(diagnosis, "telegram/webhook-failing").summary
    api.webhook = {"url": "", "pending_update_count": 0}
    assert first(bot.examine(mode="webhook")) == "telegram/webhook-failing:bot"


def test_updates_that_nobody_fetches(bot: Bot, api: FakeBotApi) -> None:
    api.webhook["pending_update_count"] = 250
    diagnosis = bot.examine()
    assert first(diagnosis) == "telegram/updates-pending:bot"
    api.webhook["pending_update_count"] = 5
    bot.assert_healthy()


@pytest.mark.parametrize("fault", ["", "hang", "unavailable", "redirect", "gone"])
def test_the_token_is_in_no_log_line(
    bot: Bot, api: FakeBotApi, caplog: pytest.LogCaptureFixture, fault: str
) -> None:
    api.fault = fault
    more = {"api_url": f"http://127.0.0.1:{free_port()}"} if fault == "gone" else {}
    with caplog.at_level(logging.DEBUG):
        bot.examine(**more)
    assert TOKEN not in caplog.text
    assert TOKEN.partition(":")[2] not in caplog.text


def test_a_token_in_the_api_itself_does_not_get_out(bot: Bot, api: FakeBotApi) -> None:
    api.failed_delivery(f"no route for /hook/{TOKEN}")
    diagnosis = bot.examine(mode="webhook")
    assert first(diagnosis) == "telegram/webhook-failing:bot"
