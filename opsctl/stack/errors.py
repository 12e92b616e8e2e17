"""What is wrong with a stack file: every error at once, each with file:line."""

from __future__ import annotations

import re
from dataclasses import dataclass

from opsctl.errors import UserError
from opsctl.redact import Redactor


@dataclass(frozen=True, slots=True, order=True)
class StackProblem:
    """One error: where, what, and what to do about it."""

    line: int
    message: str


class StackError(UserError):
    """A stack file that cannot be used; carries every problem found."""

    def __init__(self, origin: str, problems: list[StackProblem]) -> None:
        self.origin = origin
        clean = Redactor().text  # names and keys may hold what somebody wrote in the wrong place
        self.problems = sorted(
            {StackProblem(item.line, clean(_on_one_line(item.message))) for item in problems}
        )
        super().__init__(
            "\n".join(f"{origin}:{problem.line}: {problem.message}" for problem in self.problems)
        )


def _on_one_line(message: str) -> str:
    """Return a message whose names cannot break its line or steer a terminal."""
    return "".join(one if one.isprintable() else repr(one)[1:-1] for one in message)


def shown_key(key: object) -> str:
    """Return a key in quotes; not one that is no name, which may be anything."""
    text = str(key)
    return repr(text) if re.fullmatch(r"[A-Za-z0-9_./~ -]{1,60}", text) else "(not a name, so not shown)"
