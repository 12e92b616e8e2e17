"""`opsctl health`: every check of every service."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from opsctl.cli.completing import complete_service
from opsctl.cli.looking import finish, load_stack, take_snapshot, use_color
from opsctl.cli.options import LOOK_FORMATS, look_options

if TYPE_CHECKING:
    from opsctl.stack.stack import Stack


@click.command("health")
@click.argument("services", nargs=-1, metavar="[SERVICE]...", shell_complete=complete_service)
@look_options(*LOOK_FORMATS)
def command(
    services: tuple[str, ...],
    stack_name: str | None,
    timeout: float,
    output: str,
    fail_on: str,
    exit_zero: bool,
    no_color: bool,
    debug: bool,
) -> None:
    """Check services and list every finding, the worst last.

    Without SERVICE everything in the stack is checked; `host` is the machine itself.
    """
    from opsctl.diagnose import diagnose
    from opsctl.health import health
    from opsctl.judge import judge
    from opsctl.render import health as render

    stack = load_stack(stack_name)
    wanted = named_services(stack, services)
    snapshot = take_snapshot(
        stack, timeout, (lambda target: target.service in wanted) if wanted else None, debug
    )
    report = health(snapshot)
    if output == "junit":
        from opsctl.render.junit import findings_junit

        text = findings_junit(report.stack, judge(snapshot), report.duration_seconds)
    else:
        causes = [cause.finding.key for cause in diagnose(snapshot).root_causes] if output == "nagios" else []
        text = render.render(report, output, use_color(no_color), causes=causes)
    click.echo(text, nl=False)
    finish(report.status, fail_on, exit_zero, report.coverage.unknown)


def named_services(stack: Stack, services: tuple[str, ...]) -> frozenset[str]:
    """Return the services that were named.

    Raises:
        UserError: the stack has no service of that name; suggests the nearest.
    """
    import difflib

    from opsctl.errors import UserError
    from opsctl.model import HOST_SERVICE

    known = [HOST_SERVICE, *stack.spec.services]
    for name in services:
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            meant = f"did you mean {close[0]!r}?" if close else f"known: {', '.join(known)}"
            raise UserError(f"no service named {name!r} in {stack.name}; {meant}")
    return frozenset(services)
