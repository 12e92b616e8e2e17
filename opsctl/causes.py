"""From findings to root causes: who explains whom, what is left unexplained. Pure.

A finding is a root cause if no other failing finding explains it. "Explains" comes from the
runbooks' front matter and the stack's `depends_on` (`opsctl/explanations.py`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from opsctl.explanations import FindingIndex
from opsctl.model import HOST_SERVICE, UNDATED, Candidate, Finding, RootCause, RuledOut, Status, worst
from opsctl.runbooks import code_class

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from opsctl.checks.base import Role
    from opsctl.explanations import Explanations


@dataclass(frozen=True)
class Causes:
    """What ranking says."""

    proven: list[RootCause] = field(default_factory=list)
    unproven: list[RootCause] = field(default_factory=list)
    also: list[Finding] = field(default_factory=list)
    ruled_out: list[RuledOut] = field(default_factory=list)
    candidates: list[Candidate] = field(default_factory=list)


WHOLE_KINDS = ("container", "systemd", "nginx", "php", "tls", "network")
"""Kinds whose subjects are instances or parts of one service: what fails several alike is one fault."""
Precedence = tuple[int, int, int, int, tuple[str, str, str]]


def rank(
    findings: Iterable[Finding],
    explanations: Explanations,
    role_of: Callable[[str], Role],
    is_down: Callable[[Finding], bool],
) -> Causes:
    """Return root causes, most severe first, with their chains, and what was ruled out."""
    every = list(findings)
    failing = [item for item in every if item.status.failing]
    able = FindingIndex(failing)

    def precedence(item: Finding) -> Precedence:
        """Sort key: severe first, then down, then the deepest dependency, then causes before symptoms."""
        lean = len(explanations.ancestors.get(item.target, ()))
        host_first = -1 if item.target == HOST_SERVICE else lean
        roles = {"cause": 0, "symptom": 1, "risk": 2}
        return (-item.status.rank, roles[role_of(item.id)], 0 if is_down(item) else 1, host_first, item.key)

    def explains(cause: Finding, effect: Finding) -> bool:
        """A risk hurts nobody yet: all that it explains is another risk, the same one seen elsewhere."""
        harmless = role_of(cause.id) == "risk" and role_of(effect.id) != "risk"
        return not harmless and explanations.does(cause, effect)

    effects: dict[tuple[str, str, str], list[Finding]] = {}
    explained: set[tuple[str, str, str]] = set()
    for effect in failing:
        for cause in explanations.suspects(effect, able):
            if not explains(cause, effect):
                continue
            both_ways = explains(effect, cause)
            if both_ways and precedence(effect) < precedence(cause):
                continue
            effects.setdefault(cause.key, []).append(effect)
            explained.add(effect.key)
    roots = [item for item in failing if item.key not in explained]
    reached = _reached(roots, effects)
    for item in sorted(failing, key=precedence):  # circles of three or more: enter at the best suspect
        if item.key not in reached:
            roots.append(item)
            reached |= _reached([item], effects)
    roots = _one_each(roots, effects, precedence, role_of)
    return _assemble(every, roots, effects, explanations, role_of, precedence)


def _one_each(
    roots: list[Finding],
    effects: dict[tuple[str, str, str], list[Finding]],
    precedence: Callable[[Finding], Precedence],
    role_of: Callable[[str], Role],
) -> list[Finding]:
    """Keep one root where several are the same fault of a service: a symptom at four URLs, two replicas.

    Causes with subjects of their own (two full disks, two failing queries) are faults of their own,
    and so are symptoms of another class (a page that is forbidden beside one that fails).
    """
    first: dict[tuple[str, ...], Finding] = {}
    for root in sorted(roots, key=precedence):
        one = role_of(root.id) == "symptom" or root.kind in WHOLE_KINDS
        leader = first.setdefault((root.id, root.target, code_class(root.code)) if one else root.key, root)
        if leader is not root:
            effects.setdefault(leader.key, []).append(root)
    return list(first.values())


def _reached(
    roots: list[Finding], effects: Mapping[tuple[str, str, str], list[Finding]]
) -> set[tuple[str, str, str]]:
    seen: set[tuple[str, str, str]] = set()
    waiting = [item.key for item in roots]
    while waiting:
        key = waiting.pop()
        if key not in seen:
            seen.add(key)
            waiting.extend(item.key for item in effects.get(key, ()))
    return seen


def _assemble(
    every: list[Finding],
    roots: list[Finding],
    effects: Mapping[tuple[str, str, str], list[Finding]],
    explanations: Explanations,
    role_of: Callable[[str], Role],
    precedence: Callable[[Finding], Precedence],
) -> Causes:
    causes = Causes()
    failing = {item.key: item for item in every if item.status.failing}
    chains: dict[tuple[str, str, str], tuple[Finding, ...]] = {}
    for root in roots:
        keys = _reached([root], effects) - {root.key}
        chains[root.key] = tuple(sorted((failing[key] for key in keys), key=precedence))

    sufficient = {
        effect.key for root in roots for effect in chains[root.key] if root.status.rank >= effect.status.rank
    }

    def weight(item: Finding) -> Status:
        """A cause is as severe as the worst that it explains.

        What weighs more than it comes over a symptom between; it is not counted where another cause
        accounts for it by itself: one of five backends is gone, and it is the cache that users miss.
        A symptom (errors of a stranger's logins in a log) never makes up for that.
        """
        heavy = role_of(item.id) == "cause" and explanations.hurts_as_warning(item.id)
        return worst(
            one.status
            for one in (item, *chains[item.key])
            if heavy or item.status.rank >= one.status.rank or one.key not in sufficient
        )

    # a risk hurts nobody yet: beside a fault as severe it is only noticed
    most = worst(weight(item) for item in roots)
    leaders = [item for item in roots if weight(item) is most and role_of(item.id) != "risk"]
    leaders = leaders or [item for item in roots if weight(item) is most]
    leading = {item.key for item in leaders}
    # blocked is unseen too: had its parent been the reason, the symptom would be explained by that
    unseen = FindingIndex(
        item
        for item in every
        if item.status in (Status.UNKNOWN, Status.BLOCKED) and role_of(item.id) != "risk"
    )
    candidates: dict[tuple[str, str, str], Finding] = {}
    accounted: dict[tuple[str, str, str], Finding] = {}

    def prominence(item: Finding) -> tuple[int, int, int, Precedence]:
        """Sort key: what weighs most; a critical fault before a warning, whatever that explains."""
        return (-weight(item).rank, -item.status.rank, -len(chains[item.key]), precedence(item))

    for root in sorted(roots, key=prominence):
        if root.key not in leading:
            causes.also.append(root)
            continue
        suspects = list(explanations.suspects(root, unseen)) if role_of(root.id) == "symptom" else []
        # what may be of any time is named beside the symptom, and takes nothing from its proof
        unseen_ones = [item for item in suspects if item.code != UNDATED]
        entry = RootCause(finding=root, chain=chains[root.key], proven=not unseen_ones)
        (causes.unproven if unseen_ones else causes.proven).append(entry)
        candidates |= {item.key: item for item in suspects}
        accounted |= {item.key: item for item in (root, *chains[root.key])}
    causes.candidates.extend(_candidate(item) for item in every if item.key in candidates)
    causes.ruled_out.extend(_innocent(every, accounted.values(), explanations, role_of))
    return causes


def _candidate(item: Finding) -> Candidate:
    return Candidate(
        id=item.id,
        target=item.target,
        because=item.summary,
        next_probe=item.hint or f"opsctl verify {item.id} --target {item.target_id}",
    )


def _innocent(
    every: list[Finding],
    effects: Iterable[Finding],
    explanations: Explanations,
    role_of: Callable[[str], Role],
) -> list[RuledOut]:
    """Return who could have been the reason of an effect and was found well, neighbours first."""
    failing = {(item.id, item.target_id) for item in every if item.status.failing}
    well = FindingIndex(
        item
        for item in every
        if item.status is Status.OK
        and (item.id, item.target_id) not in failing
        and role_of(item.id) != "risk"
    )
    found = {item.key for effect in effects for item in explanations.suspects(effect, well)}
    rows = dict.fromkeys(
        RuledOut(id=item.id, target=item.target, because=item.summary) for item in every if item.key in found
    )
    return sorted(rows, key=lambda row: row.target == HOST_SERVICE)
