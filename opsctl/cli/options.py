"""Options that many commands share, each written once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from collections.abc import Callable

F = TypeVar("F", bound="Callable[..., Any]")

LOOK_FORMATS = ("text", "json", "yaml", "markdown", "junit", "nagios")
DATA_FORMATS = ("text", "json", "yaml", "markdown")
LEAST_SECONDS, MOST_SECONDS = 0.5, 600.0


class Seconds(click.ParamType):  # type: ignore[type-arg]
    """A number of seconds within bounds; `5`, `2.5` and `5s` are understood."""

    name = "seconds"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return the seconds."""
        text = str(value).strip().removesuffix("s")
        try:
            seconds = float(text) if len(text) < 20 else float("nan")
        except ValueError:
            seconds = float("nan")
        if not LEAST_SECONDS <= seconds <= MOST_SECONDS:  # false for NaN as well
            self.fail(
                f"{str(value)[:40]!r} is not a number of seconds "
                f"between {LEAST_SECONDS:g} and {MOST_SECONDS:g}.",
                param,
                ctx,
            )
        return seconds


def stack_option(function: F) -> F:
    """`--stack`: which stack file."""
    from opsctl.cli.completing import complete_stack

    return click.option(
        "--stack",
        "stack_name",
        metavar="FILE|NAME",
        shell_complete=complete_stack,
        help="Stack file, or the name of a shipped one. Default: OPSCTL_STACK, ./opsctl.yml, "
        "~/.config/opsctl/, /etc/opsctl/, else discovery of this machine.",
    )(function)


def timeout_option(function: F) -> F:
    """`--timeout`: the deadline of the whole look."""
    return click.option(
        "--timeout",
        type=Seconds(),
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
        help="What ends with other than 0. critical: only that. warning: also warnings, and where a "
        "whole target was not seen. unknown: also where a single check could not look.",
    )(function)


def look_options(*formats: str) -> Callable[[F], F]:
    """All options of a command that looks at the stack."""

    def add(function: F) -> F:
        for decorate in (debug_option, color_option, exit_options, output_option(*formats)):
            function = decorate(function)
        return stack_option(timeout_option(function))

    return add


def show_options(*formats: str) -> Callable[[F], F]:
    """The options of a command that shows what it already knows."""

    def add(function: F) -> F:
        return output_option(*formats)(color_option(debug_option(function)))

    return add
