"""Telegram: answers of the Bot API, the token's way out, and what the checks make of facts."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from opsctl.facts.base import Connection, FactProblem
from opsctl.facts.telegram import TelegramFacts
from opsctl.judge import judge
from opsctl.metrics import exposition, facts_from_series, parse_exposition, samples
from opsctl.model import Finding, Reading, Snapshot, StackSummary, Status, Target
from opsctl.probes import telegram
from opsctl.probes.telegram_parsing import TOKEN, parse_answer, webhook_values, without_token
from tests.servers.telegram import TOKEN as CANARY

NOW = datetime(2026, 11, 21, 4, 0, tzinfo=UTC)
AT = NOW.timestamp()


def judged(**facts: Any) -> dict[str, Finding]:
    read = TelegramFacts(**({"address": "https://api.telegram.org", "token_source": "BOT_TOKEN"} | facts))
    snapshot = Snapshot(
        schema=1,
        opsctl_version="0",
        stack=StackSummary(name="x", flow="bot", origin="", services={}),
        taken_at=NOW,
        duration_seconds=0,
        deadline_seconds=10,
        readings=(
            Reading(
                target=Target(kind="telegram", service="bot"), taken_at=NOW, duration_seconds=0, facts=read
            ),
        ),
    )
    return {finding.id.removeprefix("telegram/"): finding for finding in judge(snapshot)}


HEALTHY: dict[str, Any] = {
    "username": "shop_bot",
    "answer_seconds": 0.1,
    "webhook_set": False,
    "pending_updates": 0,
}
WEBHOOK = {"mode": "webhook", "webhook_set": True, "webhook_host": "bot.example"}


@pytest.mark.parametrize(
    ("change", "name", "status"),
    [
        ({"webhook_set": True}, "conflict", Status.CRITICAL),
        ({"webhook_set": None}, "conflict", Status.UNKNOWN),
        ({"replicas": 3}, "conflict", Status.CRITICAL),
        ({"same_token": ["twin"]}, "conflict", Status.CRITICAL),
        ({"mode": "sending", "replicas": 3}, "conflict", Status.OK),
        (WEBHOOK | {"replicas": 3}, "conflict", Status.OK),
        (WEBHOOK | {"webhook_set": False}, "webhook-failing", Status.CRITICAL),
        (WEBHOOK | {"last_error_at": AT - 30, "pending_updates": 4}, "webhook-failing", Status.CRITICAL),
        (WEBHOOK | {"last_error_at": AT - 30}, "webhook-failing", Status.OK),
        (WEBHOOK | {"last_error_at": AT - 601, "pending_updates": 4}, "webhook-failing", Status.OK),
        ({"pending_updates": 99}, "updates-pending", Status.OK),
        ({"pending_updates": 100}, "updates-pending", Status.WARNING),
        ({"pending_updates": 1000}, "updates-pending", Status.CRITICAL),
        ({"pending_updates": None}, "updates-pending", Status.UNKNOWN),
        ({"pending_updates": 5000, "mode": "sending"}, "updates-pending", Status.OK),
    ],
)
def test_judging(change: dict[str, Any], name: str, status: Status) -> None:
    found = judged(**(HEALTHY | change))
    assert found[name].status is status
    assert {slug for slug, item in found.items() if item.status.failing} <= {name}


@pytest.mark.parametrize(
    ("state", "name"),
    [
        ("missing", "token-missing"),
        ("auth-failed", "token-invalid"),
        ("refused", "unreachable"),
        ("timeout", "unreachable"),
        ("name-unresolved", "unreachable"),
        ("protocol", "unreachable"),
    ],
)
def test_exactly_one_check_names_why_there_is_no_answer(state: str, name: str) -> None:
    found = judged(up=False, connection=Connection(state=state, detail="words"))
    assert {slug for slug, item in found.items() if item.status.failing} == {name}
    assert found["conflict"].status is Status.BLOCKED
    assert found["updates-pending"].status is Status.BLOCKED


def test_an_answer_that_could_not_be_had_is_unknown() -> None:
    problem = FactProblem(part="getWebhookInfo", code="refused", message="getWebhookInfo: 502")
    found = judged(username="shop_bot", answer_seconds=0.1, problems=[problem])
    assert found["updates-pending"].status is Status.UNKNOWN
    assert found["updates-pending"].summary == "getWebhookInfo: 502"


def test_webhook_info() -> None:
    values = webhook_values(
        {
            "url": f"https://bot.example:8443/hook/{CANARY}",
            "pending_update_count": 7,
            "last_error_date": 1795236000,
            "last_error_message": "Wrong response from the webhook: 502 Bad Gateway",
        }
    )
    assert values == {
        "webhook_set": True,
        "webhook_host": "bot.example",
        "pending_updates": 7,
        "last_error_at": 1795236000.0,
        "last_error": "Wrong response from the webhook: 502 Bad Gateway",
    }
    assert webhook_values({"url": ""}) == {"webhook_set": False, "webhook_host": ""}
    assert webhook_values({"url": "https://[broken"}) == {"webhook_set": True, "webhook_host": ""}


def test_tokens() -> None:
    assert TOKEN.fullmatch(CANARY)
    for text in ("", "changeme", "123:short", CANARY + "\n", f"{CANARY}/../other", f'"{CANARY}"'):
        assert not TOKEN.fullmatch(text)


@pytest.mark.parametrize("form", [CANARY, CANARY.replace(":", "%3A"), CANARY.partition(":")[2]])
def test_the_token_is_masked_in_every_spelling(form: str) -> None:
    assert without_token(f"Max retries exceeded with url: /bot{form}/getMe", CANARY).count("[redacted]") == 1


JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text()),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
NAMES = st.sampled_from(["url", "pending_update_count", "last_error_date", "last_error_message"])


@given(st.one_of(JSON, st.dictionaries(NAMES, JSON)))
def test_whatever_the_api_says_becomes_facts(result: Any) -> None:
    facts = TelegramFacts(**webhook_values(result))
    assert len(facts.last_error) <= 300
    assert len(facts.webhook_host) <= 255
    assert msgspec.json.encode(facts)


@given(st.binary())
def test_any_body_is_an_answer_or_none(body: bytes) -> None:
    answer = parse_answer(body)
    assert answer is None or isinstance(answer.description, str)


def test_a_deeply_nested_body_is_no_answer() -> None:
    assert parse_answer(b'{"result":' + b"[" * 30000) is None


@given(st.text(), st.from_regex(TOKEN, fullmatch=True))
def test_no_text_keeps_the_token(text: str, token: str) -> None:
    assert token not in without_token(f"{text}{token}{text}", token)


def test_numbers_survive_the_way_to_metrics_and_back() -> None:
    facts = TelegramFacts(**HEALTHY, last_error_at=AT)
    back = facts_from_series(TelegramFacts, parse_exposition(exposition(samples(facts))))
    assert (back.username, back.pending_updates, back.last_error_at) == ("shop_bot", 0, AT)


def test_whoever_may_log_the_url_is_kept_from_it_while_asking(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with telegram._Api("http://127.0.0.1:9", "123:CANARY"):
        for name in ("urllib3.connectionpool", "urllib3.poolmanager", "urllib3.util.retry", "requests"):
            logging.getLogger(name).warning("GET /bot%s/getMe", "123:CANARY")
    assert "CANARY" not in caplog.text
