"""Logs: which errors come now, are they new, is the log alive.

Only what is happening counts: an error that came every half second and has been quiet for ten
is over, sooner where the log shows that what failed works again; one that came once is no finding
at all, unless others of its class came with it. Errors whose time cannot be told prove nothing:
they are named, and blamed for nothing.
"""

from __future__ import annotations

import itertools
import re
from typing import TYPE_CHECKING

from opsctl.checks.base import CheckContext, Limits, NotObserved, check
from opsctl.checks.wording import count_text, seconds_text
from opsctl.facts.logs import LogTemplate
from opsctl.model import UNDATED, Evidence, Status

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from opsctl.facts.logs import LogsFacts
    from opsctl.model import Finding

CURRENT_SECONDS = 60.0
"""An error older than this is history, whatever it was."""
PATIENCE_SECONDS = 10.0
"""A burst that has been quiet for so long is over."""
LIVELY_PATIENCE_SECONDS = 3.0
"""The same where the log has gone on with more ordinary entries than stood between the errors."""
GAPS = 3.0
"""So many of its own longest pauses may pass before a repeated error counts as over."""
GOOD = 2
"""So many good answers to what failed make it over, where none came between the errors."""
STREAK = 5
"""After so many errors without a good answer between them, a single one is enough."""
ORDINARY = 20
"""So many ordinary entries at least make an error without a time one of the past."""
_CODE = (
    "undated where errors have no time and may or may not be of now; answer where only lines of requests "
    "and their status codes say it; name-unresolved where a name was looked up in vain, and nothing else "
    "failed"
)
_LOOKUP = re.compile(
    r"could not (?:resolve|translate) host|failed to resolve|getaddrinfo|enotfound|eai_again|no such host"
    r"|name (?:or service )?not known|temporary failure in name resolution|no address associated"
    r"|nodename nor servname|nxdomain|name resolution (?:failed|error)|server can't find",
    re.IGNORECASE,
)
"""A name that was looked up in vain, in the words of resolvers and of the libraries that ask them."""
NEW_SECONDS = 600.0
_REPEATED = Limits(warning=2, unit="errors", source="one error alone is noise; the second makes it a symptom")


@check("logs/unreadable", needs="the log", permission="to read the log", role="risk", reachability=True)
def unreadable(facts: LogsFacts, context: CheckContext) -> Iterator[Finding]:
    """The log that the stack file names is not there, or its lines are of another format."""
    if not facts.up:
        yield context.warning(
            f"the log {facts.source} does not exist",
            value="missing",
            source=facts.command,
            fix="Correct `path:` in the stack file, or look why the service does not write it (folder, "
            "owner, rotation).",
            commands=[facts.command],
        )
    elif _of_another_format(facts):
        yield context.warning(
            f"none of {facts.lines_unparsed} lines of {facts.source or 'the log'} is of the format "
            f"{facts.format}",
            value=facts.lines_unparsed,
            source=facts.command,
            fix="Correct `format:` under `logs:` in the stack file.",
            commands=[facts.command],
        )
    else:
        read = count_text(facts.bytes_read or 0, "byte")
        cut = ", its window not to the beginning" if facts.truncated else ""
        yield context.ok(f"{read} read from {facts.source or 'the log'}{cut}")


@check(
    "logs/connection-errors",
    needs="the log's last ten minutes",
    limits=_REPEATED,
    role="symptom",
    code=_CODE,
)
def connection_errors(facts: LogsFacts, context: CheckContext) -> Iterator[Finding]:
    """The log shows now that something the service needs cannot be reached."""
    yield _of_class(
        facts,
        context,
        "connection",
        "See whether what the message names is running and reachable from this service: address, port, "
        "name, network.",
    )


@check(
    "logs/database-errors",
    needs="the log's last ten minutes",
    limits=_REPEATED,
    role="symptom",
    code=_CODE,
)
def database_errors(facts: LogsFacts, context: CheckContext) -> Iterator[Finding]:
    """The log shows now that the database is reached and refuses or fails."""
    yield _of_class(
        facts,
        context,
        "database",
        "Read the message: login, missing table or column, lock, full pool, read-only; then the database's "
        "own log at that time.",
    )


@check(
    "logs/application-errors",
    needs="the log's last ten minutes",
    limits=_REPEATED,
    role="symptom",
    code=_CODE,
)
def application_errors(facts: LogsFacts, context: CheckContext) -> Iterator[Finding]:
    """The log shows now that the service's own code or configuration fails."""
    yield _of_class(
        facts,
        context,
        "application",
        "Read the whole entry; compare with the last deployment and the service's environment. Roll back if "
        "it began with the deployment.",
    )


@check(
    "logs/telegram-conflict",
    needs="the log's last ten minutes",
    limits=_REPEATED,
    code=_CODE,
)
def telegram_conflict(facts: LogsFacts, context: CheckContext) -> Iterator[Finding]:
    """Telegram refuses to hand out updates because a second process polls the same bot."""
    now = _now(facts, context)
    conflicts = [item for item in facts.templates if item.marker == "telegram-conflict"]
    current = _current(conflicts, context, now)
    if not current:
        yield _undated(facts, context, conflicts) or context.ok("no conflict between two pollers in the log")
        return
    first = current[0]
    yield context.critical(
        f"two processes poll the same bot: {count_text(sum(item.recent for item in current), 'refusal')} in "
        f"the last minute, last {_ago(first, now)}",
        value=sum(item.recent for item in current),
        threshold=context.limits.warning,
        unit="errors",
        source=facts.command,
        evidence=[_evidence(item, facts, now) for item in current[:2]],
        fix="Stop the other one: an old container, a second replica, a developer's machine with the same "
        "token. If it cannot be found, revoke the token with @BotFather and set the new one here only. A "
        "webhook that is still set has the same effect.",
        commands=["docker ps --format '{{.Names}} {{.Status}}' | grep -i bot", "pgrep -af bot"],
    )


@check("logs/new-error", needs="the log's last hour", limits=_REPEATED, role="symptom")
def new_error(facts: LogsFacts, context: CheckContext) -> Iterator[Finding]:
    """An error comes now that the log has never shown before."""
    now = _now(facts, context)
    covered = facts.covered_seconds
    current = _current(facts.templates, context, now)
    if not current:
        _need_its_format(facts)
    if current and (covered is None or covered < facts.window_seconds + NEW_SECONDS):
        known = seconds_text(covered) if covered is not None else "no time"
        raise NotObserved(f"the log was read only {known} back: what is new in it cannot be told")
    since = now - NEW_SECONDS
    new = _current([item for item in current if (item.first_seen or 0) >= since], context, now)
    if not new:
        yield context.ok("no error comes now that was not seen before")
        return
    worst = max(new, key=lambda item: item.recent)
    began = seconds_text(now - min(item.first_seen or now for item in new))
    yield context.warning(
        f"{count_text(len(new), 'new kind')} of error since {began}, none of it in the "
        f"{seconds_text(covered or 0)} read: {_quoted(worst)}",
        value=len(new),
        source=facts.command,
        evidence=[_evidence(item, facts, now) for item in new[:3]],
        fix="Ask what changed when it began: a deployment, a setting, a certificate, a server restarted.",
        commands=[facts.command],
    )


@check("logs/silent", needs="the time of the last entry", role="symptom")
def silent(facts: LogsFacts, context: CheckContext) -> Iterator[Finding]:
    """The log has gone quiet for longer than the stack file allows."""
    limit = facts.silent_after_seconds
    if limit is None:
        yield context.ok("the stack file sets no limit on silence")
        return
    last = context.need(facts.last_entry_at, "the time of the last entry", "give the entries a time")
    quiet = max(_now(facts, context) - last, 0.0)
    if quiet < limit:
        yield context.ok(f"last entry {seconds_text(quiet)} ago")
        return
    yield context.warning(
        f"no entry for {seconds_text(quiet)}",
        value=round(quiet, 1),
        threshold=limit,
        unit="seconds",
        source=facts.command,
        fix="See whether the service still works (its process, its queue, its traffic), then whether its "
        "output still goes to this log: rotation without reopening, a full disk, another log level.",
        commands=[facts.command],
    )


def _now(facts: LogsFacts, context: CheckContext) -> float:
    return facts.taken_at if facts.taken_at is not None else context.at.timestamp()


def _of_another_format(facts: LogsFacts) -> bool:
    return facts.format != "plain" and not facts.lines_parsed and (facts.lines_unparsed or 0) >= 20


def _need_its_format(facts: LogsFacts) -> None:
    """Make sure that the lines could be understood; called where no error was found.

    Raises:
        NotObserved: they are of another format.
    """
    if _of_another_format(facts):
        raise NotObserved(
            f"none of {facts.lines_unparsed} lines is of the format {facts.format}",
            "correct `format:` under `logs:` in the stack file",
        )


def is_current(item: LogTemplate, now: float, least: float) -> bool:
    """Return whether an error is happening: repeated or fatal, not recovered, not quiet for too long."""
    if item.last_seen is None or has_recovered(item):
        return False
    age = now - item.last_seen
    if age > CURRENT_SECONDS:
        return False
    if item.fatal:
        return True
    if item.recent < least:
        return False
    lively = (item.ordinary_since or 0) > (item.ordinary_between or 0)
    floor = LIVELY_PATIENCE_SECONDS if lively else PATIENCE_SECONDS
    return age <= min(max(floor, GAPS * (item.longest_gap_seconds or 0)), CURRENT_SECONDS)


def together(items: list[LogTemplate]) -> LogTemplate:
    """Return errors that differ as if they were one kind: how many, when last, what came between.

    A few that differ have no beat of their own: their pauses say nothing about when the next is due.
    """
    times = sorted(item.last_seen for item in items if item.last_seen is not None)
    ordinary = sorted(item.ordinary_since or 0 for item in items)
    return LogTemplate(
        id="",
        category=items[0].category,
        recent=sum(item.recent for item in items),
        undated=sum(item.undated for item in items),
        last_seen=max(times, default=None),
        longest_gap_seconds=_widest(times) if len(times) >= STREAK else 0.0,
        ordinary_since=ordinary[0],
        ordinary_between=round(_widest(ordinary)),
    )


def _widest(numbers: Sequence[float]) -> float:
    return max((later - earlier for earlier, later in itertools.pairwise(numbers)), default=0)


def has_recovered(item: LogTemplate) -> bool:
    """Return whether what failed has worked since, more often than it ever did between two failures."""
    if item.good_since is None:
        return False
    streak = item.count + item.undated >= STREAK and not item.good_between
    return item.good_since >= (1 if streak else GOOD) + GAPS * (item.good_between or 0)


def may_be_current(item: LogTemplate, least: float) -> bool:
    """Return whether errors without a time may be happening: nothing tells that they are over."""
    if not item.undated or has_recovered(item):
        return False
    if not item.fatal and item.undated + item.recent < least:
        return False
    return (item.ordinary_since or 0) < max(ORDINARY, GAPS * (item.ordinary_between or 0))


def _undated(facts: LogsFacts, context: CheckContext, items: list[LogTemplate]) -> Finding | None:
    """Return `unknown` where errors without a time may be happening, None where there are none.

    Raises:
        NotObserved: the lines could not be understood.
    """
    _need_its_format(facts)
    open_ones = _may_be_current(items, context.limits.warning or 1)
    if not open_ones:
        return None
    last = max(open_ones, key=lambda item: -(item.ordinary_since or 0))
    number = sum(item.undated for item in open_ones)
    since = last.ordinary_since or 0
    after = f", {count_text(since, 'ordinary entry', 'ordinary entries')} after the last" if since else ""
    return context.finding(
        Status.UNKNOWN,
        f"{count_text(number, 'error')} without a time near the end of the log, perhaps old{after}: "
        f"{_quoted(last)}",
        code=UNDATED,
        source=facts.command,
        hint="let the logger write the time, or read the log through journald or Docker",
    )


def _may_be_current(items: list[LogTemplate], least: float) -> list[LogTemplate]:
    """Return what may be happening; kinds that are too few alone count together."""
    likely = [item for item in items if may_be_current(item, 1)]
    few = [item for item in likely if not may_be_current(item, least)]
    enough = len(few) > 1 and may_be_current(together(few), least)
    return [item for item in likely if enough or item not in few]


def _current(items: list[LogTemplate], context: CheckContext, now: float) -> list[LogTemplate]:
    """Return what is happening; kinds of a class that are too few alone count together.

    A program that fails in a different way each time fails no less than one that repeats itself.
    """
    least = context.limits.warning or 1
    current = {item.id for item in items if is_current(item, now, least)}
    for category in {item.category for item in items}:
        few = [item for item in items if item.category == category and _is_one_of_few(item, now, least)]
        if len(few) > 1 and is_current(together(few), now, least):
            current |= {item.id for item in few}
    return [item for item in items if item.id in current]


def _is_one_of_few(item: LogTemplate, now: float, least: float) -> bool:
    """Return whether an error came within the last minute, too seldom to count alone."""
    if item.last_seen is None or item.fatal or has_recovered(item):
        return False
    return item.recent < least and now - item.last_seen <= CURRENT_SECONDS


def _of_class(facts: LogsFacts, context: CheckContext, category: str, fix: str) -> Finding:
    now = _now(facts, context)
    of_class = [item for item in facts.templates if item.category == category]
    current = _current(of_class, context, now)
    counts = facts.errors or {}
    if not current:
        undated = _undated(facts, context, of_class)
        if undated is not None:
            return undated
        earlier = counts.get(category, 0)
        window = seconds_text(facts.window_seconds)
        if earlier:
            return context.ok(f"{count_text(earlier, f'{category} error')} in {window}, none of them current")
        if past := sum(item.undated for item in of_class):
            words = f"{count_text(past, f'{category} error')} without a time"
            return context.ok(f"{words}, and nothing says that {'it is' if past == 1 else 'they are'} of now")
        seen = f" among {count_text(facts.entries, 'entry', 'entries')}" if facts.entries is not None else ""
        return context.ok(f"no {category} error in {window}{seen}")
    recent = sum(item.recent for item in current)
    first = max(
        current, key=lambda item: (item.fatal, not _is_answer(item), item.recent, item.last_seen or 0)
    )
    return context.warning(
        f"{count_text(recent, f'{category} error')} in the last minute, last {_ago(first, now)}: "
        f"{_quoted(first)}",
        value=recent,
        threshold=context.limits.warning,
        unit="errors",
        code=_code_of(current),
        source=facts.command,
        evidence=[_evidence(item, facts, now) for item in current[:3]],
        fix=fix,
        commands=[facts.command] if facts.command else [],
    )


def _code_of(current: list[LogTemplate]) -> str:
    reasons = [item for item in current if not _is_answer(item)]
    if not reasons:
        return "answer"
    return "name-unresolved" if all(_LOOKUP.search(item.example or item.text) for item in reasons) else ""


def _is_answer(item: LogTemplate) -> bool:
    """Return whether it is an access log's line: it says that, not why."""
    return '" 5' in item.example and "HTTP/" in item.example


def _ago(item: LogTemplate, now: float) -> str:
    return f"{seconds_text(max(now - (item.last_seen or now), 0))} ago"


def _quoted(item: LogTemplate) -> str:
    text = item.example or item.text
    return f'"{text[:120]}{"…" if len(text) > 120 else ""}"' if text else f"template {item.id}"


def _evidence(item: LogTemplate, facts: LogsFacts, now: float) -> Evidence:
    peer = f" ({item.peer})" if item.peer else ""
    more = f", and {item.undated} without a time" if item.undated else ""
    return Evidence(
        text=f"{item.count} × {item.text or item.id}{peer}, last {_ago(item, now)}{more}",
        value=item.count,
        unit="errors",
        source=facts.command,
    )
