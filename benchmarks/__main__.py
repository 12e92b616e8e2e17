"""Run the benchmarks and print one table; ends with 1 where a limit is missed."""

from __future__ import annotations

import importlib
import os
import sys
import tempfile

from tabulate import tabulate

NAMES = (
    "startup",
    "whole_look",
    "many_targets",
    "exporters",
    "many_databases",
    "many_containers",
    "many_units",
    "following",
)


def keep_bytecode(folder: str) -> None:
    """Have every interpreter keep its bytecode in `folder`, as an installed program does.

    Without it a checkout that is not written to (PYTHONDONTWRITEBYTECODE, a read-only mount) is
    compiled anew at every start; the first turn of each benchmark, which is not counted, fills it.
    """
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    os.environ["PYTHONPYCACHEPREFIX"] = folder


def main() -> int:
    """Run the named benchmarks, or all."""
    wanted = sys.argv[1:] or list(NAMES)
    unknown = [name for name in wanted if name not in NAMES]
    if unknown:
        print(f"no benchmark named {', '.join(unknown)}; known: {', '.join(NAMES)}", file=sys.stderr)
        return 3
    rows: list[tuple[str, str, str, bool]] = []
    with tempfile.TemporaryDirectory(prefix="opsctl-bytecode-") as folder:
        keep_bytecode(folder)
        for name in wanted:
            rows += importlib.import_module(f"benchmarks.{name}").run()
    table = [(what, figures, ratio, "yes" if within else "NO") for what, figures, ratio, within in rows]
    print(tabulate(table, headers=["what", "median (range)", "ratio (limit)", "within"], tablefmt="github"))
    return 0 if all(row[3] for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
