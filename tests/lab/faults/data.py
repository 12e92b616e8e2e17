"""Numbers of the business: freemarket's notifications that wait to be sent."""

from __future__ import annotations

from collections.abc import Iterator

from tests.lab.faults.base import fault
from tests.lab.stacks.base import ComposeSystem

STATE = "curl -sf -X PUT http://127.0.0.1:8081/_state -d"


def queue_grows(lab: ComposeSystem, waiting: int = 800) -> None:
    """Have notifications wait for twenty minutes: rows with the time that they would have by then."""
    rows = f"select now() - interval '20 minutes' from generate_series(1, {waiting})"
    _sql(lab, f"insert into notifications (created_at) {rows}")


def queue_is_worked_off(lab: ComposeSystem) -> None:
    _sql(lab, "update notifications set sent_at = now(), status = 'sent' where sent_at is null")


def _sql(lab: ComposeSystem, statement: str) -> None:
    lab.inside("db", f'psql -q -U freemarket_user -c "{statement}" freemarket_db')


@fault("freemarket", expect=[("container/exited", "bot")], shows=[("data/threshold", "db")])
def notifications_wait_for_a_stopped_bot(lab: ComposeSystem) -> Iterator[None]:
    lab.sh(f"docker stop -t 1 {lab.id('bot')}")
    queue_grows(lab)
    yield
    queue_is_worked_off(lab)
    lab.sh(f"docker start {lab.id('bot')}")


@fault("freemarket", expect=[("telegram/unreachable", "bot")], shows=[("data/threshold", "db")])
def notifications_wait_for_telegram(lab: ComposeSystem) -> Iterator[None]:
    """The Bot API does not answer: nothing can be sent."""
    lab.sh("systemctl stop lab-telegram; sleep 1")
    queue_grows(lab)
    yield
    queue_is_worked_off(lab)
    lab.sh("systemctl start lab-telegram")


@fault("freemarket", expect=[("container/paused", "bot")], shows=[("data/threshold", "db")])
def notifications_wait_for_a_paused_bot(lab: ComposeSystem) -> Iterator[None]:
    lab.sh(f"docker pause {lab.id('bot')}")
    queue_grows(lab, 200)
    yield
    queue_is_worked_off(lab)
    lab.sh(f"docker unpause {lab.id('bot')}")


@fault("freemarket", expect=[("data/threshold", "db")], innocent=["postgres/*", "container/*"])
def notifications_wait_and_nobody_knows_why(lab: ComposeSystem) -> Iterator[None]:
    """The bot polls happily; the part of it that sends has stopped without a word."""
    queue_grows(lab)
    yield
    queue_is_worked_off(lab)
