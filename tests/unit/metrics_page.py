"""docs/metrics.md, made from the declarations: `python -m tests.unit.metrics_page` writes it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from exporters.pages import PAGES
from exporters.reference import Entry, entries
from exporters.reference_text import markdown
from opsctl.render.markdown import code, inline, table

DATA = Path(__file__).parent / "data" / "metrics"
PAGE = Path(__file__).parent.parent.parent / "docs" / "metrics.md"
STANDARD: dict[str, dict[str, Any]] = json.loads((DATA / "standard.json").read_text())
COMMAND = "python -m tests.unit.metrics_page"

_HEAD = f"""# Metrics

<!-- made from the declarations by `{COMMAND}`; do not edit -->

What `opsctl exporter` can show, by path; `opsctl metrics` shows the same (`opsctl metrics pg_locks`,
`opsctl metrics /metrics/redis -O json`). A number that could not be read is absent, never 0.

Labels that are not in the tables: `service` on everything that belongs to a service, and where a path
shows several targets of one kind, what tells them apart ([exporter.md](exporter.md)). The fact is where
`opsctl snapshot` has the same number: kind and field.
"""


def left_out() -> dict[str, str]:
    """Return the standard names that are queried and left out, each with its reason."""
    found: dict[str, str] = {}
    for file in ("left_out.txt", "left_out_services.txt"):
        for line in (DATA / file).read_text().splitlines():
            if line and not line.startswith("#"):
                name, _, reason = line.partition(",")
                found[name.strip()] = reason.strip()
    return found


def queried() -> list[str]:
    """Return the standard names that dashboards and rule files ask for."""
    return sorted(name for name, known in STANDARD.items() if known["queried_by"])


def page_text() -> str:
    """Return the text of docs/metrics.md."""
    items = entries()
    parts = [_HEAD.rstrip(), *_standard(items)]
    paths = [*(f"/metrics/{name}" for name in PAGES), "/metrics/findings", "/probe", "/metrics"]
    assert {path for item in items for path in item.paths} == {*paths}
    for path in paths:
        parts += [f"## {path}", markdown([item for item in items if path in item.paths], with_paths=False)]
    return "\n\n".join(parts) + "\n"


def _standard(items: list[Entry]) -> list[str]:
    names, wanted = {item.name for item in items}, queried()
    there = sum(name in names for name in wanted)
    rows = [(code(name), str(STANDARD[name]["queried_by"]), inline(why)) for name, why in left_out().items()]
    return [
        "## Standard names",
        f"The standard exporters emit {len(STANDARD)} names that are listed here; "
        f"{len(wanted)} of them are asked for\nby at least one of 37 popular dashboards and rule files. "
        f"opsctl has {there} of those, {there / len(wanted):.1%},\nwith the same type and labels. Left out:",
        table(("metric", "asked for by", "why it is left out"), rows),
    ]


if __name__ == "__main__":
    PAGE.write_text(page_text())
