"""`opsctl checks`: the catalogue."""

from __future__ import annotations

import click

from opsctl.cli.completing import complete_slug
from opsctl.cli.looking import use_color
from opsctl.cli.options import DATA_FORMATS, show_options


@click.command("checks")
@click.argument("name", required=False, metavar="[SLUG|KIND]", shell_complete=complete_slug)
@show_options(*DATA_FORMATS)
def command(name: str | None, output: str, no_color: bool, debug: bool) -> None:
    """Show the catalogue of checks, or one of them.

    With a SLUG: what the check needs, its permission and limits, its role, what it explains and
    what explains it. With a KIND: the checks of that kind.
    """
    from opsctl.catalogue import entries, entry
    from opsctl.kinds import KINDS
    from opsctl.render import catalogue as render

    if name and name not in KINDS:
        text = render.entry(entry(name), output, use_color(no_color))
    else:
        chosen = [item for item in entries() if not name or item.kind == name]
        text = render.table(chosen, output, use_color(no_color))
    click.echo(text, nl=False)
