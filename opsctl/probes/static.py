"""Looks at a build of static pages: its files, their age, and what is served of them."""

from __future__ import annotations

import time
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import msgspec

from opsctl.facts.base import FactProblem
from opsctl.facts.static import Page, StaticFacts
from opsctl.probes import static_files
from opsctl.probes.base import ProbeError
from opsctl.probes.http_exchange import Route, exchange
from opsctl.stack.specs import StaticSpec

if TYPE_CHECKING:
    from pathlib import Path

    from opsctl.probes.base import ProbeContext

MAX_PAGES = 1000
MAX_ASKED = 30
_FEWEST_SECONDS = 0.1


def probe(context: ProbeContext) -> StaticFacts:
    """Return the facts of one build; `up` is False where its folder is not there.

    Raises:
        ProbeError: the folder may not be looked into.
    """
    spec = context.spec
    assert isinstance(spec, StaticSpec)
    root = context.stack.path(spec.root)
    base: dict[str, Any] = {
        "root": str(root)[:300],
        "url": spec.url.rstrip("/"),
        "max_age": static_files.age_seconds(spec.max_age),
    }
    reason = _why_not(root)
    if reason:
        wanted = [Page(page=page, exists=False) for page in _plain(spec)]
        return StaticFacts(up=False, reason=reason, pages=wanted, **base)
    try:
        pages = [static_files.look_at(root, page) for page in _plain(spec)]
        counts = [static_files.count(root, pattern, least) for pattern, least in _patterns(spec).items()]
    except PermissionError as error:
        raise _forbidden(error.filename or root) from None
    problems: list[FactProblem] = []
    if spec.url:
        pages = _as_served(context, spec, pages, problems)
    return StaticFacts(
        pages=pages, counts=counts, **_ages(context, spec, root, problems), problems=problems, **base
    )


def _plain(spec: StaticSpec) -> list[str]:
    return [page for page in spec.pages if not static_files.is_pattern(page)][:MAX_PAGES]


def _patterns(spec: StaticSpec) -> dict[str, int]:
    found = dict.fromkeys((page for page in spec.pages if static_files.is_pattern(page)), 1)
    return found | spec.at_least


def _forbidden(path: object) -> ProbeError:
    return ProbeError(
        "permission", f"no permission to read {path}", "run as root or as the web server's user"
    )


def _why_not(root: Path) -> str:
    """Return why there is no build, empty where there is one.

    Raises:
        ProbeError: it may not be looked at.
    """
    try:
        if not root.is_dir():
            return f"{root} is not a folder" if root.exists() else f"{root}: no such folder"
        if not any(root.iterdir()):
            return f"{root} is empty"
    except PermissionError:
        raise _forbidden(root) from None
    except OSError as error:
        return f"{root}: {error.strerror or error}"
    return ""


def _ages(context: ProbeContext, spec: StaticSpec, root: Path, problems: list[FactProblem]) -> dict[str, Any]:
    """Return when the build and what it is made from changed last."""
    if not (spec.max_age or spec.sources):
        return {}
    build = static_files.newest([root], time.monotonic() + context.left * 0.4)
    values: dict[str, Any] = {"built_at": build.changed_at, "built_file": build.file}
    if not build.complete:
        problems.append(_cut("build", root))
    if spec.sources:
        places = [context.stack.path(source) for source in spec.sources]
        sources = static_files.newest(places, time.monotonic() + context.left * 0.6)
        values |= {"source_changed_at": sources.changed_at, "source_file": sources.file}
        if not sources.complete:
            problems.append(_cut("sources", places[0]))
        elif sources.changed_at is None:
            words = f"nothing is found at {', '.join(map(str, places))}"
            problems.append(FactProblem(part="sources", code="missing", message=words[:300]))
    return values


def _cut(part: str, place: Path) -> FactProblem:
    return FactProblem(
        part=part,
        code="unsupported",
        message=f"not every file below {place} could be looked at"[:300],
        hint="name fewer folders, or run as a user who may read them",
    )


def _as_served(
    context: ProbeContext, spec: StaticSpec, pages: list[Page], problems: list[FactProblem]
) -> list[Page]:
    """Return the pages with the status and the age with which they are served."""
    ca_file = context.stack.path(spec.ca_file) if spec.ca_file else None
    route = Route(connect=spec.connect, ca_file=ca_file, verify=spec.verify)
    result = list(pages)
    for index, page in enumerate(pages[:MAX_ASKED]):
        if context.left < _FEWEST_SECONDS:
            problems.append(
                FactProblem(part="served", code="timeout", message="not every page was asked for")
            )
            break
        path = quote(page.page if page.page.startswith("/") else f"/{page.page}", safe="/?=&%~:@!$'()*+,;")
        done = exchange(spec.url.rstrip("/") + path, route, context.left * 0.5, method="HEAD")
        if done.connection.state != "ok":
            words = f"{spec.url}: {done.connection.detail or done.connection.state}"
            problems.append(FactProblem(part="served", code="refused", message=words[:300]))
            break
        result[index] = msgspec.structs.replace(
            page,
            served_status=done.status,
            served_changed_at=http_time(done.headers.get("last-modified", "")),
        )
    return result


def http_time(text: str) -> float | None:
    """Return the unix seconds of an HTTP date, None where it is none. Pure."""
    try:
        return parsedate_to_datetime(text).timestamp()
    except (ValueError, TypeError, OverflowError, IndexError):
        return None
