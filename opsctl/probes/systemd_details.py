"""What only metrics want of systemd: every service, socket and timer, and how many units there are.

Two processes for all of them and the stack's own, asked for once per run; one service of the stack tells it.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from opsctl import system
from opsctl.facts.base import FactProblem
from opsctl.facts.systemd import STATES
from opsctl.facts.systemd_details import AnyUnit, SystemdDetails
from opsctl.probes import systemd_parsing as parsing
from opsctl.probes.remembering import for_metrics, memory

if TYPE_CHECKING:
    from collections.abc import Callable

    from opsctl.facts.systemd import Unit
    from opsctl.probes.base import ProbeContext

PROPERTIES = (
    "Id",
    "LoadState",
    "ActiveState",
    "TasksCurrent",
    "TasksMax",
    "NRestarts",
    "NAccepted",
    "NConnections",
    "NRefused",
    "LastTriggerUSec",
)
TYPES = (".service", ".socket", ".timer")
PATTERNS = tuple(f"*{name}" for name in TYPES)
FROM_LOGS = ("restarts_lately", "oom_kills_lately", "last_oom_kill", "log")
"""Fields of a unit that its logs tell."""
MAX_UNITS = 5000


HISTORY_SECONDS = 30.0
"""For how long the journal of a sick unit is not read again while its state stays the same."""


def shown_units(context: ProbeContext, names: list[str]) -> list[dict[str, str]]:
    """Return the machine's units of the types above and the named ones, all from one `systemctl show`.

    Raises:
        ProbeError: it has shown none; says why.
    """
    from opsctl.probes.systemd import answered

    properties = dict.fromkeys((*parsing.PROPERTIES, *PROPERTIES))
    argv = ["systemctl", "show", "--no-pager", "--all", "-p", ",".join(properties), "--", *PATTERNS]
    argv += [parsing.full_name(name) for name in names]  # behind: it stops at the first name that is none
    found: dict[str, dict[str, str]] = {}
    for values in answered(system.run(argv, timeout=context.left * 0.6), MAX_UNITS):
        found.setdefault(values["Id"], values)
    return list(found.values())


def details(
    context: ProbeContext, shown: list[dict[str, str]], problems: list[FactProblem]
) -> SystemdDetails | None:
    """Return the machine's units of what `shown_units` gave, None where another service tells of them."""
    if not for_metrics(context):
        return None
    named = [name for name, service in context.stack.spec.services.items() if service.unit]
    if not named or named[0] != context.target.service:
        return None
    argv = ["systemctl", "list-units", "--no-pager", "--all", "--plain", "--no-legend"]
    listed = system.run(argv, timeout=context.left * 0.4)
    if not listed.ok:
        words = (listed.stderr.strip().splitlines() or ["no answer in time"])[0]
        message = f"units of the machine: systemctl: {words}"[:300]
        problems.append(
            FactProblem(
                part="units of the machine",
                code="timeout",
                message=message,
                hint="systemctl is-system-running",
            )
        )
    return SystemdDetails(counted=counted(listed.stdout), units=any_units(shown))


def kept_history(
    unit: Unit,
    context: ProbeContext,
    problems: list[FactProblem],
    read: Callable[[list[FactProblem]], Unit],
) -> Unit:
    """Return the unit with what the logs know of it; they are read again when it has changed, or in time."""
    kept = memory(context)
    if kept is None:
        return read(problems)
    histories: dict[str, _History] = kept.setdefault("histories", {})
    stamp = (unit.states, unit.restarts, unit.started_at, unit.stopped_at)
    known = histories.get(unit.name)
    if known is None or known.stamp != stamp or time.monotonic() - known.at > HISTORY_SECONDS:
        new: list[FactProblem] = []
        known = histories[unit.name] = _History(time.monotonic(), stamp, read(new), new)
    problems += [item for item in known.problems if item not in problems]
    return msgspec.structs.replace(unit, **{name: getattr(known.unit, name) for name in FROM_LOGS})


@dataclass(frozen=True)
class _History:
    at: float
    stamp: tuple[Any, ...]
    unit: Unit
    problems: list[FactProblem]


def counted(text: str) -> dict[str, int]:
    """Return how many loaded units are in each state, by `systemctl list-units --plain`. Pure."""
    found: dict[str, int] = dict.fromkeys(STATES, 0)
    for line in text.splitlines()[: MAX_UNITS * 4]:
        words = line.split()
        if len(words) >= 4 and words[1] == "loaded":
            state = words[2][:40]
            if state in found or len(found) < 20:
                found[state] = found.get(state, 0) + 1
    return found if any(found.values()) else {}


def any_units(shown: list[dict[str, str]]) -> list[AnyUnit]:
    """Return the loaded services, sockets and timers of what `systemctl show` has shown. Pure."""
    found: dict[str, AnyUnit] = {}
    for values in shown:
        name, state = values["Id"][: parsing.MAX_LINE], values.get("ActiveState", "")[:40]
        if values.get("LoadState") != "loaded" or name in found or not name.endswith(TYPES):
            continue
        found[name] = AnyUnit(
            name=name,
            type=name.rpartition(".")[2],
            states={item: int(item == state) for item in (*STATES, *([state] if state else []))},
            tasks=parsing.number(values.get("TasksCurrent")),
            tasks_max=parsing.number(values.get("TasksMax")),
            restarts=parsing.number(values.get("NRestarts")),
            accepted=parsing.number(values.get("NAccepted")),
            connections=parsing.number(values.get("NConnections")),
            refused=parsing.number(values.get("NRefused")),
            last_trigger=parsing.moment(values.get("LastTriggerUSec")),
        )
    return list(found.values())
