"""From findings to root causes: who explains whom, what is left unexplained. Pure.

A finding is a root cause if no other failing finding explains it. "Explains" comes from the
runbooks' front matter and the stack's `depends_on`; targets are joined by service and file
system, never by words in a message.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from opsctl.judge import ancestors
from opsctl.model import HOST_SERVICE, Candidate, Finding, RootCause, RuledOut, Status

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from opsctl.checks.base import Role
    from opsctl.model import ServiceSummary, Target
    from opsctl.runbooks import Runbook


@dataclass(frozen=True)
class Causes:
    """What ranking says."""

    proven: list[RootCause] = field(default_factory=list)
    unproven: list[RootCause] = field(default_factory=list)
    also: list[Finding] = field(default_factory=list)
    ruled_out: list[RuledOut] = field(default_factory=list)
    candidates: list[Candidate] = field(default_factory=list)


Precedence = tuple[int, int, int, int, tuple[str, str, str]]


class Explanations:
    """Answers "can this finding be the reason of that one?" for one stack."""

    def __init__(
        self,
        services: Mapping[str, ServiceSummary],
        targets: Mapping[str, Target],
        runbooks: Mapping[str, Runbook],
        passes_to: Mapping[str, set[str]] | None = None,
    ) -> None:
        self.targets, self.runbooks = targets, runbooks
        self.ancestors = {name: set(ancestors(name, services)) for name in services}
        for proxy, others in (
            passes_to or {}
        ).items():  # the proxy's own trouble, not that of what leans on it
            for other in others:
                self.ancestors.setdefault(proxy, set()).update((other, *ancestors(other, services)))

    def can(self, cause: Finding, effect: Finding) -> bool:
        """Return whether `cause`, were it failing, could be the reason of `effect`."""
        if cause.key == effect.key:
            return False
        runbook = self.runbooks.get(cause.id)
        if runbook is None:
            return False
        explains = runbook.explains
        target = self.targets.get(effect.target_id)
        home = (effect.target, target.via) if target and target.via else (effect.target,)
        if cause.target in home and _any(explains.service, effect):
            return True
        if cause.target in self.ancestors.get(effect.target, ()) and _any(explains.dependents, effect):
            return True
        if effect.target in self.ancestors.get(cause.target, ()) and _any(explains.dependencies, effect):
            return True
        if _any(explains.host, effect):
            return True
        return _any(explains.filesystem, effect) and self._same_filesystem(cause, effect)

    def does(self, cause: Finding, effect: Finding) -> bool:
        """Return whether a failing `cause` is taken as the reason of a failing `effect`."""
        if not self.can(cause, effect):
            return False
        runbook = self.runbooks[cause.id]
        return cause.status.rank >= effect.status.rank or runbook.even_as_warning

    def _same_filesystem(self, cause: Finding, effect: Finding) -> bool:
        """Return whether the effect's files lie on the mount point that the cause is about.

        Where the effect's files are not known, only the root file system is taken for theirs.
        """
        target = self.targets.get(effect.target_id)
        paths = target.paths if target else ()
        mount = cause.subject.rstrip("/") or "/"
        if not paths:
            return mount == "/" or cause.subject == ""
        return any(path == mount or path.startswith(mount.rstrip("/") + "/") for path in paths)


def _any(patterns: list[str], finding: Finding) -> bool:
    return any(fnmatchcase(finding.id, pattern) for pattern in patterns)


def rank(
    findings: Iterable[Finding],
    explanations: Explanations,
    role_of: Callable[[str], Role],
    is_down: Callable[[Finding], bool],
) -> Causes:
    """Return root causes, most severe first, with their chains, and what was ruled out."""
    every = list(findings)
    failing = [item for item in every if item.status.failing]
    able = [item for item in failing if role_of(item.id) != "risk"]

    def precedence(item: Finding) -> Precedence:
        """Sort key: severe first, then down, then the deepest dependency, then causes before symptoms."""
        lean = len(explanations.ancestors.get(item.target, ()))
        host_first = -1 if item.target == HOST_SERVICE else lean
        roles = {"cause": 0, "symptom": 1, "risk": 2}
        return (-item.status.rank, roles[role_of(item.id)], 0 if is_down(item) else 1, host_first, item.key)

    effects: dict[tuple[str, str, str], list[Finding]] = {}
    explained: set[tuple[str, str, str]] = set()
    for cause in able:
        for effect in failing:
            if not explanations.does(cause, effect):
                continue
            both_ways = role_of(effect.id) != "risk" and explanations.does(effect, cause)
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
    return _assemble(every, _one_each(roots, effects, precedence), effects, explanations, role_of, precedence)


def _one_each(
    roots: list[Finding],
    effects: dict[tuple[str, str, str], list[Finding]],
    precedence: Callable[[Finding], Precedence],
) -> list[Finding]:
    """Keep one root for each check and service: the same fault seen at four URLs is one fault."""
    first: dict[tuple[str, str], Finding] = {}
    for root in sorted(roots, key=precedence):
        leader = first.setdefault((root.id, root.target), root)
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

    def weight(item: Finding) -> Status:
        """A cause is as severe as the worst that it explains."""
        statuses = [item.status, *(effect.status for effect in chains[item.key])]
        return max(statuses, key=lambda status: status.rank)

    # a risk hurts nobody yet: beside a fault it is only noticed
    leaders = [item for item in roots if role_of(item.id) != "risk"] or roots
    worst = max((weight(item).rank for item in leaders), default=0)
    for root in sorted(
        roots, key=lambda item: (-weight(item).rank, -len(chains[item.key]), precedence(item))
    ):
        if root not in leaders or weight(root).rank < worst:
            causes.also.append(root)
            continue
        suspects = [item for item in every if role_of(item.id) != "risk" and explanations.can(item, root)]
        unseen = [item for item in suspects if item.status is Status.UNKNOWN]
        proven = not (role_of(root.id) == "symptom" and unseen)
        entry = RootCause(finding=root, chain=chains[root.key], proven=proven)
        (causes.proven if proven else causes.unproven).append(entry)
        _note_suspects(
            causes, root, chains[root.key], every, unseen if not proven else [], explanations, role_of
        )
    causes.ruled_out.sort(key=lambda row: row.target == HOST_SERVICE)  # neighbours first, then the machine
    return causes


def _note_suspects(
    causes: Causes,
    root: Finding,
    chain: tuple[Finding, ...],
    every: list[Finding],
    unseen: list[Finding],
    explanations: Explanations,
    role_of: Callable[[str], Role],
) -> None:
    """Fill in who was looked at and found innocent, and who could not be looked at."""
    noted = {(item.id, item.target, item.because) for item in causes.ruled_out}
    failing = {(item.id, item.target_id) for item in every if item.status.failing}
    for item in every:
        if item.status is not Status.OK or (item.id, item.target_id) in failing or role_of(item.id) == "risk":
            continue
        if any(explanations.can(item, effect) for effect in (root, *chain)):
            row = RuledOut(id=item.id, target=item.target, because=item.summary)
            if (row.id, row.target, row.because) not in noted:
                noted.add((row.id, row.target, row.because))
                causes.ruled_out.append(row)
    for item in unseen:
        causes.candidates.append(
            Candidate(
                id=item.id,
                target=item.target,
                because=item.summary,
                next_probe=item.hint or f"opsctl verify {item.id} --target {item.target_id}",
            )
        )
