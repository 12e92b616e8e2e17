"""`opsctl runbook`: what to read at night, offline."""

from __future__ import annotations

import click

from opsctl.cli.completing import complete_page
from opsctl.cli.looking import use_color
from opsctl.cli.options import color_option, debug_option


@click.command("runbook")
@click.argument("name", required=False, metavar="[SLUG|FLOW]", shell_complete=complete_page)
@click.option("--raw", is_flag=True, help="The Markdown as it is, front matter included.")
@color_option
@debug_option
def command(name: str | None, raw: bool, no_color: bool, debug: bool) -> None:
    """Read a runbook or a decision tree, offline.

    Without a name: the list. A FLOW is drawn as the tree that `opsctl diagnose` walks.
    """
    from opsctl import runbooks
    from opsctl.render import runbook as render

    color = use_color(no_color)
    if name is None:
        text = render.listing(
            {flow: runbooks.load_flow(flow) for flow in runbooks.flow_names()},
            runbooks.all_runbooks(),
            color,
        )
    elif raw:
        text = runbooks.page(name)
    else:
        body = runbooks.split(runbooks.page(name), name)[1]
        text = render.flow(runbooks.load_flow(name), body, color) if "/" not in name else ""
        text = text or render.page(runbooks.all_runbooks()[name], body, color)
    click.echo(text, nl=False)
