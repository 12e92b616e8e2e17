"""What the compose file says of a service, found through the stack file or the container's labels."""

from __future__ import annotations

import functools
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from opsctl.facts.base import FactProblem
from opsctl.probes.container_compose import ComposeError, ComposeFile, ComposeService, parse_compose

if TYPE_CHECKING:
    from opsctl.probes.base import ProbeContext

CONFIG_FILES = "com.docker.compose.project.config_files"


@dataclass(frozen=True)
class Described:
    """A compose file as far as it could be read."""

    path: Path | None = None
    file: ComposeFile | None = None
    problem: FactProblem | None = None

    def service(self, name: str) -> ComposeService | None:
        """Return what the file says of a service, None where it says nothing."""
        return self.file.services.get(name) if self.file else None


def described(context: ProbeContext, project: str, own: list[dict[str, Any]]) -> Described:
    """Return the compose file of a project.

    Args:
        context: names the stack's own project and file.
        project: whose file is wanted.
        own: the service's containers; their label names the file of another project.
    """
    spec = context.stack.spec.compose
    main = spec.project if spec else ""
    if spec is not None and spec.file and project == main:
        path = context.stack.path(spec.file)
    else:
        labels = (own[0].get("Labels") or {}) if own else {}
        named = str(labels.get(CONFIG_FILES) or "")
        if not named.startswith("/") or "," in named:  # several files are merged by Compose: not compared
            return Described()
        path = Path(named)
    named = spec.env_file if spec and project == main else ""
    own_file = context.stack.path(named) if named else path.parent / ".env"
    variables = {**os.environ, **context.secrets.env_file(own_file)}
    key = ("compose file", str(path), project)
    return context.shared.once(key, lambda: read_compose(path, project, variables))


def read_compose(path: Path, project: str, variables: dict[str, str]) -> Described:
    """Return a compose file with its variables filled in; never raises."""
    try:
        found = os.stat(path)  # noqa: PTH116 - three numbers of one call
        stamp = (found.st_mtime_ns, found.st_size, found.st_ino)
        return _read(path, stamp, project, tuple(sorted(variables.items())))
    except OSError as error:
        message, hint = f"cannot read the compose file {path}: {error.strerror}", "name it in compose.file"
    except ComposeError as error:
        message, hint = f"the compose file {path} cannot be used: {error}", "docker compose config"
    return Described(
        path, None, FactProblem(part="compose", code="missing", message=message[:300], hint=hint)
    )


@functools.lru_cache(maxsize=8)  # reading YAML costs more than all else, and who looks again looks often
def _read(
    path: Path, _stamp: tuple[int, int, int], project: str, variables: tuple[tuple[str, str], ...]
) -> Described:
    with path.open("rb") as file:
        data = file.read(2 * 1024 * 1024)
    return Described(path, parse_compose(data, project, dict(variables)))
