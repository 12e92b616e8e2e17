"""Telegram: does the bot have a token that works, and do its updates reach it?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from opsctl.checks.base import CheckContext, Limits, NotObserved, check
from opsctl.checks.running import log_commands, state_commands
from opsctl.checks.wording import count_text, seconds_text
from opsctl.model import Status

if TYPE_CHECKING:
    from collections.abc import Iterator

    from opsctl.facts.telegram import TelegramFacts
    from opsctl.model import Finding

_UNREACHED = ("refused", "timeout", "name-unresolved", "unreachable", "closed", "tls", "protocol")


def _source(facts: TelegramFacts, method: str) -> str:
    """Return the call that shows it, with the token's place held."""
    return f"GET {facts.address}/bot$TOKEN/{method}"


@check("telegram/token-missing", needs="the service's env file, or token_file", reachability=True)
def token_missing(facts: TelegramFacts, context: CheckContext) -> Iterator[Finding]:
    """The bot has no token, so it cannot start."""
    if facts.connection.state == "missing":
        yield context.critical(
            f"the bot has no token: {facts.connection.detail}",
            value="missing",
            source=facts.token_source,
            fix="Put the token of @BotFather into the service's env file; recreate the container or restart "
            "the unit.",
            commands=state_commands(context),
        )
    else:
        yield context.ok(f"{facts.token_source} is set")


@check("telegram/token-invalid", needs="getMe", reachability=True)
def token_invalid(facts: TelegramFacts, context: CheckContext) -> Iterator[Finding]:
    """Telegram refuses the bot's token."""
    if facts.connection.state == "auth-failed":
        yield context.critical(
            f"the token in {facts.token_source} is refused: {facts.connection.detail}",
            value=facts.connection.detail,
            source=_source(facts, "getMe"),
            fix="It was revoked, cut short, or is a placeholder: copy the valid one from @BotFather into the "
            "service's env file and restart the bot.",
        )
    elif facts.up:
        yield context.ok(f"getMe knows it as @{facts.username}" if facts.username else "getMe accepts it")
    else:
        yield context.ok("no token was refused")


@check(
    "telegram/unreachable",
    needs="a connection to the Bot API",
    reachability=True,
    code="the connection's state: refused, name-unresolved, …",
)
def unreachable(facts: TelegramFacts, context: CheckContext) -> Iterator[Finding]:
    """The Bot API does not answer from here."""
    connection = facts.connection
    if connection.state == "no-permission":
        raise NotObserved(f"no permission to connect to {facts.address}", "run outside the sandbox")
    if connection.state in _UNREACHED:
        host = facts.address.partition("://")[2].partition("/")[0]
        yield context.critical(
            f"the Bot API at {facts.address} gives no good answer: {connection.detail}",
            code=connection.state,
            value=connection.state,
            source=_source(facts, "getMe"),
            fix="Look at DNS, the way out (port 443, a proxy), and at Telegram itself; the bot sends nothing "
            "until then.",
            commands=[
                f"curl -sS -m 5 -o /dev/null -w '%{{http_code}}\\n' {facts.address}/",
                f"getent hosts {host.rpartition(':')[0] or host}",
            ],
        )
    elif facts.answer_seconds is not None:
        yield context.ok(f"getMe took {seconds_text(facts.answer_seconds)}")
    else:
        yield context.ok("the Bot API was not found unreachable")


@check("telegram/conflict", needs="getWebhookInfo, the stack file")
def conflict(facts: TelegramFacts, context: CheckContext) -> Iterator[Finding]:
    """Two want the bot's updates, so some messages are lost to it.

    A second poller elsewhere shows in the bot's log only: asking for updates would itself take them
    away from the running bot.
    """
    if facts.mode != "polling":
        yield context.ok(f"{facts.mode} mode: it does not poll")
        return
    fix, source = "", ""
    if facts.same_token:
        others = ", ".join(facts.same_token)
        summary = f"{others} and {context.target.service} poll with the same token"
        value: str | int = others
        fix = (
            "Give each bot a token of its own, or run one of them only. For a service that only sends say "
            "`mode: sending` in the stack file."
        )
        source = "token_env and token_file of the stack file"
    elif facts.replicas > 1:
        summary = f"{facts.replicas} replicas poll with one token; Telegram lets only one"
        value = facts.replicas
        fix = "Run one replica, or use a webhook behind the load balancer."
        source = "replicas of the stack file"
    else:
        context.need_part(facts, "getWebhookInfo")
        if not context.need(facts.webhook_set, "the webhook"):
            yield context.ok("no webhook is set beside the poller")
            return
        where = f" to {facts.webhook_host}" if facts.webhook_host else ""
        summary = f"a webhook{where} is set while the bot polls: getUpdates answers 409"
        value = facts.webhook_host or "set"
        fix = "Delete the webhook (deleteWebhook keeps the waiting updates), or run the bot in webhook mode."
        source = _source(facts, "getWebhookInfo")
    yield context.critical(summary, value=value, source=source, fix=fix)


@check(
    "telegram/webhook-failing",
    needs="getWebhookInfo",
    limits=Limits(600, 600, "seconds", below=True, source="the window in which logs are read, 10 minutes"),
)
def webhook_failing(facts: TelegramFacts, context: CheckContext) -> Iterator[Finding]:
    """Telegram cannot deliver the bot's updates to its webhook."""
    if facts.mode != "webhook":
        yield context.ok(f"{facts.mode} mode: no webhook is used")
        return
    context.need_part(facts, "getWebhookInfo")
    source = _source(facts, "getWebhookInfo")
    if not context.need(facts.webhook_set, "the webhook"):
        yield context.critical(
            "the bot waits for a webhook and none is set",
            value="no url",
            source=source,
            fix="Restart the bot if it sets the webhook at its start; else call setWebhook.",
        )
        return
    if facts.last_error_at is None:
        yield context.ok("no delivery has failed")
        return
    age = context.at.timestamp() - facts.last_error_at
    words = f"a delivery to {facts.webhook_host} failed {seconds_text(max(age, 0))} ago: {facts.last_error}"
    status = context.limits.status(age)
    if status is Status.OK:
        yield context.ok(f"the last failed delivery was {seconds_text(age)} ago")
        return
    waiting = facts.pending_updates or 0
    if waiting == 0:
        yield context.ok(f"a delivery failed {seconds_text(max(age, 0))} ago; nothing waits any more")
        return
    yield context.finding(
        status,
        f"{words}; {count_text(waiting, 'update')} waiting",
        value=round(age),
        threshold=context.limits.limit_for(status),
        unit="seconds",
        source=source,
        fix="Follow the message: proxy, certificate, the bot behind it. Telegram tries again by itself.",
        commands=[
            f"curl -sS -m 5 -o /dev/null -w '%{{http_code}} %{{ssl_verify_result}}\\n' "
            f"https://{facts.webhook_host}/"
        ],
    )


@check(
    "telegram/updates-pending",
    needs="getWebhookInfo",
    limits=Limits(100, 1000, "updates", source="getUpdates hands out up to 100 at a call"),
    role="symptom",
)
def updates_pending(facts: TelegramFacts, context: CheckContext) -> Iterator[Finding]:
    """Messages to the bot pile up at Telegram: the bot does not fetch them."""
    if facts.mode == "sending":
        yield context.ok("sending mode: it fetches no updates")
        return
    context.need_part(facts, "getWebhookInfo")
    waiting = context.need(facts.pending_updates, "pending_update_count")
    yield context.judge(
        waiting,
        f"{count_text(waiting, 'update')} waiting at Telegram",
        source=_source(facts, "getWebhookInfo"),
        fix="See whether the bot runs and what its log says; restart it. Telegram keeps them for 24 hours.",
        commands=[*state_commands(context), *log_commands(context, 50)],
    )
