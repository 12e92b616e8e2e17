"""`opsctl metrics`: the reference of every metric."""

from __future__ import annotations

import click

from opsctl.cli.options import DATA_FORMATS, show_options


@click.command("metrics")
@click.argument("pattern", required=False, metavar="[PATTERN]")
@show_options(*DATA_FORMATS)
def command(pattern: str | None, output: str, no_color: bool, debug: bool) -> None:
    """Show the reference of all metrics, or of some.

    PATTERN is a part of a name, of its help or of its fact (redis.used_memory); with * and ? it is
    the whole name or fact; /metrics/redis is a path. The full name shows that one.
    """
    from exporters.reference import entries, matching
    from exporters.reference_text import rendered
    from opsctl.cli.looking import use_color
    from opsctl.errors import UserError

    items = entries()
    chosen = [item for item in items if item.name == pattern] or matching(items, pattern or "*")
    if not chosen:
        import difflib

        close = difflib.get_close_matches(str(pattern), [item.name for item in items], n=1)
        meant = f" Did you mean {close[0]!r}?" if close else ""
        raise UserError(f"no metric matches {pattern!r}.{meant}")
    click.echo(rendered(chosen, output, use_color(no_color)), nl=False)
