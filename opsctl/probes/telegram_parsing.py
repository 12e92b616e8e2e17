"""Turning answers of the Bot API into the fields of `TelegramFacts`. Pure."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urlsplit

import msgspec

TOKEN = re.compile(r"[0-9]{1,20}:[A-Za-z0-9_-]{10,200}")
"""What a bot's token looks like: its id, a colon, a key."""


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """The envelope of every answer (core.telegram.org/bots/api, "Making requests")."""

    ok: bool = False
    error_code: int = 0
    description: str = ""
    result: Any = None


def parse_answer(body: bytes) -> Answer | None:
    """Return the answer in a body, None where it is none of the Bot API's."""
    try:
        return msgspec.json.decode(body, type=Answer)
    except (msgspec.DecodeError, RecursionError):
        return None


def webhook_values(result: Any) -> dict[str, Any]:
    """Return the fields of `TelegramFacts` that getWebhookInfo holds; what it lacks stays out."""
    if not isinstance(result, dict):
        return {}
    values: dict[str, Any] = {}
    url = result.get("url")
    if isinstance(url, str):
        values["webhook_set"] = bool(url)
        values["webhook_host"] = _host(url)
    pending = result.get("pending_update_count")
    if isinstance(pending, int) and not isinstance(pending, bool) and abs(pending) < 2**63:
        values["pending_updates"] = pending
    failed_at = result.get("last_error_date")
    if isinstance(failed_at, int) and not isinstance(failed_at, bool) and 0 < failed_at < 2**53:
        values["last_error_at"] = float(failed_at)
    words = result.get("last_error_message")
    if isinstance(words, str):
        values["last_error"] = words[:300]
    return values


def _host(url: str) -> str:
    try:
        return (urlsplit(url).hostname or "")[:255]
    except ValueError:
        return ""


def without_token(text: str, token: str) -> str:
    """Return a text in which the token, in any of its spellings, is masked."""
    for form in (token, token.replace(":", "%3A"), token.replace(":", "%3a"), token.partition(":")[2]):
        if len(form) >= 4:
            text = text.replace(form, "[redacted]")
    return text
