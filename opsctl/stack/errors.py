"""What is wrong with a stack file: every error at once, each with file:line."""

from __future__ import annotations

from dataclasses import dataclass

from opsctl.errors import UserError


@dataclass(frozen=True, slots=True, order=True)
class StackProblem:
    """One error: where, what, and what to do about it."""

    line: int
    message: str


class StackError(UserError):
    """A stack file that cannot be used; carries every problem found."""

    def __init__(self, origin: str, problems: list[StackProblem]) -> None:
        self.origin = origin
        self.problems = sorted(set(problems))
        super().__init__(
            "\n".join(f"{origin}:{problem.line}: {problem.message}" for problem in self.problems)
        )
