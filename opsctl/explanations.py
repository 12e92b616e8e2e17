"""Who can be the reason of whom in one stack: the runbooks' `explains`, joined by place. Pure.

Targets are joined by service, by `depends_on`, by who passes requests to whom, and by file
system; never by words in a message.
"""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

import msgspec

from opsctl.judge import ancestors

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from opsctl.model import Finding, ServiceSummary, Target
    from opsctl.runbooks import Runbook

_ANYWHERE = frozenset(("host", "filesystem"))


class FindingIndex:
    """Findings by slug and service, so that a stack of hundreds of services stays quick."""

    def __init__(self, findings: Iterable[Finding]) -> None:
        self._by_slug: dict[str, list[Finding]] = {}
        self._by_place: dict[tuple[str, str], list[Finding]] = {}
        for item in findings:
            self._by_slug.setdefault(item.id, []).append(item)
            self._by_place.setdefault((item.id, item.target), []).append(item)

    def at(self, slug: str, services: set[str] | None) -> Iterator[Finding]:
        """Yield the findings of a slug in these services; everywhere where `services` is None."""
        if services is None:
            yield from self._by_slug.get(slug, ())
        else:
            for service in sorted(services):
                yield from self._by_place.get((slug, service), ())


class Explanations:
    """Answers "can this finding be the reason of that one?" for one stack."""

    def __init__(
        self,
        services: Mapping[str, ServiceSummary],
        targets: Mapping[str, Target],
        runbooks: Mapping[str, Runbook],
        passes_to: Mapping[str, set[str]] | None = None,
        mounts: Iterable[str] = (),
    ) -> None:
        self.targets, self.runbooks = targets, runbooks
        self._mounts = {mount.rstrip("/") or "/" for mount in mounts}
        self.ancestors = {name: set(ancestors(name, services)) for name in services}
        # what a proxy passes requests to is the reason of the proxy's own trouble, not of that of
        # services that lean on the proxy
        for proxy, others in (passes_to or {}).items():
            for other in others:
                self.ancestors.setdefault(proxy, set()).update((other, *ancestors(other, services)))
        self._descendants: dict[str, set[str]] = {}
        for name, parents in self.ancestors.items():
            for parent in parents:
                self._descendants.setdefault(parent, set()).add(name)
        self._scopes: dict[str, dict[str, frozenset[str]]] = {}

    def can(self, cause: Finding, effect: Finding) -> bool:
        """Return whether `cause`, were it failing, could be the reason of `effect`."""
        scopes = self._explainers(effect.id).get(cause.id)
        if not scopes or cause.key == effect.key:
            return False
        return (
            "host" in scopes
            or ("service" in scopes and cause.target in self._home(effect))
            or ("dependents" in scopes and cause.target in self.ancestors.get(effect.target, ()))
            or ("dependencies" in scopes and effect.target in self.ancestors.get(cause.target, ()))
            or ("filesystem" in scopes and self._same_filesystem(cause, effect))
        )

    def does(self, cause: Finding, effect: Finding) -> bool:
        """Return whether a failing `cause` is taken as the reason of a failing `effect`."""
        if not self.can(cause, effect):
            return False
        return cause.status.rank >= effect.status.rank or self.runbooks[cause.id].even_as_warning

    def suspects(self, effect: Finding, among: FindingIndex) -> Iterator[Finding]:
        """Yield the findings that could be the reason of `effect`."""
        for slug, scopes in self._explainers(effect.id).items():
            for item in among.at(slug, self._places(effect, scopes)):
                if self.can(item, effect):
                    yield item

    def _explainers(self, slug: str) -> dict[str, frozenset[str]]:
        """Return the slugs whose runbooks name `slug`, each with the scopes in which they do."""
        if slug not in self._scopes:
            found: dict[str, frozenset[str]] = {}
            for name, runbook in self.runbooks.items():
                explained = msgspec.structs.asdict(runbook.explains)
                scopes = frozenset(
                    scope
                    for scope, patterns in explained.items()
                    if any(fnmatchcase(slug, pattern) for pattern in patterns)
                )
                if scopes:
                    found[name] = scopes
            self._scopes[slug] = found
        return self._scopes[slug]

    def _home(self, effect: Finding) -> tuple[str, ...]:
        """Return the effect's service, and the proxy that its target is asked through."""
        target = self.targets.get(effect.target_id)
        return (effect.target, target.via) if target and target.via else (effect.target,)

    def _places(self, effect: Finding, scopes: frozenset[str]) -> set[str] | None:
        """Return the services in which a reason of `effect` can be; None for anywhere."""
        if scopes & _ANYWHERE:
            return None
        places: set[str] = set()
        if "service" in scopes:
            places.update(self._home(effect))
        if "dependents" in scopes:
            places |= self.ancestors.get(effect.target, set())
        if "dependencies" in scopes:
            places |= self._descendants.get(effect.target, set())
        return places

    def _same_filesystem(self, cause: Finding, effect: Finding) -> bool:
        """Return whether the effect's files lie on the file system that the cause is about.

        A path lies on the mount point with the longest name that it begins with. Where the
        effect's files are not known, only the root file system is taken for theirs.
        """
        target = self.targets.get(effect.target_id)
        paths = target.paths if target else ()
        mount = cause.subject.rstrip("/") or "/"
        if not paths:
            return mount == "/"
        return any(_mount_of(path, self._mounts | {mount}) == mount for path in paths)


def _mount_of(path: str, mounts: set[str]) -> str:
    below = [mount for mount in mounts if path == mount or path.startswith(mount.rstrip("/") + "/")]
    return max(below, key=len, default="")
