"""What only metrics want of systemd: every service, socket and timer, and how many units there are.

Two processes for all of them, asked for once per run; one service of the stack tells it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from opsctl import system
from opsctl.facts.base import FactProblem
from opsctl.facts.systemd import STATES
from opsctl.facts.systemd_details import AnyUnit, SystemdDetails
from opsctl.probes import systemd_parsing as parsing

if TYPE_CHECKING:
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
PATTERNS = ("*.service", "*.socket", "*.timer")
MAX_UNITS = 5000


def details(context: ProbeContext, problems: list[FactProblem]) -> SystemdDetails | None:
    """Return the machine's units, None where this is not the service that tells of them."""
    if context.options.get("detail") != "metrics":
        return None
    named = [name for name, service in context.stack.spec.services.items() if service.unit]
    if not named or named[0] != context.target.service:
        return None
    common = ["--no-pager", "--all"]
    listed = system.run(
        ["systemctl", "list-units", *common, "--plain", "--no-legend"], timeout=context.left * 0.4
    )
    argv = ["systemctl", "show", *common, "-p", ",".join(PROPERTIES), "--", *PATTERNS]
    shown = system.run(argv, timeout=context.left * 0.6)
    for result, part in ((listed, "units of the machine"), (shown, "properties of units")):
        if not result.ok:
            words = (result.stderr.strip().splitlines() or ["no answer in time"])[0]
            message, hint = f"{part}: systemctl: {words}"[:300], "systemctl is-system-running"
            problems.append(FactProblem(part=part, code="timeout", message=message, hint=hint))
    return SystemdDetails(counted=counted(listed.stdout), units=any_units(shown.stdout))


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


def any_units(text: str) -> list[AnyUnit]:
    """Return the loaded units of `systemctl show`, each name once. Pure."""
    found: dict[str, AnyUnit] = {}
    for values in parsing.blocks(text, MAX_UNITS):
        name, state = values["Id"][: parsing.MAX_LINE], values.get("ActiveState", "")[:40]
        if values.get("LoadState") != "loaded" or name in found:
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
