"""What a fault is: a short function that breaks a running system, and what must then be named.

    @fault("wishlins", "freemarket", expect=[("container/exited", "backend")], shows=[("http/status", "api")])
    def backend_stopped(lab):
        lab.docker_stop("backend")
        yield                      # the diagnosis is made here
        lab.docker_start("backend")

Targets are roles (`db`, `cache`, `backend`, `bot`, `frontend`, `proxy`, `site`, `api`); each system says
which of its services plays which.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.lab.stacks.base import System

SPECIALS = ("control", "recovered", "red-herring", "missing-evidence", "double", "stale-status")
Cause = tuple[str, str]
"""(slug, role or service); slugs that are equally right are parted by `|`."""
HANGS = "http/status|http/timeout"
"""What users see of a dependency that hangs: the pool's wait ends in an error, or the proxy's and opsctl's
patience ends first, sooner still where the proxy asks one backend after the other; a matter of the moment."""


@dataclass(frozen=True)
class Fault:
    """One fault on one system.

    Attributes:
        expect: root causes that must be named, no others; empty: nothing may be found (controls).
        shows: symptoms that must hang below the first cause.
        innocent: slug patterns that must not be root causes, whatever else is.
        abstain: the truth cannot be seen: naming nothing is right, naming `expect` too, all else wrong.
        user: who runs opsctl.
        options: further options of `opsctl diagnose`.
    """

    name: str
    system: str
    inject: Callable[[Any], Iterator[None]]
    expect: tuple[Cause, ...]
    shows: tuple[Cause, ...] = ()
    innocent: tuple[str, ...] = ()
    special: str = ""
    abstain: bool = False
    user: str = ""
    options: tuple[str, ...] = ()
    hangs: bool = False
    tags: tuple[str, ...] = field(default=())

    @property
    def id(self) -> str:
        """SYSTEM/NAME."""
        return f"{self.system}/{self.name}"

    @property
    def kind(self) -> str:
        """The kind it is counted under."""
        return self.special or (self.expect[0][0].partition("/")[0] if self.expect else "control")


FAULTS: list[Fault] = []


def fault(
    *systems: str,
    expect: Sequence[Cause] = (),
    shows: Sequence[Cause] = (),
    innocent: Sequence[str] = (),
    special: str = "",
    abstain: bool = False,
    user: str = "",
    options: Sequence[str] = (),
    hangs: bool = False,
) -> Callable[[Callable[[Any], Iterator[None]]], Callable[[Any], Iterator[None]]]:
    """Register a fault on each of the systems."""
    assert not special or special in SPECIALS, special

    def register(function: Callable[[Any], Iterator[None]]) -> Callable[[Any], Iterator[None]]:
        for system in systems:
            FAULTS.append(
                Fault(
                    name=function.__name__.replace("_", "-"),
                    system=system,
                    inject=function,
                    expect=tuple(expect),
                    shows=tuple(shows),
                    innocent=tuple(innocent),
                    special=special,
                    abstain=abstain,
                    user=user,
                    options=tuple(options),
                    hangs=hangs,
                )
            )
        return function

    return register


def resolved(system: System, causes: Sequence[Cause]) -> list[tuple[tuple[str, ...], str]]:
    """Return causes with their alternatives apart and their roles replaced by the system's services."""
    return [(tuple(slugs.split("|")), system.services.get(role, role)) for slugs, role in causes]
