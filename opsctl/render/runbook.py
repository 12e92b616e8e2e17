"""Runbooks on a terminal: Markdown made readable, decision trees drawn."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from opsctl.render.page import Page

if TYPE_CHECKING:
    from collections.abc import Mapping

    from opsctl.runbooks import Answer, Flow, Runbook

_ROW = re.compile(r"(?<!\\)\|")
_EMPHASIS = re.compile(r"(?<![\w*])(\*\*|__)(?=\S)(.+?)(?<=\S)\1(?![\w*])")
_ITEM = re.compile(r"^(\s*)([-*]|\d+[.)])\s+(.*)$")


def listing(
    flows: Mapping[str, Flow],
    books: Mapping[str, Runbook],
    color: bool = False,
    width: int | None = None,
) -> str:
    """Return the list of trees and runbooks."""
    page = Page(width, color)
    page.heading("Decision trees")
    page.pairs("  ", [(name, flow.title) for name, flow in flows.items()])
    page.heading("Runbooks")
    page.pairs("  ", [(slug, book.severity) for slug, book in books.items()])
    page.gap()
    page.line("Read one: opsctl runbook NAME")
    return page.text()


def page(book: Runbook, body: str, color: bool = False, width: int | None = None) -> str:
    """Return one runbook as text."""
    sheet = Page(width, color)
    drilled = f", last drilled {book.last_drilled}" if book.last_drilled else ""
    sheet.line(f"{book.slug}  ({book.severity}, tree: {book.flow}{drilled})")
    markdown(sheet, body)
    return sheet.text()


def flow(tree: Flow, body: str = "", color: bool = False, width: int | None = None) -> str:
    """Return a decision tree, drawn, and the text below it."""
    sheet = Page(width, color)
    sheet.heading(f"{tree.title} (tree: {tree.flow})")
    if tree.source:
        sheet.wrapped("", tree.source)
    sheet.gap()
    _step(sheet, tree, tree.start, "", set())
    markdown(sheet, body)
    return sheet.text()


def _step(sheet: Page, tree: Flow, name: str, indent: str, seen: set[str]) -> None:
    """Draw a step, the steps below its answers, and the steps that follow."""
    while name:
        step = tree.steps.get(name)
        if step is None or name in seen:
            sheet.wrapped(indent, f"(go on with: {step.question if step else name})")
            return
        seen.add(name)
        sheet.wrapped(indent, step.question)
        for number, answer in enumerate(step.answers, 1):
            last = number == len(step.answers)
            below = f"{indent}{'   ' if last else '│  '}"
            sheet.wrapped(f"{indent}{'└─ ' if last else '├─ '}", _answer(answer), below)
            if answer.when:
                sheet.wrapped(f"{below}  ", f"when {', '.join(answer.when)}", f"{below}    ")
            if answer.then:
                _step(sheet, tree, answer.then, below, seen)
        name = step.next
        if name:
            sheet.line(f"{indent}│" if name not in seen else "")


def _answer(answer: Answer) -> str:
    parts = [answer.answer]
    if answer.action:
        parts.append(f"→ {answer.action}")
    if answer.flow:
        parts.append(f"⇒ tree {answer.flow}")
    return " ".join(parts)


def markdown(sheet: Page, text: str) -> None:
    """Add Markdown in readable form: headings, wrapped prose, tables, commands left whole."""
    lines = text.splitlines()
    prose: list[str] = []
    index = 0

    def flush() -> None:
        if prose:
            sheet.wrapped("", _inline(" ".join(prose)))
            prose.clear()

    while index < len(lines):
        line = lines[index]
        if line.lstrip().startswith(("```", "~~~")):
            flush()
            fence = line.strip()[:3]
            index += 1
            while index < len(lines) and not lines[index].strip().startswith(fence):
                sheet.copyable("    ", lines[index])
                index += 1
        elif line.startswith("#"):
            flush()
            sheet.heading(_inline(line.lstrip("#").strip()))
        elif line.lstrip().startswith("|"):
            flush()
            start = index
            while index < len(lines) and lines[index].lstrip().startswith("|"):
                index += 1
            _table(sheet, lines[start:index])
            continue
        elif not line.strip():
            flush()
            sheet.gap()
        elif item := _ITEM.match(line):
            flush()
            indent, mark, words = item.groups()
            while index + 1 < len(lines) and _continues(lines[index + 1]):
                index += 1
                words = f"{words} {lines[index].strip()}"
            sheet.wrapped(f"{indent}  {mark} ", _inline(words))
        else:
            prose.append(line.strip())
        index += 1
    flush()


def _continues(line: str) -> bool:
    return line.startswith((" ", "\t")) and bool(line.strip()) and not _ITEM.match(line)


def _inline(text: str) -> str:
    return _EMPHASIS.sub(r"\2", text).replace("\\|", "|")


def _table(sheet: Page, lines: list[str]) -> None:
    """Add a Markdown table; a row that does not fit becomes a paragraph a cell."""
    rows = [[_inline(cell.strip()) for cell in _ROW.split(line.strip().strip("|"))] for line in lines]
    rows = [row for row in rows if not all(re.fullmatch(r":?-*:?", cell) for cell in row)]
    if not rows:
        return
    headers, *rest = rows
    width = sum(
        max((len(row[index]) for row in rows if index < len(row)), default=0) + 2
        for index in range(len(headers))
    )
    if width <= sheet.width:
        sheet.table(headers, [[*row, *[""] * (len(headers) - len(row))][: len(headers)] for row in rest])
        return
    for number, row in enumerate(rest):
        if number:
            sheet.gap()
        for header, cell in zip(headers, row, strict=False):
            lead = f"  {header}: " if header else "  "
            command = re.fullmatch(r"`([^`]+)`", cell)
            if command:
                sheet.copyable(lead, command.group(1))
            elif cell:
                sheet.wrapped(lead, cell, "      ")
