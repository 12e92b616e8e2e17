"""Who can be the reason of whom in one stack: the runbooks' `explains`, joined by place. Pure.

Targets are joined by service, by `depends_on`, by who passes requests to whom, by who is asked
through whom, by what runs in containers, by address and by file system; never by words in a message.
"""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

import msgspec

from opsctl.judge import ancestors
from opsctl.model import HOST_SERVICE
from opsctl.runbooks import effect as entry
from opsctl.wiring import plain_address

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping

    from opsctl.model import Finding, ServiceSummary, Target
    from opsctl.runbooks import Effect, Runbook

Scopes = dict[str, tuple["Effect", ...]]
"""The entries of one runbook that name a slug, by scope."""
_ANYWHERE = frozenset(("host", "filesystem", "address"))
_CONTAINERS = frozenset(("containers", "leaning_on_containers"))
"""Scopes of what is wrong with all containers at once; such a finding is the machine's."""
_CONTAINER_KINDS = ("docker", "container")
_UNRESOLVED = "name-unresolved"


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
        through: Mapping[str, Collection[str]] | None = None,
        witnesses: Iterable[Finding] = (),
        observed: Mapping[tuple[str, str], Collection[str]] | None = None,
        files: Mapping[str, Collection[str]] | None = None,
    ) -> None:
        """Learn the stack.

        Args:
            services: who leans on whom.
            targets: by id; those of the findings.
            runbooks: by slug.
            passes_to: for each proxy, the services that listen where it passes requests to.
            mounts: mount points, to tell which file system a path is on.
            through: for each target that is asked through proxies, their services.
            witnesses: the failing findings; some explanations ask for a second one.
            observed: for findings of a monitoring system, by target and subject, the services they are about.
            files: where the files of each service lie.
        """
        self.targets, self.runbooks = targets, runbooks
        self._through = through or {}
        self._observed = observed or {}
        self._files = files or {}
        self._witnesses: dict[str, set[str]] = {}
        for item in witnesses:
            if item.status.failing:
                self._witnesses.setdefault(item.target, set()).add(item.id)
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
        # what has no process of its own, such as a site, is where it leans on
        inside = {name for name, service in services.items() if service.container}
        self._contained = inside | {
            name
            for name, service in services.items()
            if not service.unit and not inside.isdisjoint(self.ancestors[name])
        }
        self._mere_pages = {
            name: set(service.depends_on)
            for name, service in services.items()
            if not service.unit and not service.container
        }
        self._all_contained = bool(inside) and not any(service.unit for service in services.values())
        self._container_names = inside | {service.container for service in services.values()}
        self._scopes: dict[str, dict[str, Scopes]] = {}

    def can(self, cause: Finding, effect: Finding) -> bool:
        """Return whether `cause`, were it failing, could be the reason of `effect`."""
        scopes = self._explainers(effect.id).get(cause.id)
        if not scopes or cause.key == effect.key:
            return False
        if cause.kind in _CONTAINER_KINDS and self._is_of_dns(effect):
            return False
        return any(
            self._joined(scope, cause, effect) and any(self._fits(item, cause, effect) for item in entries)
            for scope, entries in scopes.items()
        )

    def _joined(self, scope: str, cause: Finding, effect: Finding) -> bool:
        """Return whether the two targets hang together in the way that a scope means."""
        match scope:
            case "service":
                return cause.target in self._home(effect)
            case "proxied":
                return cause.target in self._through.get(effect.target_id, ())
            case "dependents":
                return cause.target in self._above(effect)
            case "dependencies":
                return effect.target in self.ancestors.get(cause.target, ())
            case "filesystem":
                return self._same_filesystem(cause, effect)
            case "address":
                return not self._asked_at(cause).isdisjoint(self._asked_at(effect))
            case "containers":
                if effect.target == HOST_SERVICE:  # a port of nobody's
                    return self._all_contained
                return not self._contained.isdisjoint(self._home(effect))
            case "leaning_on_containers":
                return not self._contained.isdisjoint(self._above(effect))
        return scope == "host"

    def _is_of_dns(self, effect: Finding) -> bool:
        """Return whether a name was looked up in vain that is no container's: DNS answers for it."""
        if _UNRESOLVED not in (effect.code, effect.id.partition("/")[2]):
            return False
        target = self.targets.get(effect.target_id)
        host, _, port = target.address.rpartition(":") if target else ("", "", "")
        return port.isdecimal() and host not in self._container_names

    def _asked_at(self, finding: Finding) -> set[str]:
        """Return host and port where a finding's target is asked, and the name it is asked by there."""
        target = self.targets.get(finding.target_id)
        if target is None:
            return set()
        if target.kind != "tls":
            return {plain_address(target.address)}
        return {
            plain_address(text if text.rpartition(":")[2].isdecimal() else f"{text}:443")
            for text in (target.address, target.name)
        }

    def _fits(self, item: Effect, cause: Finding, effect: Finding) -> bool:
        """Return whether an entry means this form of the effect, and has the witness it asks for."""
        if not item.fits(effect.code, cause.code):
            return False
        seen = self._witnesses.get(effect.target, ())
        return not item.beside or any(fnmatchcase(slug, item.beside) for slug in seen)

    def does(self, cause: Finding, effect: Finding) -> bool:
        """Return whether a failing `cause` is taken as the reason of a failing `effect`."""
        if not self.can(cause, effect):
            return False
        return cause.status.rank >= effect.status.rank or self._hurts(cause, effect)

    def hurts_as_warning(self, slug: str) -> bool:
        """Return whether findings of a slug explain what is more severe than themselves."""
        runbook = self.runbooks.get(slug)
        return runbook is not None and bool(runbook.even_as_warning)

    def _hurts(self, cause: Finding, effect: Finding) -> bool:
        runbook = self.runbooks.get(cause.id)
        listed = runbook.even_as_warning if runbook is not None else False
        if isinstance(listed, bool):
            return listed
        entries = (entry(text) for text in listed)
        return any(item.names(effect.id) and self._fits(item, cause, effect) for item in entries)

    def suspects(self, effect: Finding, among: FindingIndex) -> Iterator[Finding]:
        """Yield the findings that could be the reason of `effect`."""
        for slug, scopes in self._explainers(effect.id).items():
            for item in among.at(slug, self._places(effect, scopes)):
                if self.can(item, effect):
                    yield item

    def _explainers(self, slug: str) -> dict[str, Scopes]:
        """Return the slugs whose runbooks name `slug`, each with the entries that do, by scope."""
        if slug not in self._scopes:
            found: dict[str, Scopes] = {}
            for name, runbook in self.runbooks.items():
                scopes: Scopes = {}
                for scope, texts in msgspec.structs.asdict(runbook.explains).items():
                    entries = tuple(item for text in texts if (item := entry(text)).names(slug))
                    if entries:
                        scopes[scope] = entries
                if scopes:
                    found[name] = scopes
            self._scopes[slug] = found
        return self._scopes[slug]

    def _home(self, effect: Finding) -> tuple[str, ...]:
        """Return the effect's service, the proxies its target is asked through, and whom it is about."""
        about = self._observed.get((effect.target_id, effect.subject), ()) if self._observed else ()
        return (effect.target, *self._through.get(effect.target_id, ()), *about)

    def _above(self, effect: Finding) -> set[str]:
        """Return the services that the effect's service leans on, or the one that it is about."""
        own = self.ancestors.get(effect.target, set())
        about = self._observed.get((effect.target_id, effect.subject), ()) if self._observed else ()
        return own.union(*(self.ancestors.get(name, ()) for name in about)) if about else own

    def _places(self, effect: Finding, scopes: Scopes) -> set[str] | None:
        """Return the services in which a reason of `effect` can be; None for anywhere."""
        if _ANYWHERE.intersection(scopes):
            return None
        places: set[str] = set()
        if "service" in scopes or "proxied" in scopes:
            places.update(self._home(effect))
        if "dependents" in scopes:
            places |= self._above(effect)
        if "dependencies" in scopes:
            places |= self._descendants.get(effect.target, set())
        if _CONTAINERS.intersection(scopes):
            places.add(HOST_SERVICE)
        return places

    def _same_filesystem(self, cause: Finding, effect: Finding) -> bool:
        """Return whether the effect's files lie on the file system that the cause is about.

        A path lies on the mount point with the longest name that it begins with. Where the
        effect's own files are not known, its service's are taken for them, and the root file system.
        """
        target = self.targets.get(effect.target_id)
        paths = target.paths if target else ()
        mount = cause.subject.rstrip("/") or "/"
        if not paths:
            if mount == "/":
                return True
            paths = tuple(self._files_of(effect))
        return any(_mount_of(path, self._mounts | {mount}) == mount for path in paths)

    def _files_of(self, effect: Finding) -> set[str]:
        """Return where the service of a finding has files; that of mere pages has those of who makes them."""
        own = self._files.get(effect.target)
        if own or effect.target not in self._mere_pages:
            return set(own or ())
        makers = self._mere_pages[effect.target].difference(self._through.get(effect.target_id, ()))
        return {path for maker in makers for path in self._files.get(maker, ())}


def _mount_of(path: str, mounts: set[str]) -> str:
    below = [mount for mount in mounts if path == mount or path.startswith(mount.rstrip("/") + "/")]
    return max(below, key=len, default="")
