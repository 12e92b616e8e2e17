"""`opsctl stack`: list, show, validate and write stack files."""

from __future__ import annotations

from pathlib import Path

import click

from opsctl.cli.completing import complete_stack
from opsctl.cli.looking import use_color
from opsctl.cli.options import DATA_FORMATS, debug_option, show_options, stack_option


@click.group("stack", context_settings={"help_option_names": ["-h", "--help"]})
def command() -> None:
    """List, show, validate or write stack files."""


@command.command("list")
@show_options(*DATA_FORMATS)
def list_command(output: str, no_color: bool, debug: bool) -> None:
    """List the stack files that can be named, and which one is in force."""
    from opsctl.render import stack as render
    from opsctl.stack import reader

    click.echo(render.listing(reader.known(), output, use_color(no_color)), nl=False)


@command.command("show")
@click.argument("name", required=False, metavar="[FILE|NAME]", shell_complete=complete_stack)
@stack_option
@show_options(*DATA_FORMATS)
def show_command(name: str | None, stack_name: str | None, output: str, no_color: bool, debug: bool) -> None:
    """Show what will be looked at: every target of a stack, with its id."""
    from opsctl.cli.looking import load_stack
    from opsctl.render import stack as render
    from opsctl.secrets import redactor_of

    _not_twice(name, stack_name)
    stack = load_stack(name or stack_name)
    text = render.shown(stack, output, use_color(no_color))
    click.echo(redactor_of(stack).text(text), nl=False)  # a URL may hold a token


def _not_twice(named: object, stack_name: str | None) -> None:
    """Make sure that a stack is named in one way only.

    Raises:
        UserError: it is named as an argument and with --stack.
    """
    from opsctl.errors import UserError

    if named and stack_name:
        raise UserError("--stack and a FILE or NAME do not go together: both name a stack; leave one out")


@command.command("validate")
@click.argument("names", nargs=-1, metavar="[FILE|NAME]...", shell_complete=complete_stack)
@stack_option
@debug_option
def validate_command(names: tuple[str, ...], stack_name: str | None, debug: bool) -> None:
    """Check stack files: every error at once, each with file and line."""
    from opsctl.cli.failure import ExitCode
    from opsctl.errors import UserError
    from opsctl.stack import reader
    from opsctl.stack.targets import assignments

    _not_twice(names, stack_name)
    bad = 0
    for name in names or (stack_name,):
        try:
            path = reader.find(name)
            if path is None:
                raise UserError("no stack file found; name one, or write one with `opsctl stack init`")
            stack = reader.load(path)
        except UserError as error:
            click.echo(str(error), err=True)
            bad += 1
            continue
        targets, services = len(assignments(stack)), len(stack.spec.services)
        click.echo(f"{path}: ok, stack {stack.name}: {services} services, {targets} targets")
    if bad:
        raise click.exceptions.Exit(int(ExitCode.UNKNOWN))


@command.command("init")
@click.option(
    "-o",
    "--output",
    "destination",
    default="opsctl.yml",
    show_default=True,
    metavar="FILE",
    help="Where to write it; - for stdout.",
)
@click.option("--force", is_flag=True, help="Replace the file if it is there.")
@debug_option
def init_command(destination: str, force: bool, debug: bool) -> None:
    """Write a stack file for what runs on this machine, with comments.

    Nothing is overwritten without --force.
    """
    from opsctl.discovery import discover
    from opsctl.discovery.writing import stack_file_text
    from opsctl.errors import UserError
    from opsctl.files import write_whole

    path = Path(destination)
    if destination != "-" and path.exists() and not force:
        raise UserError(f"{path} is there already; look at it, or replace it with --force")
    stack = discover()
    text = stack_file_text(stack)
    if destination == "-":
        click.echo(text, nl=False)
        return
    write_whole(path, text.encode(), "stack file", private=False, replace=force)
    count = len(stack.spec.services)
    click.echo(f"wrote {path} ({count} services); edit it, then: opsctl stack validate {path}", err=True)


@command.command("schema")
@click.option("--markdown", is_flag=True, help="The reference page instead of the JSON Schema.")
@debug_option
def schema_command(markdown: bool, debug: bool) -> None:
    """Print the JSON Schema of stack files, for editors."""
    from opsctl.stack.schema import reference_text, schema_text

    click.echo(reference_text() if markdown else schema_text(), nl=False)
