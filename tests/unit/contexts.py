"""A probe's context for one spec, without an engine around it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from opsctl.model import Target
from opsctl.probes.base import ProbeContext, Shared
from opsctl.redact import Redactor
from opsctl.secrets import Secrets
from opsctl.stack.specs import ServiceSpec, Spec, StackSpec
from opsctl.stack.stack import Stack

if TYPE_CHECKING:
    from pathlib import Path


def context_for(kind: str, spec: Spec, folder: Path, seconds: float = 3.0) -> ProbeContext:
    """Return the context of a probe that looks at one spec; relative paths are below the folder."""
    service = ServiceSpec()
    stack = Stack(StackSpec(name="x", services={"x": service}), "test", folder)
    redactor = Redactor()
    return ProbeContext(
        target=Target(kind=kind, service="x", address=""),
        spec=spec,
        service=service,
        stack=stack,
        secrets=Secrets(stack, redactor),
        redactor=redactor,
        shared=Shared(),
        ends=time.monotonic() + seconds,
    )
