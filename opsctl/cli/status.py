"""`opsctl status`: what runs, in one table."""

from __future__ import annotations

import click

from opsctl.cli.completing import complete_service
from opsctl.cli.looking import finish, load_stack, take_snapshot, use_color
from opsctl.cli.options import DATA_FORMATS, look_options


@click.command("status")
@click.argument("services", nargs=-1, metavar="[SERVICE]...", shell_complete=complete_service)
@look_options(*DATA_FORMATS)
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
    """Show containers and units in one table.

    State, health, since when, restarts, memory, and the image or unit file it runs from.
    """
    from opsctl import status as states
    from opsctl.cli.health import named_services
    from opsctl.diagnose import overall
    from opsctl.judge import judge
    from opsctl.model import Status
    from opsctl.render import status as render

    stack = load_stack(stack_name)
    wanted = named_services(stack, services)
    snapshot = take_snapshot(
        stack,
        timeout,
        lambda target: target.kind in states.KINDS and (not wanted or target.service in wanted),
        debug,
    )
    rows = states.rows(snapshot)
    status = overall(judge(snapshot)) if rows else Status.OK
    click.echo(render.render(snapshot, rows, status, output, use_color(no_color)), nl=False)
    finish(status, fail_on, exit_zero, sum(1 for row in rows if row.state == "unknown"))
