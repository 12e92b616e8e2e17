"""Runbooks: Markdown with front matter. What `diagnose` walks is what the reader reads.

Two forms: `runbooks/KIND/NAME.md` belongs to one check and says what it explains;
`runbooks/flows/NAME.md` is a decision tree.
"""

from __future__ import annotations

import datetime
import functools
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec
import yaml

from opsctl.errors import UserError
from opsctl.resources import shipped

if TYPE_CHECKING:
    from pathlib import Path

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Effect:
    """One entry of `explains`: `SLUG`, `SLUG=CODE`, `SLUG beside SLUG`.

    `code` restricts it to one form of the finding (`http/status=5??`, `postgres/down=name-unresolved`);
    the code `same` means the class of the explaining finding's own (a 5xx behind a 5xx). `beside` asks
    for a second witness: a failing finding of that slug in the service of the effect, without which
    the two may just as well be two faults. All three are shell patterns.
    """

    slug: str
    code: str = ""
    beside: str = ""

    def names(self, slug: str) -> bool:
        """Return whether findings of a slug are meant."""
        return fnmatchcase(slug, self.slug)

    def fits(self, code: str, own: str) -> bool:
        """Return whether an effect with this code is meant, where the cause's is `own`."""
        if self.code == "same":
            return code_class(code) == code_class(own)
        return not self.code or fnmatchcase(code, self.code)


@functools.cache
def effect(text: str) -> Effect:
    """Return an entry of `explains` in its parts."""
    head, _, beside = text.partition(" beside ")
    slug, _, code = head.strip().partition("=")
    return Effect(slug, code, beside.strip())


def code_class(code: str) -> str:
    """Return what codes of one kind share: `5xx` for 502; another code is a class of its own."""
    return f"{code[0]}xx" if len(code) == 3 and code.isdecimal() else code


class Explains(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a finding can be the reason of (`Effect`), by how the two targets hang together.

    `service`: in the same service, and of URLs asked through its proxy. `dependents`: in services
    that lean on it. `dependencies`: in services that it leans on. `proxied`: of URLs that are asked
    through its proxy, whosever they are. `filesystem`: of targets whose files lie on the finding's
    file system. `address`: of targets at the same host and port, or asked by the same name there.
    `containers`: of services that run in containers, and of those without a process of their own that
    lean on one. `leaning_on_containers`: of services outside that lean on one. `host`: anywhere on
    this machine.
    """

    service: list[str] = []
    dependents: list[str] = []
    dependencies: list[str] = []
    proxied: list[str] = []
    filesystem: list[str] = []
    address: list[str] = []
    containers: list[str] = []
    leaning_on_containers: list[str] = []
    host: list[str] = []


class Runbook(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Front matter of a check's runbook.

    A finding explains nothing that is more severe than itself, unless `even_as_warning`: all that it
    explains, or the entries (`Effect`) that are listed there.
    """

    slug: str
    severity: str
    flow: str
    explains: Explains = Explains()
    even_as_warning: bool | list[str] = False
    last_drilled: datetime.date | None = None


class Answer(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One branch of a step. It holds where a failing finding matches `when`.

    A pattern is `SLUG` or `SLUG@TARGET-ID`, both with shell wildcards, and may say more of the target:
    `SLUG@TARGET-ID proxied` (asked through an nginx of the stack), `direct` (not so), or `beside KIND`
    (its service has a target of that kind too). An answer without `when` is the one for "nothing of
    this". `then` names the next step, `flow` a deeper tree.
    """

    answer: str
    when: list[str] = []
    then: str = ""
    flow: str = ""
    action: str = ""


class FlowStep(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One question of a tree; `next` is the step that follows whatever the answers were.

    `subject`: patterns of what the question is about, where answers name other findings too; the step
    is left out where the stack has no such target, and only such a finding can give the good answer.
    `rest`: the question is about failing findings that no step before has named; each goes to the first
    answer that fits.
    """

    question: str
    answers: list[Answer]
    next: str = ""
    subject: list[str] = []
    rest: bool = False


class Flow(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Front matter of a decision tree."""

    flow: str
    title: str
    start: str
    steps: dict[str, FlowStep]
    source: str = ""


def split(text: str, origin: str) -> tuple[Any, str]:
    """Return the front matter as plain values and the Markdown after it.

    Raises:
        UserError: no front matter, or it is not YAML.
    """
    if not text.startswith("---\n"):
        raise UserError(f"{origin}: no front matter; the file begins with a line '---'")
    head, separator, body = text[4:].partition("\n---\n")
    if not separator:
        raise UserError(f"{origin}: the front matter does not end; put a line '---' after it")
    try:
        return yaml.load(head, Loader=yaml.CSafeLoader), body
    except yaml.YAMLError as error:
        raise UserError(f"{origin}: the front matter is not YAML: {error}") from None


def _front(path: Path, form: type[T]) -> T:
    value, _ = split(path.read_text("utf-8"), str(path))
    try:
        return msgspec.convert(value, form)
    except msgspec.ValidationError as error:
        raise UserError(f"{path}: {error}") from None


@functools.cache
def all_runbooks() -> dict[str, Runbook]:
    """Return the front matter of every check's runbook, by slug."""
    result: dict[str, Runbook] = {}
    for path in sorted(shipped("runbooks").glob("*/*.md")):
        if path.parent.name != "flows":
            result[f"{path.parent.name}/{path.stem}"] = _front(path, Runbook)
    return result


def flow_names() -> list[str]:
    """Return the names of the decision trees."""
    return sorted(path.stem for path in shipped("runbooks").glob("flows/*.md"))


@functools.cache
def load_flow(name: str) -> Flow:
    """Return a decision tree.

    Raises:
        UserError: there is none of that name, or it is broken.
    """
    path = shipped("runbooks") / "flows" / f"{name}.md"
    if name not in flow_names():
        raise UserError(f"no flow named {name!r}; known: {', '.join(flow_names())}")
    return _front(path, Flow)


def page(name: str) -> str:
    """Return the whole text of a runbook (`kind/name`) or flow (`name`).

    Raises:
        UserError: there is none; suggests the nearest.
    """
    import difflib

    names = [*all_runbooks(), *flow_names()]
    if name not in names:
        close = difflib.get_close_matches(name, names, n=1) or [
            each for each in names if each.endswith(f"/{name}")
        ]
        meant = f"did you mean {close[0]!r}?" if close else "`opsctl runbook` lists them"
        raise UserError(f"no runbook named {name!r}; {meant}")
    path = f"{name}.md" if "/" in name else f"flows/{name}.md"
    return (shipped("runbooks") / path).read_text("utf-8")
