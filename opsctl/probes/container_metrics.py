"""Looks at containers again and again, for metrics: only those that have changed are inspected anew.

The engine's one list says cheaply which have; the others' figures come from their control groups. Nothing
is sampled twice: what a diagnosis waits a second for is compared with the look before.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from opsctl.probes.container import THROTTLE_WINDOW_SECONDS, Look, control_group_of
from opsctl.probes.container_cgroup import Files, read_text, throttled_ratio
from opsctl.probes.container_usage import source, usage
from opsctl.probes.remembering import earlier, memory

if TYPE_CHECKING:
    from opsctl.facts.base import FactProblem
    from opsctl.facts.container import Instance
    from opsctl.probes.container_cgroup import ControlGroup
    from opsctl.probes.container_usage import Source

KEPT_SECONDS = 120.0
"""`docker update` changes limits without a trace in the list: they are known this much later at most."""
CHECKED_SECONDS = 30.0
"""The same for a container with a health check, whose failures are counted before it is unhealthy."""

LONGEST_TURN_SECONDS = 0.3
"""A service whose files hang does not keep the others waiting for longer."""
_ONE_READS = threading.Lock()
"""Dozens of small files each: threads that read them side by side mostly fight for the interpreter's lock."""


@dataclass(frozen=True)
class Known:
    """A container as it was inspected."""

    instance: Instance
    group: ControlGroup | None
    source: Source | None
    """Where its use is read from; None where it does not run."""
    log_path: str
    status: str
    """The words of the engine's list: `Up 5 minutes (healthy)`."""
    membership: str
    """Its main process's control groups; empty where that is not to be seen."""
    problems: tuple[FactProblem, ...]
    ends: float
    """When it is inspected anew whatever has happened (monotonic seconds)."""

    def holds(self, listed: dict[str, Any]) -> bool:
        """Return whether nothing but figures can have changed.

        The words of the list change with time too: in the first minute every second, later seldom. A
        container that was started again has another main process.
        """
        if self.status != str(listed.get("Status")) or time.monotonic() > self.ends:
            return False
        if self.instance.failing_streak or self.instance.state in ("restarting", "removing", "dead"):
            return False
        if self.instance.state != "running":
            return True
        return bool(self.membership) and self.membership == membership(self.source)


def membership(source: Source | None) -> str:
    """Return the control groups of a container's main process; empty where it has gone."""
    pid = source.pid if source is not None else 0
    return (read_text(Path(f"/proc/{pid}/cgroup")) or "") if pid else ""


def kept_until(instance: Instance) -> float:
    """Return until when a container's description is kept; not all end at once."""
    longest = CHECKED_SECONDS if instance.health else KEPT_SECONDS
    spread = int(instance.id[:4] or "0", 16) / 0xFFFF if _hexadecimal(instance.id[:4]) else 1.0
    return time.monotonic() + longest * (0.5 + spread / 2)


def _hexadecimal(text: str) -> bool:
    return bool(text) and set(text) <= set("0123456789abcdef")


class MetricsLook(Look):
    """One look of many at one service."""

    def _instances(self) -> list[Instance]:
        """Return the containers; those that have not changed are not inspected again."""
        kept = memory(self.context)
        known: dict[str, Known] = {} if kept is None else kept.setdefault("containers", {})
        listed = {str(item.get("Id")): item for item in self.own}
        for identity, item in listed.items():
            if identity not in known or not known[identity].holds(item):
                known.pop(identity, None)
                found = self._known(item)
                if found is not None:
                    known[identity] = found
            elif known[identity].problems:
                self.problems += [one for one in known[identity].problems if one not in self.problems]
        for gone in known.keys() - listed.keys():
            del known[gone]
        alone = _ONE_READS.acquire(timeout=LONGEST_TURN_SECONDS)
        try:
            refreshed = [self._refreshed(item) for item in known.values()]
        finally:
            if alone:
                _ONE_READS.release()
        return self._throttling_between(refreshed)

    def _known(self, item: dict[str, Any]) -> Known | None:
        inspected = self._inspect(item)
        if not inspected:
            return None
        group = self.groups[str(inspected.get("Id"))] = control_group_of(inspected)
        before = list(self.problems)
        instance = self._instance(inspected)
        running = instance.state in ("running", "paused")
        where = source(inspected, group is not None) if running else None
        return Known(
            instance=instance,
            group=group,
            source=where,
            log_path=self._log_path(inspected, instance.log_driver),
            status=str(item.get("Status")),
            membership=membership(where),
            problems=tuple(one for one in self.problems if one not in before),
            ends=kept_until(instance),
        )

    def _refreshed(self, known: Known) -> Instance:
        """Return a container with its figures of now."""
        values: dict[str, Any] = {"log_bytes": self._log_bytes(known.log_path)}
        if known.source is not None:
            instance, files = known.instance, Files()
            self.groups[instance.id] = known.group
            values |= self._resources(instance.state, instance.id, instance.memory_limit, files)
            values["usage"] = usage(known.source, files)
        return msgspec.structs.replace(known.instance, **values)

    def _throttling_between(self, instances: list[Instance]) -> list[Instance]:
        """Add how often containers with a CPU limit were held back since the look before."""
        now = {
            item.id: (item.cpu_periods, item.cpu_throttled_periods)
            for item in instances
            if item.cpu_limit and item.state == "running" and item.cpu_periods is not None
        }
        found = earlier(self.context, "throttling", now, THROTTLE_WINDOW_SECONDS)
        before = found[1] if found is not None else {}
        ratios: dict[str, float | None] = {}
        for identity, (periods, throttled) in now.items():
            first = before.get(identity)
            if not throttled:
                ratios[identity] = 0.0
            elif first is not None and first[1] is not None and periods is not None:
                ratios[identity] = throttled_ratio((first[0] or 0, first[1]), (periods, throttled))
        return [
            msgspec.structs.replace(item, cpu_throttled_ratio=ratios.get(item.id)) if item.id in now else item
            for item in instances
        ]
