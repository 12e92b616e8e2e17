"""Options that many commands share, each written once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from collections.abc import Callable

F = TypeVar("F", bound="Callable[..., Any]")

LOOK_FORMATS = ("text", "json", "yaml", "markdown", "junit", "nagios")
DATA_FORMATS = ("text", "json", "yaml", "markdown")


def _complete_stack(_ctx: click.Context, _parameter: click.Parameter, incomplete: str) -> list[Any]:
    from click.shell_completion import CompletionItem

    from opsctl.cli.completing import stack_names

    names = [name for name in stack_names() if name.startswith(incomplete)]
    return [*map(CompletionItem, names), CompletionItem(incomplete, type="file")]


def stack_option(function: F) -> F:
    """`--stack`: which stack file."""
    return click.option(
        "--stack",
        "stack_name",
        metavar="FILE|NAME",
        shell_complete=_complete_stack,
        help="Stack file, or the name of a shipped one. Default: OPSCTL_STACK, ./opsctl.yml, "
        "~/.config/opsctl/, /etc/opsctl/, else discovery of this machine.",
    )(function)


def timeout_option(function: F) -> F:
    """`--timeout`: the deadline of the whole look."""
    return click.option(
        "--timeout",
        type=click.FloatRange(0.5, 600),
        default=10.0,
        show_default=True,
        metavar="SECONDS",
        envvar="OPSCTL_TIMEOUT",
        help="Deadline for everything together.",
    )(function)


def output_option(*formats: str) -> Callable[[F], F]:
    """`--output`: which format."""

    def add(function: F) -> F:
        return click.option(
            "-O",
            "--output",
            type=click.Choice(formats),
            default="text",
            show_default=True,
            envvar="OPSCTL_OUTPUT",
            help="Format of the result on stdout.",
        )(function)

    return add


def color_option(function: F) -> F:
    """`--no-color`; NO_COLOR and TERM=dumb do the same."""
    return click.option("--no-color", is_flag=True, help="No colour; NO_COLOR does the same.")(function)


def debug_option(function: F) -> F:
    """`--debug`: tracebacks."""
    return click.option("--debug", is_flag=True, help="Show tracebacks.")(function)


def exit_options(function: F) -> F:
    """`--fail-on` and `--exit-zero` for scripts."""
    function = click.option("--exit-zero", is_flag=True, help="End with 0 whatever was found.")(function)
    return click.option(
        "--fail-on",
        type=click.Choice(["warning", "critical", "unknown"]),
        default="warning",
        show_default=True,
        help="Least status that ends with other than 0; unknown: also what could not be seen.",
    )(function)


def look_options(*formats: str) -> Callable[[F], F]:
    """All options of a command that looks at the stack."""

    def add(function: F) -> F:
        for decorate in (debug_option, color_option, exit_options, output_option(*formats)):
            function = decorate(function)
        return stack_option(timeout_option(function))

    return add
