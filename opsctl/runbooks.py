"""Runbooks: Markdown with front matter. What `diagnose` walks is what the reader reads.

Two forms: `runbooks/KIND/NAME.md` belongs to one check and says what it explains;
`runbooks/flows/NAME.md` is a decision tree.
"""

from __future__ import annotations

import datetime
import functools
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec
import yaml

from opsctl.errors import UserError
from opsctl.resources import shipped

if TYPE_CHECKING:
    from pathlib import Path

T = TypeVar("T")


class Explains(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Slug patterns that a finding can be the reason of, by how the two targets hang together.

    `service`: in the same service. `dependents`: in services that lean on it.
    `dependencies`: in services that it leans on. `filesystem`: of targets whose files lie on
    the finding's file system. `host`: anywhere on this machine.
    """

    service: list[str] = []
    dependents: list[str] = []
    dependencies: list[str] = []
    filesystem: list[str] = []
    host: list[str] = []


class Runbook(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Front matter of a check's runbook.

    A finding explains nothing that is more severe than itself, unless `even_as_warning`.
    """

    slug: str
    severity: str
    flow: str
    explains: Explains = Explains()
    even_as_warning: bool = False
    last_drilled: datetime.date | None = None


class Answer(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One branch of a step. It holds where a failing finding matches `when`.

    A pattern is `SLUG` or `SLUG@TARGET-ID`, both with shell wildcards. An answer without `when`
    is the one for "nothing of this". `then` names the next step, `flow` a deeper tree.
    """

    answer: str
    when: list[str] = []
    then: str = ""
    flow: str = ""
    action: str = ""


class FlowStep(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One question of a tree; `next` is the step that follows whatever the answers were."""

    question: str
    answers: list[Answer]
    next: str = ""


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
