"""The bot and the Bot API."""

from __future__ import annotations

from collections.abc import Iterator

from tests.lab.faults.base import fault
from tests.lab.stacks.base import ComposeSystem
from tests.lab.stacks.wishlins import ENV

STATE = "curl -sf -X PUT http://127.0.0.1:8081/_state -d"


@fault("wishlins", "flurai", expect=[("telegram/token-invalid", "bot")], innocent=["http/*", "nginx/*"])
def token_revoked(lab: ComposeSystem) -> Iterator[None]:
    """BotFather gave the bot a new token, the environment holds the old one."""
    unit = "/etc/systemd/system/lab-telegram.service"
    lab.sh(f"cp {unit} /tmp/unit; sed -i 's/TELEGRAM_TOKENS=.*/TELEGRAM_TOKENS=1:new/' {unit}")
    lab.sh("systemctl daemon-reload; systemctl restart lab-telegram; sleep 3")
    yield
    lab.sh(f"cp /tmp/unit {unit}; systemctl daemon-reload; systemctl restart lab-telegram; sleep 1")
    lab.sh(f"docker restart -t 1 {lab.id('bot')}")


@fault("wishlins", expect=[("logs/telegram-conflict", "bot")])
def two_bots_poll(lab: ComposeSystem) -> Iterator[None]:
    """Somebody runs a second copy with the same token."""
    copy = (
        "docker run -d --name second-bot --network wishlist_default --add-host telegram.lab:172.28.0.1"
        f" --env-file {ENV} -e PYTHONPATH=/opt/lab/apps:/opt/lab/packages"
        " -v /opt/lab/apps:/opt/lab/apps:ro -v /opt/lab/packages:/opt/lab/packages:ro"
        " wishlins/bot:1.4 python3 /opt/lab/apps/bot.py"
    )
    lab.sh(copy)
    refusals = f"grep -c -a -i 'conflict: terminated' {lab.inspect('bot', '.LogPath')}"
    lab.wait(f"[ $({refusals}) -ge 3 ]", "the bot has been refused", 60)
    yield
    lab.sh("docker rm -f second-bot")


@fault("wishlins", "flurai", expect=[("telegram/conflict", "bot")], innocent=["http/*"])
def webhook_of_an_earlier_version_is_still_set(lab: ComposeSystem) -> Iterator[None]:
    """Telegram sends the updates there, and refuses them to the bot that asks."""
    lab.sh(STATE + ' \'{"webhook": {"url": "https://old.example/hook"}}\'; sleep 3')
    yield
    lab.sh(STATE + " '{}'")
    lab.sh(f"docker restart -t 1 {lab.id('bot')}")


@fault("wishlins", "flurai", expect=[("telegram/unreachable", "bot")], innocent=["http/*"])
def bot_api_down(lab: ComposeSystem) -> Iterator[None]:
    lab.sh("systemctl stop lab-telegram; sleep 2")
    yield
    lab.sh("systemctl start lab-telegram")


@fault("wishlins", "flurai", expect=[("telegram/updates-pending", "bot")])
def updates_pile_up(lab: ComposeSystem) -> Iterator[None]:
    lab.sh(STATE + " '{\"pending\": 5000}'")
    yield
    lab.sh(STATE + " '{}'")


@fault("wishlins", expect=[("config/variable-missing", "bot")], shows=[("telegram/token-missing", "bot")])
def token_missing(lab: ComposeSystem) -> Iterator[None]:
    lab.sh(f"cp -p {ENV} /tmp/env; sed -i '/^BOT_TOKEN/d' {ENV}")
    lab.recreate("bot")
    lab.sh("sleep 4")
    yield
    lab.sh(f"cp -p /tmp/env {ENV}")
    lab.recreate("bot", "backend", "db")
