"""Walking a documented decision tree with the findings in hand. Pure."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from opsctl.model import Finding, Status, Step

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from opsctl.runbooks import Answer, Flow, FlowStep

MAX_STEPS = 200


def matches(finding: Finding, pattern: str) -> bool:
    """Return whether a finding matches `SLUG` or `SLUG@TARGET-ID` (shell wildcards)."""
    slug, _, target = pattern.partition("@")
    return _fits(finding.id, slug) and (not target or fnmatchcase(finding.target_id, target))


def _fits(slug: str, pattern: str) -> bool:
    if slug == pattern:
        return True
    # most patterns are plain slugs; thousands of matches a diagnosis would cost a tenth of a second
    return ("*" in pattern or "?" in pattern or "[" in pattern) and fnmatchcase(slug, pattern)


def walk(entry: str, findings: Iterable[Finding], load: Callable[[str], Flow]) -> list[Step]:
    """Follow every branch whose condition holds, deeper trees below its leaves.

    Steps whose subject the stack does not have are left out; a step whose subject could not be
    looked at says so instead of giving the good answer.

    Args:
        entry: name of the entry tree.
        findings: every finding, of every status.
        load: gives the tree of a name.
    """
    walker = _Walker(list(findings), load)
    walker.flow(entry, 0)
    return walker.path


class _Walker:
    def __init__(self, findings: list[Finding], load: Callable[[str], Flow]) -> None:
        self.findings, self.load = findings, load
        self.slugs = {item.id for item in findings}
        self.path: list[Step] = []
        self.visited: set[tuple[str, str]] = set()

    def flow(self, name: str, depth: int) -> None:
        flow = self.load(name)
        self.step(flow, flow.start, depth)

    def step(self, flow: Flow, name: str, depth: int) -> None:
        while name and (flow.flow, name) not in self.visited and len(self.path) < MAX_STEPS:
            self.visited.add((flow.flow, name))
            step = flow.steps[name]
            concerned = self._concerned(step)
            if concerned:
                for answer, because in self._answers(step, concerned):
                    self.path.append(
                        Step(
                            flow=flow.flow,
                            step=name,
                            question=step.question,
                            answer=answer.answer,
                            because=tuple(dict.fromkeys(f"{item.id}:{item.target}" for item in because)),
                            action=answer.action,
                            depth=depth,
                        )
                    )
                    if answer.flow:
                        self.flow(answer.flow, depth + 1)
                    if answer.then:
                        self.step(flow, answer.then, depth)
            name = step.next

    def _concerned(self, step: FlowStep) -> list[Finding]:
        patterns = [pattern for answer in step.answers for pattern in answer.when]
        if not patterns:
            return self.findings
        return self._matching(patterns, self.findings)

    def _matching(self, patterns: Iterable[str], findings: list[Finding]) -> list[Finding]:
        """Return those that match any of the patterns, in their order.

        A stack of hundreds of targets has thousands of findings of few slugs, so patterns without a
        target are asked once a slug.
        """
        targeted = [pattern for pattern in patterns if "@" in pattern]
        plain = [pattern for pattern in patterns if "@" not in pattern]
        slugs = {slug for slug in self.slugs if any(_fits(slug, pattern) for pattern in plain)}
        return [
            item
            for item in findings
            if item.id in slugs or any(matches(item, pattern) for pattern in targeted)
        ]

    def _answers(self, step: FlowStep, concerned: list[Finding]) -> list[tuple[Answer, list[Finding]]]:
        from opsctl.runbooks import Answer

        held: list[tuple[Answer, list[Finding]]] = []
        for answer in step.answers:
            because = self._matching(answer.when, [item for item in concerned if item.status.failing])
            if because:
                held.append((answer, because))
        if held:
            return held
        good = next((answer for answer in step.answers if not answer.when), None)
        seen = [item for item in concerned if item.status is Status.OK]
        if not seen:
            unseen = [item for item in concerned if item.status in (Status.UNKNOWN, Status.BLOCKED)]
            then, flow = (good.then, good.flow) if good else ("", "")
            return [(Answer(answer="could not look", then=then, flow=flow), unseen[:3])]
        return [(good, [])] if good else []
