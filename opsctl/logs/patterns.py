"""Patterns that cost nothing until a log needs them: a healthy log has no error to be read. Pure."""

from __future__ import annotations

import functools
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_SPECIAL = frozenset("\\.^$*+?{}[]|()")


class Pattern:
    """A regular expression that is compiled when it is first used."""

    def __init__(self, text: str, flags: re.RegexFlag = re.NOFLAG) -> None:
        self._text, self._flags = text, flags

    @functools.cached_property
    def compiled(self) -> re.Pattern[str]:
        """The regular expression itself."""
        return re.compile(self._text, self._flags)

    @functools.cached_property
    def match(self) -> Callable[..., re.Match[str] | None]:
        """As of `re.Pattern`."""
        return self.compiled.match

    @functools.cached_property
    def search(self) -> Callable[..., re.Match[str] | None]:
        """As of `re.Pattern`."""
        return self.compiled.search

    @functools.cached_property
    def split(self) -> Callable[..., list[str]]:
        """As of `re.Pattern`."""
        return self.compiled.split

    @functools.cached_property
    def sub(self) -> Callable[..., str]:
        """As of `re.Pattern`."""
        return self.compiled.sub


class Phrases:
    """A list of phrases, one a line, of which some are patterns.

    Plain phrases are looked for as they are; only the others need compiling, and only where no
    plain one was found.
    """

    def __init__(self, text: str) -> None:
        lines = [line.strip() for line in text.strip().splitlines()]
        self._plain = tuple(line for line in lines if not _SPECIAL.intersection(line))
        patterns = [line for line in lines if _SPECIAL.intersection(line)]
        self._pattern = Pattern("|".join(patterns)) if patterns else None

    def hold(self, lowered: str) -> bool:
        """Return whether one of them stands in a text of small letters."""
        if any(phrase in lowered for phrase in self._plain):
            return True
        return self._pattern is not None and self._pattern.search(lowered) is not None
