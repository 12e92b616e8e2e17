"""Lines of a limited width: wrapped prose, commands left whole, tables, trees, colour on demand."""

from __future__ import annotations

import re
import shutil
import textwrap
import unicodedata
from typing import TYPE_CHECKING

from opsctl.model import Status

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_COLORS = {
    Status.OK: "32",
    Status.WARNING: "33",
    Status.CRITICAL: "31;1",
    Status.UNKNOWN: "35",
    Status.BLOCKED: "36",
}
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]")
WIDEST = 110
NARROWEST = 40


def terminal_width() -> int:
    """Return the columns to write for: the terminal's, 80 without one, never absurdly many or few."""
    return min(max(shutil.get_terminal_size((80, 24)).columns, NARROWEST), WIDEST)


def printable(text: str) -> str:
    """Return the text without what could steer a terminal; other people's words pass through here."""
    return _CONTROL.sub("\ufffd", text.encode("utf-8", "replace").decode("utf-8"))


def columns(text: str) -> int:
    """Return how many columns a text takes on a terminal."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(character) else 2 if unicodedata.east_asian_width(character) in "WF" else 1
        for character in text
    )


class Page:
    """Collects lines; text is wrapped at `width`, commands never are."""

    def __init__(self, width: int | None = None, color: bool = False) -> None:
        self.width = width or terminal_width()
        self.color = color
        self._lines: list[str] = []

    def line(self, text: str = "") -> None:
        """Add one line as it is."""
        self._lines.append(printable(text))

    def gap(self) -> None:
        """Add an empty line, never two in a row and never at the top."""
        if self._lines and self._lines[-1]:
            self._lines.append("")

    def heading(self, text: str) -> None:
        """Add an empty line and a heading."""
        self.gap()
        self._lines.append(self.paint(printable(text), "1"))

    def paint(self, text: str, code: str) -> str:
        """Return the text in a colour, where colours are wanted."""
        return f"\033[{code}m{text}\033[0m" if self.color and text else text

    def status_line(self, status: Status, text: str, indent: str = "") -> None:
        """Add a status word in its colour and the text after it, wrapped below itself."""
        word = status.value.upper()
        lead = f"{indent}{word}  "
        lines = self._wrap(lead, text, indent + "  ")
        self._lines.append(indent + self.paint(word, _COLORS[status]) + lines[0][len(indent) + len(word) :])
        self._lines.extend(lines[1:])

    def wrapped(self, lead: str, text: str, hang: str | None = None) -> None:
        """Add text after a lead; later lines begin below the text, or at `hang`."""
        self._lines.extend(self._wrap(lead, text, hang))

    def _wrap(self, lead: str, text: str, hang: str | None = None) -> list[str]:
        indent = hang if hang is not None else " " * columns(lead)
        if len(indent) > self.width // 2:
            indent = "    "
        words = " ".join(printable(text).split())
        lines = textwrap.wrap(
            words,
            self.width,
            initial_indent=lead,
            subsequent_indent=indent,
            break_on_hyphens=False,
            break_long_words=False,
        )
        return lines or [lead.rstrip()]

    def copyable(self, indent: str, text: str) -> None:
        """Add something to be copied: one line, however long."""
        for part in printable(text).splitlines() or [""]:
            self._lines.append(f"{indent}{part}")

    def pairs(self, indent: str, rows: Iterable[tuple[str, str]]) -> None:
        """Add "name  text" rows, the texts below one another and wrapped."""
        items = [(printable(name), text) for name, text in rows]
        widest = max((columns(name) for name, _ in items), default=0)
        if widest > self.width // 2:
            for name, text in items:
                self.wrapped(indent, name)
                self.wrapped(f"{indent}  ", text)
            return
        for name, text in items:
            self.wrapped(f"{indent}{name}{' ' * (widest - columns(name))}  ", text)

    def table(self, headers: Sequence[str], rows: Sequence[Sequence[str]], wrap: Sequence[int] = ()) -> None:
        """Add a table. Columns named in `wrap` share what the others leave of the width.

        Cells of the other columns are never broken: an image or a command stays whole.
        """
        import tabulate

        tabulate.MIN_PADDING = 0  # it would widen short columns, and the width is reckoned here
        cells = [[" ".join(printable(cell).split()) for cell in row] for row in rows]
        natural = [
            max([columns(header), *(columns(row[index]) for row in cells)])
            for index, header in enumerate(headers)
        ]
        taken = sum(width for index, width in enumerate(natural) if index not in wrap)
        left = self.width - taken - 2 * (len(headers) - 1)
        limits: list[int | None] = [None] * len(headers)
        for index in wrap:
            share = max(left // len(wrap), 16)
            if natural[index] > share:
                limits[index] = share
        if any(limits):
            cells = [
                [
                    "\n".join(
                        textwrap.wrap(cell, limit, break_on_hyphens=False, break_long_words=False) or [""]
                    )
                    if (limit := limits[index])
                    else cell
                    for index, cell in enumerate(row)
                ]
                for row in cells
            ]
        text = tabulate.tabulate(cells, list(headers), tablefmt="plain", disable_numparse=True)
        first, *rest = text.splitlines() or [""]
        self._lines.append(self.paint(first.rstrip(), "1"))
        self._lines.extend(self._paint_words(line.rstrip()) for line in rest)

    def _paint_words(self, line: str) -> str:
        """Colour the first status word of a table's line."""
        if not self.color:
            return line
        for status, code in _COLORS.items():
            found = re.search(rf"(?<=\s){status.value}(?=\s|$)", line)
            if found:
                return f"{line[: found.start()]}\033[{code}m{found.group()}\033[0m{line[found.end() :]}"
        return line

    def text(self) -> str:
        """Return the page with a newline at its end."""
        return "\n".join(line.rstrip() for line in self._lines) + "\n"
