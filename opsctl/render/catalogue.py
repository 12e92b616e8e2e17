"""The catalogue of checks: all of them in a table, one in full."""

from __future__ import annotations

from typing import TYPE_CHECKING

from opsctl.render.page import Page

if TYPE_CHECKING:
    from collections.abc import Sequence

    from opsctl.catalogue import Entry

_WHERE = {
    "service": "in the same service",
    "dependents": "in services that lean on it",
    "dependencies": "in services that it leans on",
    "proxied": "of what is asked through it",
    "filesystem": "of what lies on the same file system",
    "address": "of what is asked at the same host and port",
    "containers": "in services that run in containers",
    "leaning_on_containers": "in services outside that lean on a container",
    "host": "anywhere on the machine",
}


def table(entries: Sequence[Entry], output: str, color: bool = False, width: int | None = None) -> str:
    """Return the catalogue in a format: text, json, yaml or markdown."""
    if output in ("json", "yaml"):
        import msgspec

        from opsctl.render.diagnosis import data

        return data(msgspec.to_builtins(list(entries)), output)
    if output == "markdown":
        from opsctl.render.markdown import code, inline
        from opsctl.render.markdown import table as markdown_table

        rows = [
            (code(item.id), item.role, inline(item.summary), inline(limits_words(item))) for item in entries
        ]
        return markdown_table(("check", "role", "symptom", "limits"), rows) + "\n"
    page = Page(width, color)
    page.table(
        ("CHECK", "ROLE", "SYMPTOM"), [(item.id, item.role, item.summary) for item in entries], wrap=(2,)
    )
    page.gap()
    page.line(f"{len(entries)} checks; one in full: opsctl checks SLUG")
    return page.text()


def entry(item: Entry, output: str, color: bool = False, width: int | None = None) -> str:
    """Return one check in a format: text, json, yaml or markdown."""
    if output in ("json", "yaml"):
        import msgspec

        from opsctl.render.diagnosis import data

        return data(msgspec.to_builtins(item), output)
    rows = _rows(item)
    first, _, rest = item.description.partition("\n")
    if output == "markdown":
        from opsctl.render.markdown import inline
        from opsctl.render.markdown import table as markdown_table

        cells = [(name, inline(text)) for name, text in rows]
        parts = [f"# {item.id}", inline(first), inline(rest), markdown_table(("", ""), cells)]
        return "\n\n".join(part for part in parts if part) + "\n"
    page = Page(width, color)
    page.heading(item.id)
    page.wrapped("", first)
    for paragraph in rest.split("\n\n"):
        if paragraph.strip():
            page.gap()
            page.wrapped("", paragraph)
    page.gap()
    page.pairs("", rows)
    page.gap()
    page.line(f"Runbook: opsctl runbook {item.id}" if item.runbook else "No runbook yet.")
    return page.text()


def _rows(item: Entry) -> list[tuple[str, str]]:
    roles = {
        "cause": "cause: it names a fault",
        "symptom": "symptom: something else may explain it",
        "risk": "risk: it hurts nobody yet",
    }
    rows = [("Role", roles.get(item.role, item.role)), ("Needs", item.needs)]
    if item.permission:
        rows.append(("Permission", item.permission))
    if item.reachability:
        rows.append(("When critical", "the target is down, and its other checks are blocked"))
    limits = limits_words(item)
    if limits:
        rows.append(("Limits", limits))
        rows.append(("Set them", f"thresholds: {{{item.id}: {{warning: …, critical: …}}}}"))
    if item.limits_source:
        rows.append(("From", item.limits_source))
    for where, patterns in item.explains.items():
        rows.append(("Explains", f"{', '.join(patterns)} {_WHERE.get(where, where)}"))
    if item.explained_by:
        rows.append(("Explained by", ", ".join(item.explained_by)))
    if item.flow:
        rows.append(("Tree", item.flow))
    return rows


def limits_words(item: Entry) -> str:
    """Return the limits in words, empty where the check has none."""
    sign = "at or below" if item.below else "from"
    parts = [
        f"{level} {sign} {value:g}"
        for level, value in (("warning", item.warning), ("critical", item.critical))
        if value is not None
    ]
    unit = f" ({item.unit})" if item.unit and parts else ""
    return ", ".join(parts) + unit
