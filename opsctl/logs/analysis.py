"""From a log's lines to its facts: counts by class, templates, and how much was understood. Pure."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

from opsctl.facts.logs import LogTemplate
from opsctl.logs.classes import CLASSES, CLIENT, Meaning, meaning, meaning_of_warning
from opsctl.logs.dating import date
from opsctl.logs.entries import assemble
from opsctl.logs.recovery import Tally, least, with_request
from opsctl.logs.templates import Group, Templates, identity, mask

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from opsctl.logs.entries import Entry, Line

WINDOW_SECONDS = 600.0
RECENT_SECONDS = 60.0
HISTORY_SECONDS = 3600.0
"""How far back a log is read where the byte limit allows: what was never seen in it is new."""
MAX_TEMPLATES = 50
MAX_TEXT = 200
_LAST_TIMES = 10


class Analysis:
    """Takes in the lines of one or several logs and says what is in them.

    Args:
        format: the logs' format.
        now: unix seconds; entries from later are taken as of now.
        redact: makes texts safe to keep.
    """

    def __init__(self, format: str, now: float, redact: Callable[[str], str]) -> None:
        self._format, self._now, self._redact = format, now, redact
        self._templates = Templates()
        self._parsed = self._unparsed = self._entries = self._untimed = 0
        self._first: float | None = None
        self._last: float | None = None

    def add(self, lines: Iterable[Line], written_at: float | None = None) -> None:
        """Take in the lines of one log, oldest first.

        Args:
            lines: the lines.
            written_at: when the file was last changed; tells the zone of times without one, and
                when the last line was written.
        """
        found = assemble(lines, self._format)
        self._parsed += found.parsed
        self._unparsed += found.unparsed
        date(found.entries, self._now, written_at)
        tallies: dict[int, tuple[Group, Tally]] = {}
        ordinary = 0
        for at, entry in enumerate(found.entries):
            ordinary += entry.quiet_before
            group = self._take(entry)
            if group is None:
                ordinary += 1
                continue
            if entry.undated or (entry.time is not None and entry.time >= self._now - RECENT_SECONDS):
                tally = tallies.setdefault(id(group), (group, Tally()))[1]
                startup_only = group.meaning.category == "application" and not group.meaning.marker
                tally.add(ordinary, entry, with_request(found.entries, at), startup_only)
        for group, tally in tallies.values():
            group.ordinary.append(tally.ordinary(ordinary))
            group.good.append(tally.good(found.signs, self._now))

    def _take(self, entry: Entry) -> Group | None:
        """Count an entry; return the group of errors that it belongs to, None where it is no error."""
        at = None if entry.time is None else min(entry.time, self._now)
        if at is not None:
            self._first = at if self._first is None else min(self._first, at)
            self._last = at if self._last is None else max(self._last, at)
            if at >= self._now - WINDOW_SECONDS:
                self._entries += 1 + entry.quiet_before
        if not tells_of_failure(entry):
            return None
        mere = not failed(entry)
        judge = meaning_of_warning if mere else meaning
        group = self._templates.add(
            entry.key, "warning" if mere else "error", lambda: meaning_of_entry(judge, entry, self._format)
        )
        if group.meaning.category == CLIENT:
            return None
        group.last_text = entry.key
        group.fatal = group.fatal or _is_fatal(entry, group, self._format)
        if at is not None:
            group.times.append(at)
        else:
            self._untimed += 1
            group.undated += entry.undated
        return group

    def values(self) -> dict[str, Any]:
        """Return the fields of `LogsFacts` that the lines give."""
        since = self._now - WINDOW_SECONDS
        errors = dict.fromkeys(CLASSES, 0)
        shown: list[LogTemplate] = []
        for group in self._templates.groups:
            within = sum(1 for at in group.times if at >= since)
            if (within or group.undated) and group.meaning.category in errors:
                errors[group.meaning.category] += within
                shown.append(self._template(group, within))
        shown.sort(key=lambda item: (-item.recent, -item.count, item.id))
        return {
            "errors": errors,
            "entries": self._entries,
            "untimed_errors": self._untimed,
            "lines_parsed": self._parsed,
            "lines_unparsed": self._unparsed,
            "last_entry_at": self._last,
            "covered_seconds": None if self._first is None else max(self._now - self._first, 0.0),
            "templates": _unique(shown)[:MAX_TEMPLATES],
            "taken_at": self._now,
        }

    def _template(self, group: Group, within: int) -> LogTemplate:
        """Redact first and mask and cut then: a secret that is cut or masked is no longer known."""
        example = self._redact(group.last_text)
        text = mask(self._redact(group.first_text))
        words = text.split()
        if len(words) == len(group.words):
            text = " ".join("<*>" if b == "<*>" else a for a, b in zip(words, group.words, strict=True))
        if group.words == ["(other", "errors)"]:
            text = "(other errors)"
        text = text[:MAX_TEXT] or "(empty)"
        times = sorted(group.times)
        last = [at for at in times if at >= self._now - WINDOW_SECONDS][-_LAST_TIMES:]
        gaps = [later - earlier for earlier, later in itertools.pairwise(last)]
        ordinary, good = least(group.ordinary), least(group.good)
        return LogTemplate(
            id=identity(group.meaning.category, text),
            category=group.meaning.category,
            peer=group.meaning.peer,
            marker=group.meaning.marker,
            text=text,
            example=example[:MAX_TEXT],
            count=within,
            recent=sum(1 for at in times if at >= self._now - RECENT_SECONDS),
            fatal=group.fatal,
            first_seen=times[0] if times else None,
            last_seen=times[-1] if times else None,
            longest_gap_seconds=max(gaps) if gaps else None,
            undated=group.undated,
            ordinary_since=ordinary.since if ordinary else None,
            ordinary_between=ordinary.between if ordinary else None,
            good_since=good.since if good else None,
            good_between=good.between if good else None,
        )


def _unique(templates: list[LogTemplate]) -> list[LogTemplate]:
    """Keep the first of templates whose redacted texts have become the same: ids tell series apart."""
    return list({item.id: item for item in reversed(templates)}.values())[::-1]


def meaning_of_entry(judge: Callable[[str, str], Meaning], entry: Entry, format: str) -> Meaning:
    """Judge the exception first: it is the most precise; the message names what was being done."""
    if entry.exception:
        found = judge(f"{entry.exception} {entry.detail}", format)
        if found.category != "application" or found.marker:
            return found
        outer = judge(entry.message, format)
        return outer if outer.marker else found
    return judge(f"{entry.message} {entry.detail}", format)


_FAILURE_WORDS = (
    "error",
    "fail",
    "refused",
    "fatal",
    "panic",
    "exception",
    "timed out",
    "conflict",
    "denied",
)


def failed(entry: Entry) -> bool:
    """Return whether an entry says itself that something failed."""
    return entry.is_error or (bool(entry.exception) and not entry.level)


def tells_of_failure(entry: Entry) -> bool:
    """Return whether an entry is worth asking what it means."""
    warning = entry.level == "warning" and not entry.traceback
    return failed(entry) or warning or (not entry.level and _sounds_like_failure(entry.message))


def _sounds_like_failure(message: str) -> bool:
    """Return whether a line without a level is worth asking what it means."""
    lowered = message[:500].lower()
    return any(word in lowered for word in _FAILURE_WORDS)


def _is_fatal(entry: Entry, group: Group, format: str) -> bool:
    """Return whether one such entry is enough: the process says that it cannot go on.

    PostgreSQL's FATAL ends one session, not the server; only PANIC and a crash do that.
    """
    if format == "postgres":
        return group.meaning.marker == "crash"
    return entry.level == "fatal" or group.meaning.marker == "crash"
