"""Grouping errors by what stays the same in them. Pure, bounded, in one pass.

After Drain (He, Zhu, Zheng, Lyu: "Drain: An Online Log Parsing Approach with Fixed Depth Tree",
ICWS 2017): events go by number of words and first words to a short list, and join the group there
that shares most words. Numbers, addresses and identifiers are masked before.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from opsctl.logs.patterns import Pattern

if TYPE_CHECKING:
    from collections.abc import Callable

    from opsctl.logs.classes import Meaning
    from opsctl.logs.recovery import Since

MAX_GROUPS = 200
MAX_WORDS = 40
SIMILARITY = 0.6
"""Share of equal words from which two events are one kind (Drain's paper: 0.5 on raw logs)."""

_MASKS = (
    (
        Pattern(r"\b[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}\b"),
        "<uuid>",
    ),
    (Pattern(r"\b[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63})+"), "<email>"),
    (Pattern(r"\b\d{1,3}(?:\.\d{1,3}){3}\b"), "<ip>"),
    (Pattern(r"\b0x[0-9a-fA-F]+\b|\b(?=[0-9a-fA-F]*\d)[0-9a-fA-F]{12,}\b"), "<hex>"),
    (Pattern(r"(?<=:)\d{2,5}\b(?=[/\s\"',;)\]]|$)"), "<port>"),
    (Pattern(r"(?<![\w.])[-+]?\d+(?:[.,]\d+)*(?:ms|s|MB|kB|KB|GB|B|%)?(?![\w])"), "<n>"),
)
_LONG_NUMBER = Pattern(r"\d{4,}")
_KEPT = Pattern(
    r"((?:(?<=\" )|(?<=with )|(?<=status )|(?<=status=)|(?<=code ))[45]\d\d\b|\(\d{1,3}: |errno \d{1,3}"
    r"|port \d{2,5}|SQLSTATE\[\w{5}\])",
    re.I,
)
"""Numbers that say what happened: status codes, error numbers, ports."""


def mask(text: str) -> str:
    """Return the text with what differs from event to event replaced; error numbers and ports stay."""
    kept = _KEPT.split(text)
    for at in range(0, len(kept), 2):
        piece = kept[at]
        for pattern, word in _MASKS:
            piece = pattern.sub(word, piece)
        kept[at] = piece
    return "".join(kept)


def identity(category: str, text: str) -> str:
    """Return the name of a kind of error: 8 hexadecimal digits, the same in every process."""
    return hashlib.blake2s(f"{category} {text}".encode("utf-8", "replace"), digest_size=4).hexdigest()


@dataclass(slots=True)
class Group:
    """Events of one kind: what they mean, the first and the last as they were, and when they came.

    `words` hold `<*>` where the events differ; `undated` of them may be of now. `ordinary` and
    `good` tell for each log what came after the last one.
    """

    words: list[str]
    meaning: Meaning
    first_text: str
    last_text: str = ""
    fatal: bool = False
    times: list[float] = field(default_factory=list)
    undated: int = 0
    ordinary: list[Since] = field(default_factory=list)
    good: list[Since] = field(default_factory=list)

    @property
    def text(self) -> str:
        """The template."""
        return " ".join(self.words)


class Templates:
    """Groups events as they come; past `MAX_GROUPS` groups, the rest is one group.

    Args:
        remembered: how many texts are known at sight.
        text_limit: characters of a text that are looked at.
    """

    def __init__(self, remembered: int = 5000, text_limit: int = 1000) -> None:
        self._remembered, self._text_limit = remembered, text_limit
        self.groups: list[Group] = []
        self._tree: dict[str, list[Group]] = {}
        self._exact: dict[tuple[str, str], Group] = {}

    def add(self, text: str, level: str, means: Callable[[], Meaning]) -> Group:
        """Return the group of an event, a new one where none is alike.

        Args:
            text: what tells events apart: the message and the exception.
            level: events of different levels are different kinds.
            means: asked once per group.
        """
        exact = (level, _LONG_NUMBER.sub("0", text))
        known = self._exact.get(exact)
        if known is not None:
            return known
        words = mask(text[: self._text_limit]).split()[:MAX_WORDS] or ["(empty)"]
        key = _key(level, words)
        found = self._near(key, words) or self._new(key, words, text, means)
        if len(self._exact) < self._remembered:
            self._exact[exact] = found
        return found

    def restore(self, words: list[str], level: str, means: Meaning) -> Group:
        """Return a group as it was known before."""
        return self._new(_key(level, words), words, " ".join(words), lambda: means)

    def _near(self, key: str, words: list[str]) -> Group | None:
        near = self._tree.get(key, [])
        best = max(near, key=lambda item: _similarity(item.words, words), default=None)
        if best is None or _similarity(best.words, words) < SIMILARITY:
            return None
        best.words = [one if one == other else "<*>" for one, other in zip(best.words, words, strict=True)]
        return best

    def _new(self, key: str, words: list[str], text: str, means: Callable[[], Meaning]) -> Group:
        if len(self.groups) >= MAX_GROUPS:
            rest = self.groups[-1]
            rest.words = ["(other", "errors)"]
            return rest
        group = Group(words=words, meaning=means(), first_text=text)
        self.groups.append(group)
        self._tree.setdefault(key, []).append(group)
        return group


def _key(level: str, words: list[str]) -> str:
    return str((level, len(words), words[0], words[1:2], _exception(words)))


def _exception(words: list[str]) -> str:
    """Return the name after the bar that parts message and exception, empty where there is none."""
    return words[words.index("|") + 1] if "|" in words[:-1] else ""


def _similarity(one: list[str], other: list[str]) -> float:
    if len(one) != len(other):  # the group of all the rest
        return 0.0
    same = sum(1 for a, b in zip(one, other, strict=True) if a == b)
    return same / len(one)
