"""Begins to follow the log files of a stack before anybody has asked for them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from opsctl.logs.following import Following
from opsctl.probes.logs_metrics import follow_file
from opsctl.stack.specs import LogSpec

if TYPE_CHECKING:
    from pathlib import Path

    from exporters.looking import Lookout


def follow_logs(lookout: Lookout, directory: Path | None) -> Following:
    """Return what follows the logs of a stack; what is no file is followed from the first scrape on."""
    lookout.secrets()  # what is counted is redacted from the first line on
    following = Following(lookout.redactor, directory)
    for item in lookout.of_kinds(["logs"]):
        if isinstance(item.spec, LogSpec) and item.spec.path:
            log = following.log(item.target.id, item.spec.format)
            follow_file(log, item.spec, lookout.stack, begin=False)  # it may hang: the thread's affair
    return following
