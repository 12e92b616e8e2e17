"""`opsctl verify`: ask again just what proves one finding gone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from opsctl.cli.completing import complete_slug, complete_target
from opsctl.cli.looking import finish, load_stack, take_snapshot, use_color
from opsctl.cli.options import LOOK_FORMATS, look_options

if TYPE_CHECKING:
    from opsctl.model import Target
    from opsctl.stack.stack import Stack


@click.command("verify")
@click.argument("slug", shell_complete=complete_slug)
@click.option(
    "--target",
    "which",
    metavar="TARGET",
    shell_complete=complete_target,
    help="Only this service or target id (as `opsctl stack show` lists them).",
)
@look_options(*LOOK_FORMATS)
def command(
    slug: str,
    which: str | None,
    stack_name: str | None,
    timeout: float,
    output: str,
    fail_on: str,
    exit_zero: bool,
    no_color: bool,
    debug: bool,
) -> None:
    """Prove that one finding is gone.

    Looks only at the targets that the check SLUG is about, and ends with 0 when none of them
    shows the finding any more.
    """
    from opsctl import without_systemd
    from opsctl.checks import find_check
    from opsctl.diagnose import coverage
    from opsctl.judge import judge
    from opsctl.model import worst
    from opsctl.render import verdict as render

    check = find_check(slug)
    stack = load_stack(stack_name)
    chosen = matching(stack, check.kind, which)
    snapshot = take_snapshot(stack, timeout, lambda target: target.id in chosen, debug)
    findings = without_systemd.findings(snapshot.stack, judge(snapshot, [check.slug]))
    verdict = render.Verdict(
        slug=check.slug,
        stack=stack.name,
        taken_at=snapshot.taken_at,
        duration_seconds=snapshot.duration_seconds,
        status=worst(finding.status for finding in findings),
        findings=tuple(sorted(findings, key=lambda finding: finding.status.rank)),
    )
    click.echo(render.render(verdict, output, use_color(no_color)), nl=False)
    seen = coverage(findings)
    finish(verdict.status, fail_on, exit_zero, seen.unknown + seen.blocked)


def matching(stack: Stack, kind: str, which: str | None) -> frozenset[str]:
    """Return the ids of the stack's targets of a kind, only those of `which` where it is given.

    Raises:
        UserError: there is none; lists what there is.
    """
    from opsctl.errors import UserError
    from opsctl.secrets import redactor_of
    from opsctl.stack.targets import assignments

    of_kind: list[Target] = [item.target for item in assignments(stack) if item.target.kind == kind]
    if not of_kind:
        raise UserError(f"{stack.name} has nothing of kind {kind!r} to look at; `opsctl stack show` lists it")
    shown = redactor_of(stack).text  # ids may hold secrets of a URL; people see and paste them redacted
    chosen = [target for target in of_kind if which in (None, target.id, target.service, shown(target.id))]
    if not chosen and which is not None:
        chosen = [target for target in of_kind if _is_redacted(target.id, which)]
    if not chosen:
        known = ", ".join(shown(target.id) for target in of_kind)
        raise UserError(f"no {kind} target {which!r} in {stack.name}; known: {known}")
    return frozenset(target.id for target in chosen)


def _is_redacted(name: str, shown: str) -> bool:
    """Return whether an id may have been shown like this by a look that knew more secrets than its files."""
    import re

    from opsctl.redact_statements import MASK

    return MASK in shown and bool(re.fullmatch(".+".join(map(re.escape, shown.split(MASK))), name))
