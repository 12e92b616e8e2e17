"""The words of opsctl: status, target, reading, finding, root cause, diagnosis."""

from __future__ import annotations

import enum
import shlex
from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import msgspec

from opsctl.facts.base import Facts

if TYPE_CHECKING:
    from collections.abc import Iterable

Moment = Annotated[datetime, msgspec.Meta(tz=True)]
"""A point in time; never without its time zone."""

HOST_SERVICE = "host"
"""Service name of targets that belong to the machine, not to one service."""

UNDATED = "undated"
"""Code of an `unknown` finding that saw something which may be of now or of long ago."""


class Status(enum.StrEnum):
    """What a check says. `unknown` and `blocked` are never folded into `ok`."""

    OK = "ok"
    WARNING = "warning"
    CRITICAL = "critical"
    UNKNOWN = "unknown"
    BLOCKED = "blocked"

    @property
    def failing(self) -> bool:
        """True where something is wrong, as opposed to fine or not seen."""
        return self in (Status.WARNING, Status.CRITICAL)

    @property
    def rank(self) -> int:
        """Order for "worst of": ok 0, blocked 1, unknown 2, warning 3, critical 4."""
        return _RANK[self]


_RANK = {
    Status.OK: 0,
    Status.BLOCKED: 1,
    Status.UNKNOWN: 2,
    Status.WARNING: 3,
    Status.CRITICAL: 4,
}


def worst(statuses: Iterable[Status]) -> Status:
    """Return the worst of the statuses; `ok` where there are none."""
    return max(statuses, key=lambda status: status.rank, default=Status.OK)


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """One thing to look at: a kind, the service it belongs to, and which one of several.

    `address` is the identity that joins it to other findings (host:port, unit, container, path);
    `paths` are the files and folders it lives on, which join it to a file system; `via` is the
    service whose proxy it is asked through, which can fail it as its own service can.
    """

    kind: str
    service: str
    name: str = ""
    address: str = ""
    paths: tuple[str, ...] = ()
    via: str = ""

    @property
    def id(self) -> str:
        """`service/kind` or `service/kind/name`: unique in a stack."""
        base = f"{self.service}/{self.kind}"
        return f"{base}/{self.name}" if self.name else base


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """Why a target, or one part of it, could not be read.

    `parent` names the kind whose failure is the reason (a container cannot be read while
    the docker daemon is down); the answer is then `blocked`, not `unknown`.
    """

    code: str  # timeout | permission | missing | refused | unsupported | crashed
    message: str
    hint: str = ""
    part: str = ""
    parent: str = ""


class Reading(msgspec.Struct, frozen=True, kw_only=True):
    """What one probe brought back: facts, or the problem that prevented them."""

    target: Target
    taken_at: Moment
    duration_seconds: float
    facts: Facts | None = None
    problem: Problem | None = None


class ServiceSummary(msgspec.Struct, frozen=True, kw_only=True):
    """What a replay must know of a service: who it leans on (`guessed`: perhaps), and what runs it."""

    depends_on: tuple[str, ...] = ()
    guessed: bool = False
    container: str = ""
    unit: str = ""


class StackSummary(msgspec.Struct, frozen=True, kw_only=True):
    """The part of the stack file that judging needs; it travels inside the snapshot."""

    name: str
    flow: str
    origin: str
    services: dict[str, ServiceSummary]
    thresholds: dict[str, dict[str, float | None]] = {}
    systemd: bool = True
    """Whether systemd runs the machine that was looked at."""


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """The facts of every target at one moment, and for the unread ones, why."""

    schema: int
    opsctl_version: str
    stack: StackSummary
    taken_at: Moment
    duration_seconds: float
    deadline_seconds: float
    readings: tuple[Reading, ...]


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """One measured value, its limit, and the command or query that shows it."""

    text: str
    value: float | int | str | None = None
    threshold: float | int | str | None = None
    unit: str = ""
    source: str = ""
    at: Moment | None = None


class Remediation(msgspec.Struct, frozen=True, kw_only=True):
    """What to do: words, and commands that are safe to paste. Destructive steps stay in `text`."""

    text: str
    commands: tuple[str, ...] = ()


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """What one check says of one target.

    `target` is the service people think in, `target_id` the exact target, `subject` what
    precisely is meant (a mount point, a database, a URL, a container name). `code` says which of
    several forms of the same slug it is (`502`, `name-unresolved`), where the check tells them apart.
    """

    id: str
    target: str
    target_id: str
    status: Status
    summary: str
    subject: str = ""
    code: str = ""
    evidence: tuple[Evidence, ...] = ()
    remediation: Remediation | None = None
    hint: str = ""
    parent: str = ""
    at: Moment | None = None

    @property
    def kind(self) -> str:
        """The first half of the slug."""
        return self.id.partition("/")[0]

    @property
    def key(self) -> tuple[str, str, str]:
        """Identity of the finding inside one snapshot."""
        return (self.id, self.target_id, self.subject)

    @property
    def verify(self) -> str:
        """The command that proves this finding gone."""
        return f"opsctl verify {self.id} --target {shlex.quote(self.target_id)}"

    @property
    def runbook(self) -> str:
        """Path of the runbook, inside the project and inside the wheel."""
        return f"runbooks/{self.id}.md"


class RootCause(msgspec.Struct, frozen=True, kw_only=True):
    """A failing finding that no other failing finding explains, with what it explains."""

    finding: Finding
    chain: tuple[Finding, ...]
    proven: bool = True

    @property
    def status(self) -> Status:
        """A cause is as severe as the worst that it explains."""
        return worst(item.status for item in (self.finding, *self.chain))


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """One hop of the walk through a documented tree."""

    flow: str
    step: str
    question: str
    answer: str
    because: tuple[str, ...] = ()
    action: str = ""
    depth: int = 0


class RuledOut(msgspec.Struct, frozen=True, kw_only=True):
    """A suspect that was looked at and found innocent, with the measured reason."""

    id: str
    target: str
    because: str


class Candidate(msgspec.Struct, frozen=True, kw_only=True):
    """A suspect that could not be looked at, why, and what would settle it."""

    id: str
    target: str
    because: str
    next_probe: str


class Coverage(msgspec.Struct, frozen=True, kw_only=True):
    """How much was seen: one count per (check, target), and what would raise it."""

    checks: int
    ran: int
    blocked: int
    unknown: int
    hints: tuple[str, ...] = ()


class Diagnosis(msgspec.Struct, frozen=True, kw_only=True):
    """The answer: root causes, the path walked, what was ruled out, and coverage."""

    stack: str
    taken_at: Moment
    duration_seconds: float
    status: Status
    root_causes: tuple[RootCause, ...]
    unproven: tuple[RootCause, ...]
    also: tuple[Finding, ...]
    candidates: tuple[Candidate, ...]
    path: tuple[Step, ...]
    findings: tuple[Finding, ...]
    ruled_out: tuple[RuledOut, ...]
    coverage: Coverage
    guessed: tuple[str, ...] = ()
    """Services of which it is only guessed on whom they lean: what that explains is probable, not proven."""

    def probable(self, cause: RootCause, effect: Finding) -> bool:
        """Return whether it is only probable that `cause` explains `effect`: by a guessed dependency."""
        return effect.target in self.guessed and effect.target != cause.finding.target
