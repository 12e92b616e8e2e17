"""`python -m tests.lab`: break real systems, one fault at a time, and score what opsctl says."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from tests.servers.image import LabUnavailable


def main() -> int:
    """Parse the arguments and run."""
    parser = argparse.ArgumentParser(prog="python -m tests.lab", description=__doc__)
    parser.add_argument("--only", action="append", default=[], help="SYSTEM/FAULT, a pattern, or a kind")
    parser.add_argument("--stack", action="append", default=[], help="only this system")
    parser.add_argument("--repeat", type=int, default=1, help="how often each fault is run")
    parser.add_argument("--list", action="store_true", help="list the faults and stop")
    parser.add_argument("--report", type=Path, help="where the report goes; default build/lab/report.json")
    parser.add_argument(
        "--shared-machine", action="store_true", help="leave out the pressure that other work here causes"
    )
    arguments = parser.parse_args()
    from tests.lab import runner
    from tests.servers.systemd import unavailable

    if arguments.list:
        for fault in runner.chosen(arguments.only, arguments.stack):
            wanted = ", ".join(f"{slug}@{role}" for slug, role in fault.expect) or "nothing"
            print(f"{fault.id:<50} {wanted}{f'  [{fault.special}]' if fault.special else ''}")
        return 0
    try:
        reason = unavailable()
        if reason:
            raise LabUnavailable(reason)
        path = arguments.report or runner.REPORT
        return runner.run(arguments.only, arguments.stack, arguments.shared_machine, arguments.repeat, path)
    except LabUnavailable as reason:
        print(f"the lab cannot run here: {reason}", file=sys.stderr)
        return 3


if __name__ == "__main__":
    sys.exit(main())
