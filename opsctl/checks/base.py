"""What a check is, and the few words it speaks in.

A new check is one decorated function:

    @check("redis/evicting", needs="INFO stats", limits=Limits(warning=1, unit="keys/s"))
    def evicting(facts: RedisFacts, context: CheckContext) -> Iterator[Finding]:
        '''Redis throws keys away because its memory is full.'''
        rate = context.need(facts.evicted_per_second, "evicted_keys")
        yield context.judge(rate, f"{rate:g} keys a second are evicted", source="INFO stats", ...)

It yields one finding per subject, `ok` ones too: their summary is what "ruled out" says.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeVar, cast

from opsctl.model import Evidence, Finding, Remediation, ServiceSummary, Status, Target

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from datetime import datetime

    from opsctl.facts.base import Facts

T = TypeVar("T")
F = TypeVar("F", bound="Facts")

Role = Literal["cause", "symptom", "risk"]
"""`cause` names a fault; `symptom` is what users notice and something else may explain;
`risk` hurts nobody yet and is never the cause of an outage by itself."""


@dataclass(frozen=True, slots=True)
class Limits:
    """A check's thresholds. `source` says where the numbers come from.

    With `below`, too little is the fault. A level that is None is never given.
    """

    warning: float | None = None
    critical: float | None = None
    unit: str = ""
    below: bool = False
    source: str = ""

    def status(self, value: float) -> Status:
        """Return what a value means: at the limit counts as over it."""
        for limit, status in ((self.critical, Status.CRITICAL), (self.warning, Status.WARNING)):
            if limit is not None and (value <= limit if self.below else value >= limit):
                return status
        return Status.OK

    def limit_for(self, status: Status) -> float | None:
        """Return the limit that a status crossed, or the nearest one where it is ok."""
        if status is Status.CRITICAL:
            return self.critical
        return self.warning if self.warning is not None else self.critical


class NotObserved(Exception):
    """The check could not look: its finding is `unknown`, with the reason and what would help."""

    def __init__(self, reason: str, hint: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.hint = hint


@dataclass(frozen=True, slots=True)
class Check:
    """One check of the catalogue.

    `reachability` checks run although the target is not up (they judge just that);
    where one of them says critical, the target is down and the others are blocked.
    `needs` says in words what the check reads, and `permission` what it takes to read it;
    `code` what the `code` of its findings holds, where it sets one.
    """

    slug: str
    function: Callable[[Any, CheckContext], Iterable[Finding]]
    limits: Limits | None
    needs: str
    permission: str
    role: Role
    reachability: bool
    code: str = ""

    @property
    def kind(self) -> str:
        """The first half of the slug."""
        return self.slug.partition("/")[0]

    @property
    def summary(self) -> str:
        """The symptom: the first line of the docstring."""
        return (self.function.__doc__ or "").strip().splitlines()[0]

    @property
    def description(self) -> str:
        """The whole docstring."""
        import inspect

        return inspect.getdoc(self.function) or ""


_registry: dict[str, Check] = {}
_UNKNOWN_SERVICE = ServiceSummary()


def check(
    slug: str,
    *,
    needs: str,
    limits: Limits | None = None,
    permission: str = "",
    role: Role = "cause",
    reachability: bool = False,
    code: str = "",
) -> Callable[
    [Callable[[F, CheckContext], Iterable[Finding]]], Callable[[F, CheckContext], Iterable[Finding]]
]:
    """Register a function as the check named `slug` (`kind/name`)."""

    def register(
        function: Callable[[F, CheckContext], Iterable[Finding]],
    ) -> Callable[[F, CheckContext], Iterable[Finding]]:
        if slug in _registry:
            raise ValueError(f"two checks are named {slug}")
        _registry[slug] = Check(
            slug, cast("Any", function), limits, needs, permission, role, reachability, code
        )
        return function

    return register


def registered(kind: str) -> tuple[Check, ...]:
    """Return the checks registered so far for a kind."""
    return tuple(item for item in _registry.values() if item.kind == kind)


@dataclass(frozen=True, slots=True)
class CheckContext:
    """The target, the limits in force and the moment; and the means to say what was found."""

    check: Check
    target: Target
    limits: Limits
    at: datetime
    runs: ServiceSummary = _UNKNOWN_SERVICE
    """What the stack says of the target's service: its unit or container, where it has one."""

    def need(self, value: T | None, what: str, hint: str = "") -> T:
        """Return the value.

        Raises:
            NotObserved: it is None, because the probe could not read it.
        """
        if value is None:
            raise NotObserved(f"{what} could not be read", hint)
        return value

    def need_part(self, facts: Facts, *parts: str) -> None:
        """Make sure that the probe could read these parts of the facts.

        Raises:
            NotObserved: one of them has a problem; its words and hint are passed on.
        """
        for part in parts:
            problem = facts.problem(part)
            if problem is not None:
                raise NotObserved(problem.message, problem.hint)

    def finding(
        self,
        status: Status,
        summary: str,
        *,
        subject: str = "",
        code: str = "",
        value: float | int | str | None = None,
        threshold: float | int | str | None = None,
        unit: str = "",
        source: str = "",
        evidence: Iterable[Evidence] = (),
        fix: str = "",
        commands: Iterable[str] = (),
        hint: str = "",
    ) -> Finding:
        """Return a finding of this check.

        Args:
            status: what it means.
            summary: one sentence with the measured value.
            subject: what precisely: a mount point, a database, a URL.
            code: which form of this finding; runbooks can explain one form and not another.
            value: the raw value, `threshold` its limit, `unit` of both.
            threshold: see `value`.
            unit: see `value`.
            source: the command or query that shows the value.
            evidence: further measured values.
            fix: what to do, in words; destructive steps belong here and not into `commands`.
            commands: safe to paste.
            hint: what would let an `unknown` check see.
        """
        rows = list(evidence)
        if value is not None or source:
            text = summary
            rows.insert(
                0, Evidence(text=text, value=value, threshold=threshold, unit=unit, source=source, at=self.at)
            )
        remedy = Remediation(text=fix, commands=tuple(commands)) if fix or commands else None
        return Finding(
            id=self.check.slug,
            target=self.target.service,
            target_id=self.target.id,
            status=status,
            summary=summary,
            subject=subject,
            code=code,
            evidence=tuple(rows),
            remediation=remedy if status.failing else None,
            hint=hint,
            at=self.at,
        )

    def ok(self, summary: str, **details: Any) -> Finding:
        """Return an `ok` finding; its summary is what "ruled out" shows."""
        return self.finding(Status.OK, summary, **details)

    def warning(self, summary: str, **details: Any) -> Finding:
        """Return a `warning` finding."""
        return self.finding(Status.WARNING, summary, **details)

    def critical(self, summary: str, **details: Any) -> Finding:
        """Return a `critical` finding."""
        return self.finding(Status.CRITICAL, summary, **details)

    def judge(self, value: float, summary: str, **details: Any) -> Finding:
        """Return a finding whose status comes from the limits in force."""
        status = self.limits.status(value)
        return self.finding(
            status,
            summary,
            value=value,
            threshold=self.limits.limit_for(status),
            unit=self.limits.unit,
            **details,
        )
