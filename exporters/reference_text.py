"""The reference of metrics in a format: text, JSON, YAML, Markdown."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from exporters.reference import Entry


def rendered(items: Sequence[Entry], output: str, color: bool = False, width: int | None = None) -> str:
    """Return metrics in a format: text, json, yaml or markdown; a single one is shown in full."""
    if output in ("json", "yaml"):
        import msgspec

        from opsctl.render.diagnosis import data

        return data(msgspec.to_builtins(list(items)), output)
    if output == "markdown":
        return markdown(items) + "\n"
    return _one(items[0], color, width) if len(items) == 1 else _table(items, color, width)


def markdown(items: Sequence[Entry], with_paths: bool = True) -> str:
    """Return metrics as a Markdown table; without paths, for a table of one path."""
    from opsctl.render.markdown import code, inline, table

    headers = ["metric", "type", "labels", "unit", "what it is", "standard name of", "fact"]
    rows = [
        [
            code(item.name),
            item.type,
            ", ".join(code(label) for label in item.labels),
            item.unit,
            inline(item.help),
            item.standard,
            facts_words(item, code),
        ]
        for item in items
    ]
    if with_paths:
        headers.append("path")
        for row, item in zip(rows, items, strict=True):
            row.append(", ".join(code(path) for path in item.paths))
    return table(headers, rows)


def facts_words(item: Entry, write: Callable[[str], str]) -> str:
    """Return where the value stands: three places at most."""
    rest = len(item.facts) - 3
    return ", ".join(write(place) for place in item.facts[:3]) + (f" and {rest} more" if rest > 0 else "")


def _table(items: Sequence[Entry], color: bool, width: int | None) -> str:
    from opsctl.checks.wording import count_text
    from opsctl.render.page import Page

    page = Page(width, color)
    rows = [(item.name, item.type, item.help) for item in items]
    page.table(("METRIC", "TYPE", "WHAT IT IS"), rows, wrap=(2,))
    page.gap()
    page.line(f"{count_text(len(items), 'metric')}; one in full: opsctl metrics NAME")
    return page.text()


def _one(item: Entry, color: bool, width: int | None) -> str:
    from opsctl.render.page import Page

    page = Page(width, color)
    page.heading(item.name)
    page.wrapped("", item.help)
    page.gap()
    rows = [
        ("Type", item.type),
        ("Labels", ", ".join(item.labels) or "none of its own"),
        ("Unit", item.unit or "a plain number"),
        ("Path", ", ".join(item.paths)),
        ("Name", f"of {item.standard}" if item.standard else "opsctl's own"),
        ("Fact", ", ".join(item.facts)),
    ]
    page.pairs("", rows)
    return page.text()
