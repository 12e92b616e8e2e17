"""`opsctl diagnose`: name the root cause."""

from __future__ import annotations

from pathlib import Path

import click

from opsctl.cli.looking import finish, load_stack, origin_argument, stack_argument, take_snapshot, use_color
from opsctl.cli.options import LOOK_FORMATS, look_options


@click.command("diagnose")
@look_options(*LOOK_FORMATS)
@click.option(
    "--from",
    "source",
    type=click.Path(path_type=Path, allow_dash=True),
    metavar="FILE",
    help="Judge a saved snapshot instead of this machine; - reads stdin.",
)
def command(
    stack_name: str | None,
    timeout: float,
    output: str,
    fail_on: str,
    exit_zero: bool,
    no_color: bool,
    debug: bool,
    source: Path | None,
) -> None:
    """Name the root cause of what is broken.

    Looks at everything in the stack at once, walks the documented decision tree, and shows the
    cause with its evidence, the fix, and the command that proves the fix.
    """
    from opsctl.diagnose import diagnose
    from opsctl.render import diagnosis as render

    if source is not None:
        from opsctl.errors import UserError
        from opsctl.snapshot import load, load_from_stdin

        if stack_name:
            raise UserError(
                "--stack and --from do not go together: a snapshot holds its stack; leave one out"
            )

        snapshot = load_from_stdin() if str(source) == "-" else load(source)
        argument = origin_argument(snapshot.stack.origin)
    else:
        snapshot = take_snapshot(load_stack(stack_name), timeout, debug=debug)
        argument = stack_argument(stack_name)
    result = diagnose(snapshot)
    text = render.render(result, output, use_color(no_color), stack_argument=argument)
    click.echo(text, nl=False)
    finish(result.status, fail_on, exit_zero, result.coverage.unknown)
