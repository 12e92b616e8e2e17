"""What systemd's results and exit codes mean, in words that say what to look at. Pure.

After the tables of systemd.exec(5), "Process Exit Codes", and systemd.service(5), "Result=".
"""

from __future__ import annotations

import re
import signal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from opsctl.facts.systemd import Unit

EXIT_MEANINGS = {
    1: "the program itself gave up",
    2: "the program was called with wrong arguments or a bad configuration",
    126: "the program cannot be executed",
    127: "a command was not found",
    200: "WorkingDirectory= does not exist or cannot be entered",
    203: "the program of ExecStart= is missing or cannot be executed",
    205: "a resource limit could not be set",
    206: "OOMScoreAdjust= could not be set",
    208: "standard input could not be set up",
    209: "standard output could not be set up",
    210: "RootDirectory= cannot be entered",
    216: "Group= does not exist",
    217: "User= does not exist",
    218: "capabilities could not be set",
    219: "the control group could not be set up",
    222: "standard error could not be set up",
    224: "the PAM session could not be opened",
    225: "the network namespace could not be set up",
    226: "the mount namespace could not be set up: a path of ReadWritePaths= or its like is missing",
    228: "the system call filter could not be set",
    231: "the AppArmor profile could not be set",
    233: "RuntimeDirectory= could not be made",
    235: "the owner of a file could not be changed",
    238: "StateDirectory= could not be made",
    239: "CacheDirectory= could not be made",
    240: "LogsDirectory= could not be made",
    241: "ConfigurationDirectory= could not be made",
    243: "a credential could not be loaded",
}
RESULT_MEANINGS = {
    "exit-code": "it ended with an error",
    "signal": "it was killed by a signal",
    "core-dump": "it crashed",
    "timeout": "it did not start or stop in time",
    "watchdog": "it stopped answering its watchdog",
    "protocol": "it did not say that it is ready, or its PID file is missing",
    "start-limit-hit": "it was started too often in too short a time",
    "oom-kill": "the kernel killed it for want of memory",
    "resources": "systemd could not prepare its start",
    "exec-condition": "its ExecCondition= said no",
}
FIXES = {
    126: "Make the program executable, and look at the interpreter in its first line.",
    127: "Install the missing command, or correct the path in the script that ExecStart= runs.",
    200: "Make the folder, or correct WorkingDirectory=.",
    203: "Install the program, or correct the path in ExecStart=; its first line may name a missing one too.",
    216: "Make the group, or correct Group=.",
    217: "Make the user, or correct User=.",
    226: "Make the missing path, or correct the sandbox settings of the unit.",
}
BOOKKEEPING = (
    "Started ",
    "Starting ",
    "Stopped ",
    "Stopping ",
    "Failed to start ",
    "Reloading ",
    "Reloaded ",
)
"""How systemd's own lines about a unit begin."""
ENVIRONMENT_FILE = "Failed to load environment files"


def ending(unit: Unit) -> str:
    """Return how a unit's last run ended: `exit code 203: the program … is missing`."""
    if misses_environment(unit):
        return f"its EnvironmentFile= {' '.join(unit.environment_files)} cannot be read"
    if unit.killed_by_signal and unit.exit_status:
        return f"killed by {signal_name(unit.exit_status)}"
    if unit.result == "exit-code" and unit.exit_status:
        meaning = EXIT_MEANINGS.get(unit.exit_status)
        return f"exit code {unit.exit_status}" + (f": {meaning}" if meaning else "")
    return RESULT_MEANINGS.get(unit.result, f"result {unit.result or 'unknown'}")


def logged_ending(unit: Unit) -> str:
    """Return how the run before this one ended, from systemd's own line about it; empty where it is gone."""
    for line in reversed(unit.log):
        found = re.search(
            r"Main process exited, code=(exited|killed|dumped), status=(\d{1,3})/", line, re.ASCII
        )
        if found:
            number = int(found.group(2))
            if found.group(1) != "exited":
                return f"killed by {signal_name(number)}"
            meaning = EXIT_MEANINGS.get(number)
            return f"exit code {number}" + (f": {meaning}" if meaning else "")
    return ""


def fix(unit: Unit) -> str:
    """Return what to do about it."""
    if misses_environment(unit):
        return "Put the file of EnvironmentFile= back, or correct its path, then start the unit."
    if unit.result == "exit-code" and unit.exit_status in FIXES:
        return f"{FIXES[unit.exit_status]} Then start the unit."
    if unit.result == "timeout":
        return "See in its log what it waited for; a dependency that does not answer is the usual reason."
    return "Read why in its log, correct that, then start the unit."


def misses_environment(unit: Unit) -> bool:
    """True where systemd said that it could not read an environment file."""
    return unit.result == "resources" and any(ENVIRONMENT_FILE in line for line in unit.log)


def signal_name(number: int) -> str:
    """Return SIGKILL for 9; the number itself where it has no name."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def telling_line(unit: Unit) -> str:
    """Return the journal line that says most: why a step failed, else the program's own last words."""
    own = [line for line in unit.log if not line.startswith((f"{unit.name}: ", *BOOKKEEPING))]
    steps = [line for line in unit.log if line.startswith(f"{unit.name}: ") and _tells(line)]
    return steps[-1] if steps else own[-1] if own else ""


def _tells(line: str) -> bool:
    return any(words in line for words in ("Failed at step", ENVIRONMENT_FILE, "Can't open PID file"))
