"""What changed between two snapshots."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from opsctl.checks.wording import seconds_text
from opsctl.render.page import Page
from opsctl.render.plain import SCHEMA, finding_plain, moment
from opsctl.render.text import finding_line, finding_name

if TYPE_CHECKING:
    from opsctl.difference import ChangedFact, Difference


def render(difference: Difference, output: str, color: bool = False, width: int | None = None) -> str:
    """Return the difference in a format: text, json, yaml or markdown."""
    if output == "text":
        return _text(difference, color, width)
    if output == "markdown":
        return _markdown(difference)
    from opsctl.render.diagnosis import data

    return data(_plain(difference), output)


def words(difference: Difference) -> str:
    """Return the difference in one sentence."""
    counts = {
        "gone": len(difference.gone),
        "new": len(difference.new),
        "changed": len(difference.changed),
    }
    parts = [f"{number} {word}" for word, number in counts.items() if number]
    return f"findings: {', '.join(parts)}" if parts else "no finding came, went or changed"


def _text(difference: Difference, color: bool, width: int | None) -> str:
    page = Page(width, color)
    apart = (difference.new_at - difference.old_at).total_seconds()
    direction = "later" if apart >= 0 else "earlier: OLD and NEW are the wrong way round"
    page.wrapped(
        "",
        f"{difference.new_stack}: {difference.old_at:%Y-%m-%d %H:%M:%S} → "
        f"{difference.new_at:%Y-%m-%d %H:%M:%S} UTC ({seconds_text(abs(apart))} {direction})",
    )
    if difference.disappeared or difference.appeared:
        page.heading("Targets")
        for sign, names in (("-", difference.disappeared), ("+", difference.appeared)):
            for name in names:
                page.line(f"  {sign} {name}")
    if difference.facts:
        page.heading("Facts that changed notably")
        target = ""
        for fact in difference.facts:
            if fact.target != target:
                page.line(f"  {fact.target}")
                target = fact.target
            page.wrapped("    ", f"{fact.fact}: {_value(fact.old)} → {_value(fact.new)}", "      ")
        if difference.more_facts:
            page.line(f"  and {difference.more_facts} more")
    if difference.gone:
        page.heading("Gone")
        for finding in difference.gone:
            finding_line(page, finding)
    if difference.changed:
        page.heading("Changed")
        for item in difference.changed:
            was = item.old.status.value if item.old.status is not item.new.status else item.old.summary
            page.status_line(
                item.new.status, f"{finding_name(item.new)}: {item.new.summary} (was: {was})", "  "
            )
    if difference.new:
        page.heading("New")
        for finding in difference.new:
            finding_line(page, finding)
    page.gap()
    page.status_line(difference.status, words(difference))
    return page.text()


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4g}"
    return str(value) if value != "" else "(nothing)"


def _fact_plain(fact: ChangedFact) -> dict[str, Any]:
    return {"target": fact.target, "fact": fact.fact, "old": fact.old, "new": fact.new}


def _plain(difference: Difference) -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        "stack": difference.new_stack,
        "old": moment(difference.old_at),
        "new": moment(difference.new_at),
        "status": difference.status.value,
        "findings": {
            "gone": [finding_plain(item) for item in difference.gone],
            "new": [finding_plain(item) for item in difference.new],
            "changed": [
                {"old": finding_plain(item.old), "new": finding_plain(item.new)}
                for item in difference.changed
            ],
        },
        "targets": {"gone": list(difference.disappeared), "new": list(difference.appeared)},
        "facts": [_fact_plain(fact) for fact in difference.facts],
    }


def _markdown(difference: Difference) -> str:
    from opsctl.render.markdown import code, findings_table, inline, table

    parts = [f"# {inline(difference.new_stack)}: {words(difference)}"]
    parts.append(f"{difference.old_at:%Y-%m-%d %H:%M:%S} → {difference.new_at:%Y-%m-%d %H:%M:%S} UTC")
    for title, findings in (
        ("Gone", difference.gone),
        ("Changed", tuple(item.new for item in difference.changed)),
        ("New", difference.new),
    ):
        if findings:
            parts += [f"## {title}", findings_table(findings)]
    if difference.facts:
        rows = [
            (inline(fact.target), code(fact.fact), inline(_value(fact.old)), inline(_value(fact.new)))
            for fact in difference.facts
        ]
        parts += ["## Facts", table(("target", "fact", "old", "new"), rows)]
    return "\n\n".join(parts) + "\n"
