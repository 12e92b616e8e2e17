"""One look at one target: its probe is called, and what went wrong is put in words.

Never raises for what a probe does.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from opsctl import system
from opsctl.model import Problem, Reading
from opsctl.probes import probe_for
from opsctl.probes.base import PROBE_SECONDS, ProbeContext, ProbeError
from opsctl.probes.container_address import by_address, names_container
from opsctl.secrets import MissingSecret
from opsctl.starvation import Clock, starved

if TYPE_CHECKING:
    from opsctl.facts.base import Facts
    from opsctl.model import Target
    from opsctl.probes.base import Shared
    from opsctl.redact import Redactor
    from opsctl.secrets import Secrets
    from opsctl.stack.specs import Spec
    from opsctl.stack.stack import Stack
    from opsctl.stack.targets import Assignment

_NAMES = {"postgres": "PostgreSQL", "redis": "Redis"}


def look(
    stack: Stack,
    item: Assignment,
    seconds: float,
    secrets: Secrets,
    redactor: Redactor,
    shared: Shared,
    options: dict[str, Any],
) -> Reading:
    """Look at one target in the calling thread, for whoever looks again and again; texts are not redacted.

    A probe that hangs is not waited for by anybody else: whoever calls this has a thread to spare.
    """
    ends = time.monotonic() + min(seconds, PROBE_SECONDS)
    context = ProbeContext(
        target=item.target,
        spec=item.spec,
        service=item.service,
        stack=stack,
        secrets=secrets,
        redactor=redactor,
        shared=shared,
        ends=ends,
        options=options,
    )
    batch = system.Batch()
    batch.join()
    try:
        return look_at(context)
    finally:
        batch.end()
        batch.leave()


def look_at(context: ProbeContext) -> Reading:
    """Return what the target's probe says, or why it said nothing."""
    began, taken_at, clock = time.monotonic(), datetime.now(UTC), Clock()
    target = context.target
    facts, problem = None, None
    try:
        if context.service.container and names_container(context.spec, context.service):
            context = by_address(context)
        facts = probe_for(target.kind, context.options.get("detail", ""))(context)
        problem = _refused_guess(target, context.spec, facts) or _starved(facts, clock)
        facts = facts if problem is None else None
    except ProbeError as error:
        problem = Problem(code=error.code, message=error.message, hint=error.hint, parent=error.parent)
    except MissingSecret as error:
        problem = Problem(
            code="missing", message=str(error), hint="set it, or name another in the stack file"
        )
    except Exception as error:  # noqa: BLE001 - a broken probe must not take the others with it
        words = f"{type(error).__name__}: {error}".strip().splitlines()[0]
        problem = Problem(
            code="crashed",
            message=f"the probe failed: {words[:300]}",
            hint="run with --debug and report it",
        )
        if context.options.get("debug"):
            import sys
            import traceback

            sys.stderr.write(context.redactor.text(traceback.format_exc()))
    return Reading(
        target=target,
        taken_at=taken_at,
        duration_seconds=round(time.monotonic() - began, 4),
        facts=facts,
        problem=problem,
    )


def _starved(facts: Facts, clock: Clock) -> Problem | None:
    """Return why nothing can be said of a target that this machine left no time to ask."""
    words = starved(facts, clock)
    if not words:
        return None
    hint = (
        "look who takes the processors (opsctl verify host/cpu-saturated), or give it longer with --timeout"
    )
    return Problem(code="timeout", message=words, hint=hint)


def _refused_guess(target: Target, spec: Spec, facts: Facts) -> Problem | None:
    """Return why nothing can be said where a server refused a login that discovery made up."""
    if not getattr(spec, "guessed", False):
        return None
    state = getattr(getattr(facts, "connection", None), "state", "")
    if state not in ("auth-failed", "database-missing"):
        return None
    name = _NAMES.get(target.kind, target.kind)
    return Problem(
        code="permission",
        message=f"{name} answers on {target.address}, but no login is known",
        hint="name it in a stack file (opsctl stack init)",
    )
