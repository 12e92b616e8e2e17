"""Where the files of each service lie, as the facts tell: data folders, volumes of containers, logs. Pure.

What the stack file does not say (few name a `data_directory`) decides which full disk is whose reason.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from opsctl.model import Snapshot


def files_of_services(snapshot: Snapshot) -> dict[str, frozenset[str]]:
    """Return the absolute paths at which each service keeps files on this machine; none where unknown."""
    found: dict[str, set[str]] = {}
    for reading in snapshot.readings:
        facts: Any = reading.facts
        paths = [*reading.target.paths, getattr(facts, "data_directory", "")]
        for instance in getattr(facts, "instances", ()):
            paths += getattr(instance, "mounts", ())
        found.setdefault(reading.target.service, set()).update(path for path in paths if path.startswith("/"))
    return {service: frozenset(paths) for service, paths in found.items() if paths}
