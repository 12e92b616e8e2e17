"""Static pages: is every page in the build, is it served, and is the build as new as it should be?"""

from __future__ import annotations

from shlex import quote
from typing import TYPE_CHECKING

from opsctl.checks.base import CheckContext, Limits, check
from opsctl.checks.wording import count_text, seconds_text
from opsctl.model import Evidence, Status

if TYPE_CHECKING:
    from collections.abc import Iterator

    from opsctl.facts.static import Page, StaticFacts
    from opsctl.model import Finding

SOURCE_SECONDS = 600.0
"""How long after a change of its sources a build may take to arrive."""
SERVED_SECONDS = 60.0
"""How long after a change of a file a web server may still hold the old one open (open_file_cache)."""
_NOT_SERVED = (403, 404, 410)
MAX_NAMED = 5


@check(
    "static/page-missing",
    needs="the files below the build's root; with `url`, HEAD of each page",
    reachability=True,
)
def page_missing(facts: StaticFacts, context: CheckContext) -> Iterator[Finding]:
    """A page that the build must hold is not in it, or is not served."""
    if not facts.up:
        named = f": {count_text(len(facts.pages), 'page')} missing" if facts.pages else ""
        yield context.critical(
            f"there is no build, {facts.reason}{named}",
            value=facts.reason,
            source=f"ls -ld {quote(facts.root)}",
            fix=_FIX,
            commands=[f"ls -ld {quote(facts.root)}", f"df -h {quote(facts.root)}"],
        )
        return
    missing = [page for page in facts.pages if page.exists is False]
    short = [item for item in facts.counts if item.found is not None and item.found < item.wanted]
    unserved = [page for page in facts.pages if page.exists and page.served_status in _NOT_SERVED]
    if missing:
        yield _several(missing, facts, context)
    for item in short:
        without = f"; {item.without_index[0]} has no index.html" if item.without_index else ""
        yield context.critical(
            f"the build holds {item.found} of at least {item.wanted} pages {item.pattern}{without}",
            subject=item.pattern,
            value=item.found,
            threshold=item.wanted,
            unit="pages",
            source=f"cd {quote(facts.root)} && ls -d {item.pattern.strip('/')} | wc -l",
            fix=_FIX,
            commands=[f"ls -lt {quote(facts.root)} | head"],
        )
    if unserved:
        yield _not_served(unserved, facts, context)
    if not (missing or short or unserved):
        held = sum(item.found or 0 for item in facts.counts)
        counted = f", and {held} counted by pattern" if facts.counts else ""
        problem = facts.problem("served")
        unseen = f"; what is served of them was not seen ({problem.message})" if problem else ""
        yield context.ok(f"{count_text(len(facts.pages), 'named page')} in the build{counted}{unseen}")


_FIX = (
    "Build again and deploy the whole folder, or put the previous build back; then find out why the last one "
    "was cut short (its log, a full disk, a deploy that was broken off)."
)


def _names(pages: list[Page]) -> str:
    more = f" and {len(pages) - MAX_NAMED} more" if len(pages) > MAX_NAMED else ""
    return ", ".join(page.page for page in pages[:MAX_NAMED]) + more


def _several(missing: list[Page], facts: StaticFacts, context: CheckContext) -> Finding:
    verb = "is" if len(missing) == 1 else "are"
    return context.critical(
        f"{_names(missing)} {verb} not in the build: {missing[0].reason}",
        subject=missing[0].page if len(missing) == 1 else f"{len(missing)} pages",
        value=len(missing),
        threshold=1,
        unit="pages",
        source=f"ls -l {quote(missing[0].file)}",
        evidence=[
            Evidence(text=page.reason, source=f"ls -l {quote(page.file)}") for page in missing[1:MAX_NAMED]
        ],
        fix=_FIX,
        commands=[f"ls -l {quote(missing[0].file)}", f"ls -lt {quote(facts.root)} | head"],
    )


def _not_served(pages: list[Page], facts: StaticFacts, context: CheckContext) -> Finding:
    first = pages[0]
    url = f"{facts.url}/{first.page.lstrip('/')}"
    return context.critical(
        f"{_names(pages)}: in the build, but answered with {first.served_status}",
        subject="served",
        value=first.served_status,
        source=f"curl -sSI -m 5 {quote(url)}",
        evidence=[Evidence(text=f"{first.file} is there", source=f"ls -l {quote(first.file)}")],
        fix="The web server looks elsewhere or may not read it: compare its root with the build's folder, "
        "and look at the rights of every folder above.",
        commands=[f"curl -sSI -m 5 {quote(url)}", f"namei -l {quote(first.file)}"],
    )


@check(
    "static/build-stale",
    needs="the newest file below the build's root and below its sources; with `url`, Last-Modified",
    limits=Limits(warning=1, unit="times the age that is allowed", source="max_age of the stack file"),
)
def build_stale(facts: StaticFacts, context: CheckContext) -> Iterator[Finding]:
    """The pages that are served are older than what they are made from, or than is allowed."""
    now = context.at.timestamp()
    found = [
        *_too_old(facts, context, now),
        *_behind_sources(facts, context, now),
        *_old_served(facts, context, now),
    ]
    yield from found
    if found:
        return
    if facts.max_age is None and facts.source_file == "" and facts.problem("sources") is None:
        served = " beyond what is served" if facts.url else ""
        yield context.ok(f"no age is asked of the build{served}")
        return
    context.need_part(facts, "build", "sources")
    built = context.need(facts.built_at, "the age of the build")
    yield context.ok(f"built {seconds_text(max(now - built, 0))} ago")


def _too_old(facts: StaticFacts, context: CheckContext, now: float) -> Iterator[Finding]:
    if facts.max_age is None or facts.built_at is None or facts.problem("build") is not None:
        return
    age = now - facts.built_at
    status = context.limits.status(age / facts.max_age)
    if status is not Status.OK:
        yield context.finding(
            status,
            f"the build is {seconds_text(age)} old, {seconds_text(facts.max_age)} are allowed",
            subject="age",
            value=round(age),
            threshold=round(facts.max_age * (context.limits.limit_for(status) or 1)),
            unit="seconds",
            source=_NEWEST.format(root=quote(facts.root)),
            fix="Build again; then see why the regular build did not come (its timer, cron, log).",
            commands=[
                f"ls -l --time-style=full-iso {quote(facts.built_file)}",
                "systemctl list-timers --all",
            ],
        )


_NEWEST = "find {root} -type f -printf '%T@ %p\\n' | sort -n | tail -n 1"


def _behind_sources(facts: StaticFacts, context: CheckContext, now: float) -> Iterator[Finding]:
    changed, built = facts.source_changed_at, facts.built_at
    if changed is None or built is None or facts.problem("build") is not None:
        return
    if changed > built and now - changed >= SOURCE_SECONDS:
        yield context.warning(
            f"{facts.source_file} changed {seconds_text(now - changed)} ago, the build is "
            f"{seconds_text(changed - built)} older",
            subject="sources",
            value=round(now - changed),
            threshold=SOURCE_SECONDS,
            unit="seconds",
            source=f"ls -l --time-style=full-iso {quote(facts.source_file)} {quote(facts.built_file)}",
            fix="Build and deploy what was changed; then see why that did not happen by itself.",
            commands=[f"ls -l --time-style=full-iso {quote(facts.source_file)} {quote(facts.built_file)}"],
        )


def _old_served(facts: StaticFacts, context: CheckContext, now: float) -> Iterator[Finding]:
    for page in facts.pages:
        if page.changed_at is None or page.served_changed_at is None or page.served_status != 200:
            continue
        behind = int(page.changed_at) - page.served_changed_at
        if behind > 1 and now - page.changed_at >= SERVED_SECONDS:
            url = f"{facts.url}/{page.page.lstrip('/')}"
            yield context.warning(
                f"{page.page} is served as of {seconds_text(behind)} before its file in the build",
                subject="served",
                value=round(behind),
                unit="seconds",
                source=f"curl -sSI -m 5 {quote(url)} | grep -i last-modified; ls -l --time-style=full-iso "
                f"{quote(page.file)}",
                fix="The web server has another root, or a cache stands before it: compare the two and empty "
                "the cache.",
                commands=[
                    f"curl -sSI -m 5 {quote(url)}",
                    "nginx -T 2>/dev/null | grep -nE 'root|proxy_cache'",
                ],
            )
            return
