"""`python -m tests.lab`: break real systems, one fault at a time, and score what opsctl says."""

from __future__ import annotations

import argparse
import json
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
    parser.add_argument("--workers", type=int, default=1, help="how many systems are run at once")
    parser.add_argument(
        "--controls", type=int, help="looks at each healthy system; 44 in a full run, else none"
    )
    parser.add_argument("--compare", nargs=2, type=Path, metavar="REPORT", help="do two runs agree?")
    parser.add_argument("--verbose", action="store_true", help="tell every step")
    parser.add_argument("--sweep", action="store_true", help="remove what killed runs have left, and stop")
    arguments = parser.parse_args()
    if arguments.sweep:
        from tests.lab.machine import sweep

        print("\n".join(sweep()))
        return 0
    if arguments.compare:
        return compare(*arguments.compare)
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
        return runner.run(
            arguments.only,
            arguments.stack,
            arguments.shared_machine,
            arguments.repeat,
            path,
            arguments.workers,
            arguments.controls,
            arguments.verbose,
        )
    except LabUnavailable as reason:
        print(f"the lab cannot run here: {reason}", file=sys.stderr)
        return 3


def compare(first: Path, second: Path) -> int:
    """Say on which faults two reports do not have the same verdict; 0 where they agree."""
    from tests.lab.score import differences

    reports = [json.loads(path.read_text()) for path in (first, second)]
    lines = differences(*reports)
    for line in lines:
        print(line)
    count = len(reports[0]["faults"])
    print(f"{count} faults, {'the same verdicts' if not lines else f'{len(lines)} with another verdict'}")
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main())
