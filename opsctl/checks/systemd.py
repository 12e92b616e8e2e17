"""Units of the stack: do they run, and will they after the next boot. `subject` is the unit's name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from opsctl.checks import systemd_words as words
from opsctl.checks.base import CheckContext, Limits, NotObserved, check
from opsctl.checks.wording import bytes_text, count_text, seconds_text
from opsctl.model import Evidence, Status

if TYPE_CHECKING:
    from collections.abc import Iterator

    from opsctl.facts.systemd import SystemdFacts, Unit
    from opsctl.model import Finding

NEEDS = "systemctl show"
STARTING_SECONDS = 90.0
"""systemd's own DefaultTimeoutStartSec: who is longer at it than that, hangs."""
SETTLED_SECONDS = 120.0
"""A unit that runs this long, and twice as long as it usually did, has stopped crash-looping."""
KILLS_PART = "memory kills of "
"""What the name of an unread part begins with where neither journal nor kernel told of kills."""
WINDOW_SECONDS = 600.0
"""How far back the journal is read."""


def _units(facts: SystemdFacts) -> list[Unit]:
    """Return the units to judge: the members of one that only stands for others, or the unit itself.

    Where one of the members runs, those that never ran are left alone: several versions of a
    server may be installed beside each other.
    """
    if not facts.units:
        raise NotObserved("systemd said nothing of the unit", "systemctl status")
    inner = [unit for unit in facts.units if unit.member]
    if not inner:
        return facts.units[:1]
    some_run = any(unit.running for unit in inner)
    meant = [unit for unit in inner if not (some_run and unit.state == "inactive")]
    return [unit for unit in facts.units[:1] if unit.load_state in ("not-found", "masked")] or meant


def _loaded(unit: Unit) -> bool:
    return unit.load_state not in ("not-found", "masked", "bad-setting", "error")


def _show(unit: Unit, names: str) -> str:
    return f"systemctl show -p {names} {unit.name}"


def _log_evidence(unit: Unit, context: CheckContext, most: int = 3) -> list[Evidence]:
    said = [words.telling_line(unit)] if words.telling_line(unit) else []
    rows = said or unit.log[-most:]
    return [
        Evidence(text=line, value=line, source=f"journalctl -u {unit.name} -n 20", at=context.at)
        for line in rows
    ]


def _look(unit: Unit) -> list[str]:
    return [f"systemctl status --no-pager {unit.name}", f"journalctl -u {unit.name} -n 50 --no-pager"]


def _since(moment: float | None, context: CheckContext) -> str:
    return f" {seconds_text(max(context.at.timestamp() - moment, 0))} ago" if moment else ""


def _for(moment: float | None, context: CheckContext) -> str:
    return f" for {seconds_text(max(context.at.timestamp() - moment, 0))}" if moment else ""


@check("systemd/unit-missing", needs=NEEDS, reachability=True)
def unit_missing(facts: SystemdFacts, context: CheckContext) -> Iterator[Finding]:
    """The unit does not exist on this machine, or its file cannot be understood."""
    for unit in _units(facts):
        reason = {
            "not-found": "there is no such unit",
            "bad-setting": "its file has a setting that systemd cannot use",
            "error": "its file cannot be loaded",
        }.get(unit.load_state)
        if reason is None:
            yield context.ok(f"{unit.name} is {unit.load_state or 'known'}", subject=unit.name)
            continue
        status = Status.WARNING if unit.running else Status.CRITICAL
        more = "; what runs was started before" if unit.running else ""
        detail = f" ({unit.load_error})" if unit.load_error and unit.load_state != "not-found" else ""
        yield context.finding(
            status,
            f"{unit.name}: {reason}{detail}{more}",
            subject=unit.name,
            value=unit.load_state,
            threshold="loaded",
            source=_show(unit, "LoadState,LoadError"),
            fix="Install the unit file, or correct its name in the stack file; then "
            "`systemctl daemon-reload` and `systemctl enable --now`.",
            commands=[f"systemctl cat {unit.name}", f"systemd-analyze verify {unit.file or unit.name}"],
        )


@check("systemd/masked", needs=NEEDS, reachability=True)
def masked(facts: SystemdFacts, context: CheckContext) -> Iterator[Finding]:
    """The unit is masked: it cannot be started by anything."""
    for unit in _units(facts):
        if unit.load_state != "masked" and unit.file_state not in ("masked", "masked-runtime"):
            yield context.ok(f"{unit.name} is not masked", subject=unit.name)
            continue
        running = "; it still runs, but will not start again" if unit.running else " and does not run"
        yield context.finding(
            Status.WARNING if unit.running else Status.CRITICAL,
            f"{unit.name} is masked{running}",
            subject=unit.name,
            value="masked",
            threshold="loaded",
            source=_show(unit, "LoadState,UnitFileState"),
            fix=f"Find out who masked it and why; then `systemctl unmask {unit.name}` and start it.",
            commands=[f"systemctl is-enabled {unit.name}", f"ls -l /etc/systemd/system/{unit.name}"],
        )


@check("systemd/failed", needs="systemctl show, the unit's journal", reachability=True)
def failed(facts: SystemdFacts, context: CheckContext) -> Iterator[Finding]:
    """The unit has failed and systemd has given it up."""
    for unit in _units(facts):
        if unit.state != "failed":
            yield context.ok(f"{unit.name} has not failed", subject=unit.name)
            continue
        yield context.critical(
            f"{unit.name} failed{_since(unit.stopped_at, context)}: {words.ending(unit)}",
            subject=unit.name,
            value=unit.exit_status if unit.result == "exit-code" else unit.result,
            source=_show(unit, "Result,ExecMainCode,ExecMainStatus"),
            evidence=_log_evidence(unit, context),
            fix=words.fix(unit),
            commands=_look(unit),
        )


@check(
    "systemd/inactive",
    needs=NEEDS,
    reachability=True,
    code="not-started where it never ran since the boot, else stopped",
)
def inactive(facts: SystemdFacts, context: CheckContext) -> Iterator[Finding]:
    """The unit does not run, although nothing has failed: somebody stopped it, or nobody started it."""
    for unit in _units(facts):
        if not _loaded(unit):
            yield context.ok(f"{unit.name} is {unit.load_state}", subject=unit.name)
        elif unit.state == "inactive" and not _rests(unit):
            yield _inactive(unit, context)
        elif unit.state == "activating" and unit.sub_state != "auto-restart":
            yield _changing(unit, context, "starting")
        elif unit.state == "deactivating":
            yield _changing(unit, context, "stopping")
        else:
            resting = f", as one that {_rests(unit)} does" if unit.state == "inactive" else ""
            yield context.ok(f"{unit.name} is {unit.state} ({unit.sub_state}){resting}", subject=unit.name)


def _rests(unit: Unit) -> str:
    """Say why a unit may be inactive and well: done, or waiting for its timer or socket."""
    trigger = next((name for name in unit.triggered_by if name.endswith((".timer", ".socket", ".path"))), "")
    if trigger:
        return f"waits for {trigger}"
    once = unit.type == "oneshot" and not unit.remains_after_exit and unit.result == "success"
    return "runs once" if once else ""


def _inactive(unit: Unit, context: CheckContext) -> Finding:
    if unit.condition_failed:
        why, fix = ": a Condition of it does not hold", "See which condition does not hold, and make it true."
    elif unit.stopped_at is None:
        why = ": it was not started since the machine booted"
        fix = f"Start it, and have it started at boot: systemctl enable --now {unit.name}"
    elif unit.result == "success" and unit.restart_policy in ("no", "on-failure", "on-abnormal", "on-abort"):
        why = f"; it was stopped, or ended without an error,{_since(unit.stopped_at, context)}"
        fix = f"Find out who stopped it; start it: systemctl start {unit.name}"
    else:
        why = f"; it was stopped{_since(unit.stopped_at, context)}"
        fix = f"Find out who stopped it; start it: systemctl start {unit.name}"
    return context.critical(
        f"{unit.name} does not run{why}",
        subject=unit.name,
        code="not-started" if unit.stopped_at is None else "stopped",
        value="inactive",
        threshold="active",
        source=_show(unit, "ActiveState,SubState,InactiveEnterTimestamp"),
        evidence=_log_evidence(unit, context),
        fix=fix,
        commands=_look(unit),
    )


def _changing(unit: Unit, context: CheckContext, doing: str) -> Finding:
    """Judge a unit between two states: normal for a moment, a hang after systemd's own limit."""
    seconds = max(context.at.timestamp() - unit.changed_at, 0) if unit.changed_at else 0
    if seconds < STARTING_SECONDS or unit.type == "oneshot":
        return context.ok(f"{unit.name} is {doing}{_for(unit.changed_at, context)}", subject=unit.name)
    return context.critical(
        f"{unit.name} is {doing}{_for(unit.changed_at, context)} ({unit.sub_state})",
        subject=unit.name,
        value=round(seconds),
        threshold=STARTING_SECONDS,
        unit="seconds",
        source=_show(unit, "ActiveState,SubState,StateChangeTimestamp"),
        evidence=_log_evidence(unit, context),
        fix="See in its log what it waits for.",
        commands=_look(unit),
    )


@check(
    "systemd/crash-looping",
    needs="systemctl show, the journal of the last 10 minutes",
    permission="reading the journal (root, group systemd-journal or adm)",
    limits=Limits(3, 3, "restarts in 10 minutes", source="systemd itself gives up at 5 starts in 10 seconds"),
    reachability=True,
)
def crash_looping(facts: SystemdFacts, context: CheckContext) -> Iterator[Finding]:
    """The unit starts, dies and is started again, over and over.

    Automatic restarts of the last ten minutes count, unless it was started by hand since or
    has been running for much longer than it usually did.
    """
    for unit in _units(facts):
        yield _looping(unit, context)


def _looping(unit: Unit, context: CheckContext) -> Finding:
    gave_up = unit.state == "failed" and unit.result == "start-limit-hit"
    if not unit.restarts and not gave_up:
        return context.ok(f"{unit.name} has not restarted by itself", subject=unit.name)
    up_for = context.at.timestamp() - unit.started_at if unit.running and unit.started_at else 0.0
    if up_for >= WINDOW_SECONDS:
        return context.ok(f"{unit.name} has been running for {seconds_text(up_for)}", subject=unit.name)
    waiting = unit.sub_state == "auto-restart"
    count = unit.restarts_lately  # systemd's own counter is since the start by hand, however long ago
    if count is None and not (gave_up or waiting):
        return context.finding(
            Status.UNKNOWN,
            f"the journal of {unit.name} could not be read, so its restarts of late are not known",
            subject=unit.name,
            hint="run as root, or join group systemd-journal or adm",
        )
    if up_for >= max(SETTLED_SECONDS, 2 * WINDOW_SECONDS / max(count or 0, 1)):
        return context.ok(f"{unit.name} has been running for {seconds_text(up_for)}", subject=unit.name)
    status = Status.CRITICAL if gave_up else context.limits.status(count or 0)
    if waiting and status is Status.OK and count != 0:
        status = Status.WARNING
    state = f"now {unit.state} ({unit.sub_state})"
    if gave_up or (unit.state == "failed" and status.failing):
        state = "systemd gave it up"
    often = count_text(count, "time") if count is not None else "by itself, how often lately is not known"
    ending = words.logged_ending(unit) or (words.ending(unit) if unit.result != "success" else "")
    reason = f": {ending}" if status.failing and ending else ""
    return context.finding(
        status,
        f"{unit.name} restarted {often}, {state}{reason}",
        subject=unit.name,
        value=count,
        threshold=context.limits.limit_for(status),
        unit=context.limits.unit,
        source=f"journalctl -u {unit.name} --since -10min | grep 'restart counter'",
        evidence=_log_evidence(unit, context),
        fix=words.fix(unit),
        commands=_look(unit),
    )


@check(
    "systemd/oom-killed",
    needs="systemctl show, the journal and the kernel's log of the last 10 minutes",
    reachability=True,
)
def oom_killed(facts: SystemdFacts, context: CheckContext) -> Iterator[Finding]:
    """The kernel killed the unit, or a worker of it, because memory ran out.

    Over where the unit was started by hand afterwards. On control groups v1 systemd does not
    notice such kills; the kernel's log does.
    """
    for unit in _units(facts):
        unread = facts.problem(f"{KILLS_PART}{unit.name}")
        if unread is not None and unit.result != "oom-kill":
            yield context.finding(Status.UNKNOWN, unread.message, subject=unit.name, hint=unread.hint)
        else:
            yield _oom(unit, context)


def _oom(unit: Unit, context: CheckContext) -> Finding:
    killed_now = unit.result == "oom-kill" and not unit.running
    kills = unit.oom_kills_lately or 0
    if not killed_now and not kills:
        return context.ok(f"{unit.name} was not killed for want of memory", subject=unit.name)
    when = _since(unit.last_oom_kill or unit.stopped_at, context)
    if not unit.running and unit.result == "success":  # what is killed for good does not end with success
        words = f"{unit.name} was killed for want of memory{when}, ran again, and was stopped in order since"
        return context.ok(words, subject=unit.name)
    limit = f" at its limit of {bytes_text(unit.memory_max)}" if unit.memory_max else ""
    worker = unit.running and not unit.restarts
    what = "a worker of " if worker else ""
    after = "; its main process still runs" if worker else "; it has restarted" if unit.running else ""
    return context.finding(
        Status.WARNING if unit.running else Status.CRITICAL,
        f"{what}{unit.name} was killed for want of memory{limit}{when}{after}",
        subject=unit.name,
        value=max(kills, 1),
        unit="kills in 10 minutes",
        source=f"dmesg -T | grep -i 'killed process' | tail; {_show(unit, 'Result,MemoryMax')}",
        evidence=_log_evidence(unit, context),
        fix="Find out why its memory grows; raise MemoryMax= if the need is real, then start the unit.",
        commands=[*_look(unit), _show(unit, "MemoryCurrent,MemoryPeak,MemoryMax")],
    )


@check("systemd/not-enabled", needs=NEEDS, role="risk", reachability=True)
def not_enabled(facts: SystemdFacts, context: CheckContext) -> Iterator[Finding]:
    """The unit will not start after the next boot."""
    for unit in facts.units[:1]:
        started_by = [*unit.triggered_by, *unit.wanted_by]
        if not _loaded(unit) or unit.file_state != "disabled" or started_by:
            how = f"started by {started_by[0]}" if started_by else unit.file_state or unit.load_state
            yield context.ok(f"{unit.name}: {how}", subject=unit.name)
            continue
        yield context.warning(
            f"{unit.name} is disabled: it will not start after the next boot",
            subject=unit.name,
            value="disabled",
            threshold="enabled",
            source=f"systemctl is-enabled {unit.name}",
            fix="Enable it, unless something else starts it.",
            commands=[f"systemctl enable {unit.name}"],
        )


@check("systemd/reload-needed", needs=NEEDS, role="risk", reachability=True)
def reload_needed(facts: SystemdFacts, context: CheckContext) -> Iterator[Finding]:
    """The unit's file was changed, but systemd still works with the old one."""
    for unit in _units(facts):
        if not unit.needs_reload:
            yield context.ok(f"{unit.name} is as its file says", subject=unit.name)
            continue
        yield context.warning(
            f"the file of {unit.name} has changed since systemd read it ({unit.file or 'a drop-in'})",
            subject=unit.name,
            value="yes",
            threshold="no",
            source=_show(unit, "NeedDaemonReload"),
            fix="Look at what changed; then `systemctl daemon-reload` and, when it suits, restart the unit.",
            commands=[f"systemctl cat {unit.name}", f"systemd-analyze verify {unit.file or unit.name}"],
        )
