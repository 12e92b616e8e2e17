"""`opsctl snapshot`: the facts of this moment, to replay later."""

from __future__ import annotations

import click

from opsctl.cli.looking import load_stack, take_snapshot
from opsctl.cli.options import debug_option, stack_option, timeout_option


@click.command("snapshot")
@click.option(
    "-o",
    "--output",
    "destination",
    metavar="FILE",
    help="Where to write it; - for stdout. Default: opsctl-STACK-TIME.json in this folder.",
)
@stack_option
@timeout_option
@debug_option
def command(destination: str | None, stack_name: str | None, timeout: float, debug: bool) -> None:
    """Save the facts of this moment to a file.

    The file holds what was seen and why the rest was not, without secrets. `opsctl diagnose
    --from FILE` judges it on any machine; `opsctl diff OLD NEW` compares two.
    """
    from pathlib import Path

    from opsctl.snapshot import save, to_json

    if destination == "":
        from opsctl.errors import UserError

        raise UserError("the name of the file to write is empty; leave -o out, or name a file")
    stack = load_stack(stack_name)
    snapshot = take_snapshot(stack, timeout, debug=debug)
    if destination == "-":
        click.echo(to_json(snapshot))
        return
    path = Path(destination or f"opsctl-{snapshot.stack.name}-{snapshot.taken_at:%Y%m%dT%H%M%SZ}.json")
    save(snapshot, path)
    unread = sum(1 for reading in snapshot.readings if reading.facts is None)
    seen = f"{len(snapshot.readings) - unread} of {len(snapshot.readings)} targets read"
    click.echo(f"wrote {path} ({seen}); judge it with: opsctl diagnose --from {path}", err=True)
