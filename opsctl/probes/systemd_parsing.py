"""Texts of systemctl and journalctl. Pure: text in, values out, never raises."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from opsctl.facts.systemd import STATES, Unit

PROPERTIES = (
    "Id",
    "Names",
    "LoadState",
    "LoadError",
    "ActiveState",
    "SubState",
    "Result",
    "Type",
    "Restart",
    "RemainAfterExit",
    "ExecMainCode",
    "ExecMainStatus",
    "NRestarts",
    "UnitFileState",
    "NeedDaemonReload",
    "MainPID",
    "MemoryCurrent",
    "MemoryMax",
    "TasksCurrent",
    "ActiveEnterTimestamp",
    "InactiveEnterTimestamp",
    "StateChangeTimestamp",
    "ConditionResult",
    "ConditionTimestamp",
    "FragmentPath",
    "DropInPaths",
    "EnvironmentFiles",
    "TriggeredBy",
    "WantedBy",
    "RequiredBy",
    "ConsistsOf",
)
RESTART_SCHEDULED = "5eb03494b6584870a536b337290809b3"
"""MESSAGE_ID with which systemd logs an automatic restart."""
OUT_OF_MEMORY = "fe6faa94e7774663a0da52717891d8ef"
"""MESSAGE_ID with which systemd logs that the kernel killed a process of a unit."""
STARTED = "39f53479d3a045ac8e11786248231fbf"
"""MESSAGE_ID with which systemd logs that a unit has started."""
MAX_UNITS = 500
MAX_LINE = 300
KILLED_CODES = ("2", "3")
"""CLD_KILLED and CLD_DUMPED: the status is a signal."""


def blocks(text: str, most: int = MAX_UNITS) -> list[dict[str, str]]:
    """Return the units of `systemctl show`, each as its properties."""
    result: list[dict[str, str]] = []
    for block in re.split(r"\n\s*\n", text.strip())[:most]:
        values: dict[str, str] = {}
        for line in block.splitlines()[:200]:
            name, separator, value = line.partition("=")
            if separator and name.isidentifier():
                values[name] = f"{values[name]} {value}"[:4000] if name in values else value[:4000]
        if values.get("Id"):
            result.append(values)
    return result


def full_name(unit: str) -> str:
    """Return a unit's name with its type: `nginx` is `nginx.service`."""
    known = r"\.(service|socket|target|timer|path|mount|slice|scope|device|swap|automount)$"
    return unit if re.search(known, unit) else f"{unit}.service"


class Units:
    """The units of `systemctl show`, found by name or alias."""

    def __init__(self, every: list[dict[str, str]]) -> None:
        self.every = every
        self._by_name: dict[str, dict[str, str]] = {}
        for values in every:
            for alias in values.get("Names", "").split():
                self._by_name.setdefault(alias, values)
        for values in reversed(every):  # a unit's own name comes before another's alias
            self._by_name[values["Id"]] = values

    def find(self, unit: str) -> dict[str, str] | None:
        """Return the properties of a unit by its name or one of its aliases."""
        return self._by_name.get(full_name(unit))


def unit_from(values: dict[str, str], member: bool = False) -> Unit:
    """Return a unit from its properties; what systemd does not say stays None."""
    state = values.get("ActiveState", "")
    return Unit(
        name=values.get("Id", "")[:MAX_LINE],
        states={name: int(name == state) for name in (*STATES, *([state] if state else []))},
        sub_state=values.get("SubState", "")[:64],
        load_state=values.get("LoadState", "")[:64],
        load_error=_load_error(values.get("LoadError", "")),
        file_state=values.get("UnitFileState", "")[:64],
        result=values.get("Result", "")[:64],
        type=values.get("Type", "")[:64],
        restart_policy=values.get("Restart", "")[:64],
        remains_after_exit=_flag(values.get("RemainAfterExit")),
        exit_status=number(values.get("ExecMainStatus")),
        killed_by_signal=values["ExecMainCode"] in KILLED_CODES if "ExecMainCode" in values else None,
        restarts=number(values.get("NRestarts")),
        started_at=moment(values.get("ActiveEnterTimestamp")),
        stopped_at=moment(values.get("InactiveEnterTimestamp")),
        changed_at=moment(values.get("StateChangeTimestamp")),
        needs_reload=_flag(values.get("NeedDaemonReload")),
        memory_current=number(values.get("MemoryCurrent")),
        memory_max=number(values.get("MemoryMax")),
        tasks=number(values.get("TasksCurrent")),
        condition_failed=_condition_failed(values),
        main_pid=number(values.get("MainPID")) or None,
        file=values.get("FragmentPath", "")[:MAX_LINE],
        environment_files=environment_files(values.get("EnvironmentFiles", "")),
        triggered_by=names(values.get("TriggeredBy")),
        wanted_by=names(values.get("WantedBy")) + names(values.get("RequiredBy")),
        member=member,
    )


def members(values: dict[str, str]) -> list[str]:
    """Return the units that a unit only stands for, e.g. those of Debian's `postgresql.service`.

    Such a unit is a target, or a oneshot that runs nothing to speak of and stays active.
    """
    collective = values.get("Type") == "oneshot" and values.get("RemainAfterExit") == "yes"
    if collective or values.get("Id", "").endswith(".target"):
        return [name for name in names(values.get("ConsistsOf")) if name.endswith(".service")]
    return []


def names(text: str | None) -> list[str]:
    """Return a list of unit names, bounded."""
    return [name[:MAX_LINE] for name in (text or "").split()[:50]]


def environment_files(text: str) -> list[str]:
    """Return the files that must be there: `/etc/app.env (ignore_errors=no)`."""
    return [path[:MAX_LINE] for path in re.findall(r"(\S+) \(ignore_errors=no\)", text)[:10]]


def number(text: str | None) -> int | None:
    """Return a whole number; None for `[not set]`, `infinity`, and the largest one, which means unset."""
    if text is None or not text.isascii() or not text.isdigit() or len(text) > 19:
        return None
    return int(text)


def moment(text: str | None) -> float | None:
    """Return the unix time of `Sat 2026-11-21 04:20:32 UTC`; None for no time at all."""
    found = re.search(r"(\d{4})-(\d\d)-(\d\d) (\d\d):(\d\d):(\d\d) UTC", text or "", re.ASCII)
    if not found:
        return None
    try:
        year, month, day, hour, minute, second = (int(part) for part in found.groups())
        return datetime(year, month, day, hour, minute, min(second, 59), tzinfo=UTC).timestamp()
    except (ValueError, OverflowError):
        return None


def _flag(text: str | None) -> bool | None:
    return {"yes": True, "no": False}.get(text or "")


def _condition_failed(values: dict[str, str]) -> bool | None:
    checked = moment(values.get("ConditionTimestamp")) is not None
    passed = _flag(values.get("ConditionResult"))
    return None if passed is None else checked and not passed


def _load_error(text: str) -> str:
    """Return the words of `org.freedesktop.systemd1.NoSuchUnit "Unit x.service not found."`."""
    found = re.search(r'"(.*)"', text)
    return found.group(1)[:MAX_LINE] if found else ""


@dataclass(frozen=True, slots=True)
class History:
    """What happened to a unit since it was last started by hand, as far as the journal was read."""

    restarts: int = 0
    oom_kills: tuple[float, ...] = ()
    started_by_hand: float | None = None


def history(text: str) -> History:
    """Read `journalctl -o json` lines of systemd about one unit, oldest first.

    A start that no scheduled restart came before was made by hand (or by a job): what was before
    it is over. systemd's own counter is no help, it may outlive a restart by hand.
    """
    found, automatic = History(), False
    for line in text.splitlines()[:2000]:
        entry = _entry(line)
        microseconds = number(str(entry.get("__REALTIME_TIMESTAMP", "")))
        at = microseconds / 1e6 if microseconds is not None else None
        kind = entry.get("MESSAGE_ID")
        if kind == RESTART_SCHEDULED:
            found, automatic = replace(found, restarts=found.restarts + 1), True
        elif kind == OUT_OF_MEMORY and at is not None:
            found = replace(found, oom_kills=(*found.oom_kills, at))
        elif kind == STARTED:
            found, automatic = found if automatic else History(started_by_hand=at), False
    return found


def _entry(line: str) -> dict[str, Any]:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def log_lines(text: str, most: int = 20) -> list[str]:
    """Return the last lines of a journal, printable and bounded."""
    lines = [
        "".join(letter if letter.isprintable() else " " for letter in line).strip()[:MAX_LINE]
        for line in text.splitlines()[-10 * most :]
    ]
    return [line for line in lines if line][-most:]
