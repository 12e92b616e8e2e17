"""A stack that can be used: the spec, where it came from, and how to read files beside it."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from opsctl.model import ServiceSummary, StackSummary

if TYPE_CHECKING:
    from opsctl.stack.specs import StackSpec


DISCOVERED = "discovered on this machine"
"""Origin of a stack that no file describes."""


@dataclass(frozen=True)
class Stack:
    """A stack file, or the discovered equivalent of one.

    `origin` is shown to people (a file name, or "discovered on this machine"); relative paths
    in the spec are relative to `directory`.
    """

    spec: StackSpec
    origin: str
    directory: Path
    notes: tuple[str, ...] = field(default=())

    @property
    def name(self) -> str:
        """The stack's name."""
        return self.spec.name

    @property
    def flow(self) -> str:
        """The entry tree: the one named, else by what runs most services."""
        if self.spec.flow:
            return self.spec.flow
        containers = sum(1 for service in self.spec.services.values() if service.container)
        units = sum(1 for service in self.spec.services.values() if service.unit)
        return "containers" if containers > units or self.spec.compose else "systemd"

    def path(self, text: str) -> Path:
        """Return a path of the stack file: `~` expanded, relative ones beside the file."""
        path = Path(text)
        with contextlib.suppress(RuntimeError):  # ~ of nobody
            path = path.expanduser()
        return path if path.is_absolute() else self.directory / path

    def summary(self) -> StackSummary:
        """Return the part that judging needs and that travels in snapshots."""
        import msgspec

        thresholds: dict[str, dict[str, float | None]] = {}
        for slug, limits in self.spec.thresholds.items():
            pairs = {"warning": limits.warning, "critical": limits.critical}
            thresholds[slug] = {
                level: value for level, value in pairs.items() if not isinstance(value, msgspec.UnsetType)
            }
        return StackSummary(
            name=self.spec.name,
            flow=self.flow,
            origin=self.origin,
            services={
                name: ServiceSummary(
                    depends_on=tuple(service.depends_on),
                    guessed=service.depends_on_guessed,
                    container=service.container,
                    unit=service.unit,
                )
                for name, service in self.spec.services.items()
            },
            thresholds=thresholds,
            systemd=Path("/run/systemd/system").is_dir(),
        )
