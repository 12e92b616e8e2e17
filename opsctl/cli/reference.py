"""The reference of the command line, made from the commands themselves: `python -m opsctl.cli.reference`."""

from __future__ import annotations

import click

from opsctl.cli.main import COMMANDS, cli

_HEAD = """# Commands

<!-- made from the commands by `python -m opsctl.cli.reference`; do not edit -->

Results go to stdout, messages and progress to stderr. Exit codes are those of Nagios plugins:

| code | meaning |
| --- | --- |
| 0 | ok |
| 1 | a warning |
| 2 | something critical |
| 3 | unknown: something could not be looked at, or the arguments or files are unusable |
| 130 | stopped by Ctrl-C |

`--fail-on critical` ends with 0 for all but critical findings, `--fail-on unknown` also counts single
checks that could not look, `--exit-zero` always ends with 0. `NO_COLOR`, `TERM=dumb` and
`--no-color` switch colours off; without a terminal there are none.
"""


def commands_text() -> str:
    """Return the text of docs/commands.md."""
    parts = [_HEAD.rstrip()]
    context = click.Context(cli, info_name="opsctl")
    for name in COMMANDS:
        command = cli.get_command(context, name)
        assert command is not None, name
        parts += _described(command, name, context)
    return "\n\n".join(parts) + "\n"


def _described(command: click.Command, name: str, parent: click.Context) -> list[str]:
    context = click.Context(command, info_name=name, parent=parent, max_content_width=100, terminal_width=100)
    path = context.command_path
    parts = [f"## {path}", f"```text\n{command.get_help(context)}\n```"]
    if isinstance(command, click.Group):
        for child in command.list_commands(context):
            inner = command.get_command(context, child)
            assert inner is not None, child
            parts += _described(inner, child, context)
    return parts


if __name__ == "__main__":
    click.echo(commands_text(), nl=False)
