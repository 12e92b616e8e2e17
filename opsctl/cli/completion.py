"""`opsctl completion`: the script that teaches a shell opsctl's names."""

from __future__ import annotations

import click

from opsctl.cli.completing import SHELLS

_WHERE = {
    "bash": "opsctl completion bash > ~/.local/share/bash-completion/completions/opsctl",
    "zsh": 'opsctl completion zsh > "${fpath[1]}/_opsctl"',
    "fish": "opsctl completion fish > ~/.config/fish/completions/opsctl.fish",
}


@click.command(
    "completion",
    epilog="Install it with: " + "; ".join(_WHERE.values()),
)
@click.argument("shell", type=click.Choice(SHELLS))
def command(shell: str) -> None:
    """Print the completion script of a shell: bash, zsh or fish."""
    from click.shell_completion import get_completion_class

    from opsctl.cli.main import cli

    found = get_completion_class(shell)
    assert found is not None, shell
    writer = found(cli, {}, "opsctl", "_OPSCTL_COMPLETE")
    click.echo(writer.source_template % writer.source_vars())  # source() would start a bash
