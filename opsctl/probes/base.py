"""What every probe gets, and how it says that it could not look."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

    from opsctl.model import Target
    from opsctl.redact import Redactor
    from opsctl.secrets import Secrets
    from opsctl.stack.specs import ServiceSpec, Spec
    from opsctl.stack.stack import Stack

T = TypeVar("T")

PROBE_SECONDS = 3.0
"""How long one probe may take, unless the deadline is nearer (design: 3 s a probe, 10 s in all)."""


class ProbeError(Exception):
    """The target could not be looked at: nothing can be said of it.

    A server that refuses, hangs or rejects a password *was* looked at: that is a fact
    (`up=False` with a `Connection`), not a ProbeError.

    Args:
        code: timeout | permission | missing | refused | unsupported | crashed.
        message: what failed, in the system's own words.
        hint: what would let it succeed.
        parent: the kind whose failure is the reason ("docker"), if one is.
    """

    def __init__(self, code: str, message: str, hint: str = "", parent: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.hint = hint
        self.parent = parent


class Shared:
    """Work that several probes need once per run: the list of containers, of units, of sockets."""

    def __init__(self) -> None:
        self._locks: dict[Hashable, threading.Lock] = {}
        self._values: dict[Hashable, tuple[Any, BaseException | None]] = {}
        self._guard = threading.Lock()

    def once(self, key: Hashable, make: Callable[[], T]) -> T:
        """Return `make()`, called at most once per run and key; its error is kept as well."""
        with self._guard:
            lock = self._locks.setdefault(key, threading.Lock())
        with lock:
            if key not in self._values:
                try:
                    self._values[key] = (make(), None)
                except Exception as error:  # noqa: BLE001 - kept, and raised to each who asks
                    self._values[key] = (None, error)
        value, failure = self._values[key]
        if failure is not None:
            raise failure
        result: T = value
        return result


@dataclass(slots=True)
class ProbeContext:
    """One target, its spec, and the means to look at it; nobody changes it.

    Not frozen: that takes longer to make, at every scrape.
    """

    target: Target
    spec: Spec
    service: ServiceSpec
    stack: Stack
    secrets: Secrets
    redactor: Redactor
    shared: Shared
    ends: float
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def left(self) -> float:
        """Seconds that this probe may still take; never below 0.05."""
        return max(self.ends - time.monotonic(), 0.05)
