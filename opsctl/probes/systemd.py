"""Looks at the stack's units: one `systemctl show` for all of them, and the journal of the sick ones."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from opsctl import system
from opsctl.facts.base import FactProblem
from opsctl.facts.systemd import SystemdFacts, Unit
from opsctl.probes import host_kernel
from opsctl.probes import systemd_parsing as parsing
from opsctl.probes.base import ProbeContext, ProbeError
from opsctl.probes.remembering import for_metrics
from opsctl.probes.systemd_details import details, kept_history, shown_units

if TYPE_CHECKING:
    from opsctl.probes.host_parsing import KernelKill

LOG_LINES = 20
LATELY = "-10min"
LATELY_SECONDS = 600.0
UNIT_FOLDERS = ("/etc/systemd/system", "/run/systemd/system", "/usr/lib/systemd/system")
JOURNAL_HINT = "run as root, or join group systemd-journal or adm"


def probe(context: ProbeContext) -> SystemdFacts:
    """Return the facts of one unit and of those that it stands for."""
    asked = context.service.unit
    every = context.shared.once("systemd units", lambda: parsing.Units(_all_units(context)))
    values = every.find(asked)
    if values is None:  # systemctl stops at the first name that is none
        values = parsing.Units(_show([asked], context.left)).find(asked)
    if values is None:
        raise ProbeError(
            "missing", f"systemd says nothing of {asked!r}", "is that a unit name? systemctl list-units"
        )
    units = [_with_new_drop_ins(parsing.unit_from(values), values)]
    inner = parsing.members(values)
    if inner:
        shown = _show(inner, context.left)
        units += [parsing.unit_from(item, member=True) for item in shown]
    problems: list[FactProblem] = []
    units = [with_history(unit, context, problems) for unit in units]
    return SystemdFacts(
        up=is_up(units),
        asked=asked,
        units=units,
        details=details(context, every.every, problems),
        problems=problems,
    )


def is_up(units: list[Unit]) -> bool:
    """True where the unit, or one of those that it stands for, is active. Pure."""
    inner = [unit for unit in units if unit.member]
    return any(unit.running for unit in inner) if inner else units[0].running


def _all_units(context: ProbeContext) -> list[dict[str, str]]:
    """Ask for every unit that the stack names at once; for metrics, for those of the machine with them."""
    names = sorted({service.unit for service in context.stack.spec.services.values() if service.unit})
    if for_metrics(context):
        return shown_units(context, names)
    return _show(names, context.left)


def _show(names: list[str], seconds: float) -> list[dict[str, str]]:
    argv = ["systemctl", "show", "--no-pager", "-p", ",".join(parsing.PROPERTIES), "--"]
    return answered(system.run([*argv, *(parsing.full_name(name) for name in names)], timeout=seconds * 0.8))


def answered(result: system.Result, most: int = parsing.MAX_UNITS) -> list[dict[str, str]]:
    """Return the units that `systemctl show` has shown.

    Raises:
        ProbeError: it has shown none; says why.
    """
    if result.missing:
        raise ProbeError(
            "missing", "there is no systemctl on this machine", "run opsctl on the machine that has the units"
        )
    if result.timed_out:
        raise ProbeError(
            "timeout", "systemd did not answer in time", "systemctl is-system-running; look at PID 1 and dbus"
        )
    found = parsing.blocks(result.stdout, most)
    if not found:
        raise _refusal(result.stderr.strip())
    return found


def _refusal(words: str) -> ProbeError:
    """Say why systemctl said nothing. Pure."""
    first = (words.splitlines() or ["systemctl said nothing"])[0][:300]
    if "not been booted with systemd" in words or "Failed to connect to bus" in words:
        return ProbeError(
            "missing",
            "this machine was not started with systemd",
            "run opsctl on the machine that has the units",
        )
    return ProbeError("refused", f"systemctl: {first}", "systemctl status")


def with_history(unit: Unit, context: ProbeContext, problems: list[FactProblem]) -> Unit:
    """Add what the journal and the kernel's log know, where something is or may have been wrong."""
    if unit.load_state in ("not-found", "masked") or not (suspicious(unit) or unit.condition_failed):
        return unit
    if for_metrics(context):
        return kept_history(unit, context, problems, lambda new: _with_history(unit, context, new))
    return _with_history(unit, context, problems)


def _with_history(unit: Unit, context: ProbeContext, problems: list[FactProblem]) -> Unit:
    history = _history(unit, context, problems)
    since = history.started_by_hand if history and history.started_by_hand else 0.0
    kills = list(history.oom_kills) if history else []
    logged = kernel_kills(context)
    own = [kill.at for kill in logged or () if unit.name in kill.cgroup.split("/") and kill.at > since]
    if own and history is not None and not since and not _reaches_back(context, max(own)):
        own = []  # the journal that would tell of a start by hand since then was emptied
    kills += own
    unread = history is None and logged is None
    if unread:
        message = f"whether {unit.name} was killed for want of memory is not known: no log could be read"
        part = f"memory kills of {unit.name}"
        problems.append(FactProblem(part=part, code="permission", message=message, hint=JOURNAL_HINT))
    restarted = history is not None and history.restarts > 0
    log = [] if unit.running and not restarted else _log(unit, context, problems)
    return msgspec.structs.replace(
        unit,
        restarts_lately=history.restarts if history else None,
        oom_kills_lately=None if unread else len({round(at) for at in kills}),
        last_oom_kill=max(kills, default=None),
        log=log,
    )


def _reaches_back(context: ProbeContext, at: float) -> bool:
    """Return whether the journal has anything from before a moment; True where it cannot be asked."""
    newest = ["-n", "1", "-o", "cat", "--output-fields=MESSAGE", "--until", f"@{at:.0f}"]
    result = system.run(["journalctl", "-q", "--no-pager", *newest], timeout=context.left * 0.4)
    return not result.ok or bool(result.stdout.strip())


def suspicious(unit: Unit) -> bool:
    """True where the journal is worth reading: it does not run, or it has restarted by itself lately."""
    lately = unit.started_at is None or time.time() - unit.started_at < LATELY_SECONDS
    return not unit.running or (bool(unit.restarts) and lately) or near_limit(unit)


def near_limit(unit: Unit) -> bool:
    """True above half of the unit's memory limit: a worker may have been killed under a living main. Pure."""
    return bool(unit.memory_max and unit.memory_current and unit.memory_current > unit.memory_max / 2)


def _history(unit: Unit, context: ProbeContext, problems: list[FactProblem]) -> parsing.History | None:
    kinds = (parsing.RESTART_SCHEDULED, parsing.OUT_OF_MEMORY, parsing.STARTED)
    fields = [f"MESSAGE_ID={kind}" for kind in kinds]
    shown = ["--output-fields=MESSAGE_ID", "-o", "json", "-n", "1000", "--since", LATELY]
    result = system.run(
        ["journalctl", "-q", "--no-pager", *shown, *fields, f"UNIT={unit.name}"], timeout=context.left * 0.5
    )
    if not result.ok:
        _journal_problem(result, problems)
        return None
    return parsing.history(result.stdout)


def _log(unit: Unit, context: ProbeContext, problems: list[FactProblem]) -> list[str]:
    result = system.run(
        ["journalctl", "-q", "--no-pager", "-o", "cat", "-n", str(LOG_LINES), "-u", unit.name],
        timeout=context.left * 0.6,
    )
    if not result.ok:
        _journal_problem(result, problems)
        return []
    return parsing.log_lines(result.stdout, LOG_LINES)


def _with_new_drop_ins(unit: Unit, values: dict[str, str]) -> Unit:
    """Notice a drop-in in a folder that is new: systemd itself looks only into those that it knew."""
    if unit.needs_reload or unit.load_state != "loaded":
        return unit
    known = {Path(path).name for path in values.get("DropInPaths", "").split()}
    found: set[str] = set()
    for folder in UNIT_FOLDERS:
        with contextlib.suppress(OSError):  # a link to /dev/null switches a drop-in off: no file
            files = (Path(folder) / f"{unit.name}.d").glob("*.conf")
            found |= {path.name for path in files if path.is_file()}
    return msgspec.structs.replace(unit, needs_reload=True) if found - known else unit


def _journal_problem(result: system.Result, problems: list[FactProblem]) -> None:
    words = (result.stderr.strip().splitlines() or ["no answer in time"])[0]
    if not any(problem.part == "journal" for problem in problems):
        problems.append(
            FactProblem(
                part="journal", code="permission", message=f"journalctl: {words}"[:300], hint=JOURNAL_HINT
            )
        )


def kernel_kills(context: ProbeContext) -> list[KernelKill] | None:
    """Return the kernel's own account of kills, None where it cannot be read.

    On control groups v1 systemd itself does not see them.
    """

    def read() -> list[KernelKill] | None:
        try:
            return host_kernel.recent_kills(0)
        except ProbeError:
            return None

    return context.shared.once("kernel kills", read)
