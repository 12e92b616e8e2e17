"""The command table. A command's module is imported only when that command runs."""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING, Any, NoReturn, cast

import click

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

COMMANDS: dict[str, tuple[str, str]] = {
    "diagnose": ("opsctl.cli.diagnose", "Name the root cause of what is broken."),
    "health": ("opsctl.cli.health", "Check services and list every finding."),
    "status": ("opsctl.cli.status", "Show containers and units in one table."),
    "verify": ("opsctl.cli.verify", "Prove that one finding is gone."),
    "snapshot": ("opsctl.cli.snapshot", "Save the facts of this moment to a file."),
    "diff": ("opsctl.cli.diff", "Compare two snapshots."),
    "checks": ("opsctl.cli.checks", "Show the catalogue of checks, or one of them."),
    "runbook": ("opsctl.cli.runbook", "Read a runbook or a decision tree, offline."),
    "stack": ("opsctl.cli.stack", "List, show, validate or write stack files."),
    "exporter": ("", "Serve the metrics of the stack to Prometheus."),
    "metrics": ("", "Show the reference of all metrics, or of some."),
    "completion": ("opsctl.cli.completion", "Print the shell completion script."),
}
"""Name -> (module, one-line help). The module holds a click command named `command`.

Without a module the command is another package's: it is found through its entry point, when it is called.
"""

ENTRY_POINTS = "opsctl.commands"
"""Group of the entry points of other packages: name -> click command."""


def plugged_in(name: str) -> click.Command | None:
    """Return the command that another package brings under a name; None where none does."""
    from importlib.metadata import entry_points  # slow: only for what is not our own

    for entry in entry_points(group=ENTRY_POINTS, name=name):
        return cast("click.Command", entry.load())
    return None


class LazyGroup(click.Group):
    """A group that knows its commands' names and help without importing them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the command names in the order of the table."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return a command."""
        name, _ = COMMANDS.get(cmd_name, ("", ""))
        if not name:
            return plugged_in(cmd_name)
        return cast("click.Command", importlib.import_module(name).command)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command; an unknown name gets the nearest known one as a suggestion."""
        name = args[0] if args else ""
        if name and not name.startswith("-") and self.get_command(ctx, name) is None:
            import difflib

            if name in COMMANDS:
                raise click.UsageError(f"{name} is not installed here; install opsctl again.", ctx)
            close = difflib.get_close_matches(name, COMMANDS, n=1)
            meant = f" Did you mean {close[0]!r}?" if close else ""
            raise click.UsageError(f"no command named {name!r}.{meant}", ctx)
        return super().resolve_command(ctx, args)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Complete command names from the table, options by click."""
        from click.shell_completion import CompletionItem

        names = [CompletionItem(name, help=text) for name, (_, text) in COMMANDS.items()]
        found = [item for item in names if item.value.startswith(incomplete)]
        return found or click.Command.shell_complete(self, ctx, incomplete)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the command list from the table."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, help_line) for name, (_, help_line) in COMMANDS.items()])


def _version(ctx: click.Context, _parameter: click.Parameter, value: bool) -> None:
    if value:
        from opsctl import __version__

        click.echo(f"opsctl {__version__}")
        ctx.exit()


@click.group(
    cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}
)
@click.option(
    "--version", is_flag=True, is_eager=True, expose_value=False, callback=_version, help="Show the version."
)
def cli() -> None:
    """Name the root cause of an outage on a Docker Compose or systemd server.

    Exit codes: 0 ok, 1 warning, 2 critical, 3 unknown or unusable arguments.
    """


def main(arguments: list[str] | None = None) -> None:
    """Run the command line; errors become one clear message and the right exit code."""
    import gc

    from opsctl.cli.failure import guarded

    gc.disable()  # a fifth of a short run went into collecting what ends with the process anyway

    def run() -> Any:
        return cli.main(args=arguments, prog_name="opsctl", standalone_mode=False)

    _leave(guarded(run))


def _leave(code: int) -> NoReturn:
    """End at once: tidying up hundreds of modules takes a tenth of a second and helps nobody.

    What was written is flushed first; threads left behind by the deadline die with the process.
    """
    import contextlib
    import os

    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError, AttributeError):
            stream.flush()
    os._exit(code)
