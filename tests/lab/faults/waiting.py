"""What faults wait for: conditions on the running system, each with a limit."""

from __future__ import annotations

from tests.lab.score import RECOVERED_SECONDS
from tests.lab.stacks.base import System


def calm(lab: System, seconds: float = RECOVERED_SECONDS) -> None:
    """Wait until every documented page has answered well for so long without a break.

    It is what the score calls recovered; opsctl itself is not asked.
    """
    well = lab.healthy_script()
    lab.sh(
        f"since=$(date +%s%N); while :; do if {well}; then :; else since=$(date +%s%N); fi;"
        f" [ $(( ($(date +%s%N) - since) / 1000000 )) -ge {int(seconds * 1000)} ] && break; sleep 0.4; done",
        seconds=seconds + 60,
    )
