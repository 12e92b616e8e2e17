"""What the shell is offered on Tab: names only, read cheaply, never an error."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    import click
    from click.shell_completion import CompletionItem

SHELLS = ("bash", "zsh", "fish")


def _items(names: list[str], incomplete: str) -> list[CompletionItem]:
    from click.shell_completion import CompletionItem

    return [CompletionItem(name) for name in names if name.startswith(incomplete)]


def _package() -> Path:
    from pathlib import Path

    return Path(__file__).parent.parent


def stack_names() -> list[str]:
    """Return the names of the shipped stack files and those of this machine."""
    import os
    from pathlib import Path

    config = Path(os.environ.get("XDG_CONFIG_HOME") or "~/.config").expanduser()
    folders = (config / "opsctl", Path("/etc/opsctl"), _package() / "stacks")
    return sorted({path.stem for folder in folders for path in folder.glob("*.yml")} - {"opsctl"})


def slugs() -> list[str]:
    """Return the slugs that have a runbook: the names of its files, nothing is parsed."""
    from opsctl.resources import shipped

    return sorted(
        f"{path.parent.name}/{path.stem}"
        for path in shipped("runbooks").glob("*/*.md")
        if path.parent.name != "flows"
    )


def flows() -> list[str]:
    """Return the names of the decision trees."""
    from opsctl.resources import shipped

    return sorted(path.stem for path in shipped("runbooks").glob("flows/*.md"))


def complete_stack(_ctx: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Offer stack names and files."""
    from click.shell_completion import CompletionItem

    return [*_items(stack_names(), incomplete), CompletionItem(incomplete, type="file")]


def complete_slug(_ctx: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Offer slugs."""
    return _items(slugs(), incomplete)


def complete_page(_ctx: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Offer slugs and flows."""
    return _items([*flows(), *slugs()], incomplete)


def complete_service(
    ctx: click.Context, _parameter: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Offer the services of the stack file in force; nothing is discovered."""
    from opsctl.errors import UserError
    from opsctl.stack import reader

    try:
        path = reader.find(ctx.params.get("stack_name"))
        names = [] if path is None else list(reader.load(path).spec.services)
    except (UserError, OSError):
        return []
    return _items(["host", *names], incomplete)


def complete_target(ctx: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Offer the target ids of the stack file in force, of the slug's kind where one is given."""
    from opsctl.errors import UserError
    from opsctl.stack import reader
    from opsctl.stack.targets import assignments

    kind = str(ctx.params.get("slug") or "").partition("/")[0]
    try:
        path = reader.find(ctx.params.get("stack_name"))
        targets = [] if path is None else [item.target for item in assignments(reader.load(path))]
    except (UserError, OSError):
        return []
    return _items([item.id for item in targets if not kind or item.kind == kind], incomplete)
