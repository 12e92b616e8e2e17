"""Commands to a Redis in one round trip, and the answers that are remembered between looks."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from opsctl.facts.base import FactProblem
from opsctl.probes.redis_parsing import slow_entries
from opsctl.probes.redis_protocol import ErrorReply, NoPermissionError
from opsctl.probes.remembering import memory

if TYPE_CHECKING:
    from opsctl.probes.base import ProbeContext
    from opsctl.probes.redis_client import RedisClient

SLOW_LOG_ENTRIES = 64
CONFIG_SECONDS = 30.0
"""For how long metrics believe CONFIG GET."""


class Batch:
    """Commands sent in one round trip; what is refused becomes a problem of its part."""

    def __init__(self, client: RedisClient) -> None:
        self._client = client
        self._commands: list[tuple[str | int, ...]] = []
        self.results: list[Any] = []
        self.problems: list[FactProblem] = []

    def add(self, *words: str | int) -> None:
        """Put one more command at the end."""
        self._commands.append(words)

    def run(self) -> None:
        """Send the commands and wait for all answers.

        Raises:
            RedisError: they are not all there, or one says that there is no point in asking on.
        """
        self.results = list(self._client.ask(self._commands))

    def take(self, part: str, hint: str = "") -> Any:
        """Return the next answer, None where it was an error."""
        answer = self.results.pop(0)
        if not isinstance(answer, ErrorReply):
            return answer
        text = str(answer)
        denied = isinstance(answer, NoPermissionError) or "noperm" in text.lower()
        code = "permission" if denied else "unsupported"
        if part and all(problem.part != part for problem in self.problems):
            self.problems.append(
                FactProblem(part=part, code=code, message=f"{part}: {text}"[:300], hint=hint)
            )
        return None


def known_config(context: ProbeContext) -> dict[str, str] | None:
    """Return what CONFIG GET said at a look a moment ago, None where it must be asked."""
    known = (memory(context) or {}).get("config")
    if known is None or time.monotonic() - known[0] > CONFIG_SECONDS:
        return None
    config: dict[str, str] = known[1]
    return config


def keep_config(context: ProbeContext, config: dict[str, str]) -> None:
    """Remember what CONFIG GET said, where it said anything and somebody looks again."""
    kept = memory(context)
    if kept is not None and config:
        kept["config"] = (time.monotonic(), config)


def slow_log(
    context: ProbeContext, client: RedisClient, newest: list[dict[str, Any]]
) -> list[dict[str, Any]]:
    """Return the slow log: the one of the last look, if there is nothing newer than its newest entry."""
    if not newest:
        return newest
    kept = memory(context)
    known = (kept or {}).get("slow log")
    mark = newest[0]["id"], newest[0]["start_time"]  # numbers begin again with each start of the server
    if known is not None and known[0] == mark:
        entries: list[dict[str, Any]] = known[1]
        return entries
    entries = slow_entries(client.command("SLOWLOG", "GET", SLOW_LOG_ENTRIES))
    if kept is not None and entries:
        kept["slow log"] = (mark, entries)
    return entries
