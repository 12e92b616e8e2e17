"""What is known of a Telegram bot: its token (never the value), and how its updates reach it."""

from __future__ import annotations

from opsctl.facts.base import Annotated, Connection, Facts, Info, gauge


class TelegramFacts(Facts, frozen=True, kw_only=True, tag="telegram"):
    """One bot, as getMe and getWebhookInfo describe it. None is "not read".

    `connection.state` is `ok` where the API answered this bot, `missing` without a token, and
    `auth-failed` where the token is refused.
    """

    up: Annotated[bool, gauge("opsctl_telegram_up", "1 if the Bot API accepts the token")] = True
    connection: Connection = Connection(state="ok")
    address: str = ""
    mode: str = "polling"
    token_source: str = ""
    """Where the token is looked for: the name of a variable or file."""

    username: Annotated[str, Info("opsctl_telegram_bot_info", "username", "The bot")] = ""
    answer_seconds: Annotated[
        float | None, gauge("opsctl_telegram_answer_seconds", "Time of getMe", unit="seconds")
    ] = None

    webhook_set: Annotated[bool | None, gauge("opsctl_telegram_webhook_set", "1 if a webhook is set")] = None
    webhook_host: str = ""
    """Host of the webhook; its path is left out, many bots put their token there."""
    pending_updates: Annotated[
        int | None, gauge("opsctl_telegram_pending_updates", "Updates that the bot has not fetched")
    ] = None
    last_error_at: Annotated[
        float | None,
        gauge(
            "opsctl_telegram_webhook_last_error_timestamp_seconds",
            "When a delivery to the webhook failed last",
            unit="seconds",
        ),
    ] = None
    last_error: str = ""

    replicas: int = 1
    pollers: Annotated[
        int | None,
        gauge(
            "opsctl_telegram_pollers",
            "Pollers of the bot's updates by the stack file: replicas, and services with the same token; "
            "one may",
        ),
    ] = None
    same_token: list[str] = []
    """Other services of the stack that poll with the same token."""
