"""`opsctl diff`: what changed between two snapshots."""

from __future__ import annotations

from pathlib import Path

import click

from opsctl.cli.looking import finish, use_color
from opsctl.cli.options import DATA_FORMATS, exit_options, show_options


@click.command("diff")
@click.argument("old", type=click.Path(path_type=Path))
@click.argument("new", type=click.Path(path_type=Path))
@exit_options
@show_options(*DATA_FORMATS)
def command(
    old: Path, new: Path, output: str, fail_on: str, exit_zero: bool, no_color: bool, debug: bool
) -> None:
    """Compare two snapshots: findings gone, new and changed, and facts that changed notably.

    Ends with other than 0 where a finding is new or worse; with `--fail-on unknown` also where a
    check of NEW could not look.
    """
    from opsctl.difference import compare
    from opsctl.render import difference as render
    from opsctl.snapshot import load

    result = compare(load(old), load(new))
    if result.old_stack != result.new_stack:
        click.echo(f"opsctl: two stacks are compared: {result.old_stack} and {result.new_stack}", err=True)
    click.echo(render.render(result, output, use_color(no_color)), nl=False)
    finish(result.status, fail_on, exit_zero, result.unseen)
