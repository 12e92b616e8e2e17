"""Walking a documented decision tree with the findings in hand. Pure."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

import msgspec

from opsctl.model import Finding, Status, Step

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterable

    from opsctl.runbooks import Answer, Flow, FlowStep

MAX_STEPS = 200
MOST_UNSEEN = 2


@dataclass(frozen=True, slots=True)
class Pattern:
    """`SLUG[@TARGET-ID [proxied | direct | beside KIND]]` in its parts."""

    slug: str
    target: str
    relation: str
    kind: str


@functools.cache
def pattern_of(text: str) -> Pattern:
    """Return a pattern in its parts."""
    slug, _, place = text.partition("@")
    target, _, relation = place.partition(" ")
    relation, _, kind = relation.partition(" ")
    return Pattern(slug, target, relation, kind)


def _fits(slug: str, pattern: str) -> bool:
    if slug == pattern:
        return True
    # most patterns are plain slugs; thousands of matches a diagnosis would cost a tenth of a second
    return ("*" in pattern or "?" in pattern or "[" in pattern) and fnmatchcase(slug, pattern)


def walk(
    entry: str,
    findings: Iterable[Finding],
    load: Callable[[str], Flow],
    proxied: Container[str] = (),
) -> list[Step]:
    """Follow every branch whose condition holds, deeper trees below its leaves.

    Steps whose subject the stack does not have are left out; a step whose subject could not be
    looked at says so instead of giving the good answer, and one that was seen in part says what was not.

    Args:
        entry: name of the entry tree.
        findings: every finding, of every status.
        load: gives the tree of a name.
        proxied: ids of the targets that are asked through an nginx of the stack.
    """
    walker = _Walker(list(findings), load, proxied)
    walker.flow(entry, 0)
    return walker.path


class _Walker:
    def __init__(self, findings: list[Finding], load: Callable[[str], Flow], proxied: Container[str]) -> None:
        self.findings, self.load, self.proxied = findings, load, proxied
        self.slugs = {item.id for item in findings}
        self.kinds = {(item.target, item.kind) for item in findings}
        self.named: set[tuple[str, str, str]] = set()
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
                    self.named.update(item.key for item in because)
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
        found = self._matching(patterns, self.findings) if patterns else self.findings
        if step.rest:
            return [item for item in found if item.status.failing and item.key not in self.named]
        if step.subject and not self._matching(step.subject, found):
            return []
        return found

    def _matching(self, patterns: Iterable[str], findings: list[Finding]) -> list[Finding]:
        """Return those that match any of the patterns, in their order.

        A stack of hundreds of targets has thousands of findings of few slugs, so patterns without a
        target are asked once a slug.
        """
        split = [pattern_of(text) for text in patterns]
        targeted = [pattern for pattern in split if pattern.target]
        plain = [pattern for pattern in split if not pattern.target]
        slugs = {slug for slug in self.slugs if any(_fits(slug, pattern.slug) for pattern in plain)}
        return [
            item
            for item in findings
            if item.id in slugs or any(self._matches(item, pattern) for pattern in targeted)
        ]

    def _matches(self, finding: Finding, pattern: Pattern) -> bool:
        if not _fits(finding.id, pattern.slug) or not fnmatchcase(finding.target_id, pattern.target):
            return False
        if pattern.relation == "beside":
            return (finding.target, pattern.kind) in self.kinds
        through = finding.target_id in self.proxied
        return not pattern.relation or through == (pattern.relation == "proxied")

    def _answers(self, step: FlowStep, concerned: list[Finding]) -> list[tuple[Answer, list[Finding]]]:
        from opsctl.runbooks import Answer

        held: list[tuple[Answer, list[Finding]]] = []
        for answer in step.answers:
            because = self._matching(answer.when, [item for item in concerned if item.status.failing])
            if because:
                held.append((answer, because))
                if step.rest:  # the last answer is a net below the others: each finding once
                    concerned = [item for item in concerned if item not in because]
        if held:
            return held
        good = next((answer for answer in step.answers if not answer.when), None)
        asked = self._matching(step.subject, concerned) if step.subject else concerned
        unseen = [item for item in asked if item.status in (Status.UNKNOWN, Status.BLOCKED)]
        if not any(item.status is Status.OK for item in asked):
            then, flow = (good.then, good.flow) if good else ("", "")
            return [(Answer(answer="could not look", then=then, flow=flow), unseen[:3])]
        if good and unseen:
            good = msgspec.structs.replace(
                good, answer=f"{good.answer}, as far as could be seen{_but(unseen)}"
            )
        return [(good, [])] if good else []


def _but(unseen: list[Finding]) -> str:
    """Return in brackets what could not be looked at: few words, however much it is."""
    places: dict[tuple[str, str], set[str]] = {}
    for item in unseen:
        places.setdefault((item.kind, item.target), set()).add(item.id)
    names = [
        f"{slugs.pop() if len(slugs) == 1 else f'{len(slugs)} checks of {kind}'} on {target}"
        for (kind, target), slugs in places.items()
    ]
    more = f" and {len(names) - MOST_UNSEEN} more" if len(names) > MOST_UNSEEN else ""
    return f" ({', '.join(names[:MOST_UNSEEN])}{more} could not be looked at)"
