"""Reads a service's env file. Only names and verdicts come out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from opsctl.envfile import parse_env
from opsctl.facts.config import ConfigFacts
from opsctl.files import read_regular
from opsctl.probes.base import ProbeError
from opsctl.probes.config_judging import variables
from opsctl.secrets import MAX_ENV_BYTES
from opsctl.stack.specs import EnvSpec

if TYPE_CHECKING:
    from opsctl.probes.base import ProbeContext


def probe(context: ProbeContext) -> ConfigFacts:
    """Return the facts of one env file; `up` is False where the file does not exist.

    Raises:
        ProbeError: it exists and may not be read, or is not a file.
    """
    spec = context.spec
    assert isinstance(spec, EnvSpec)
    path = context.stack.path(spec.file)
    try:
        text = read_regular(path, MAX_ENV_BYTES).decode("utf-8", "replace")
        modified_at = path.stat().st_mtime
    except (FileNotFoundError, NotADirectoryError):
        return ConfigFacts(
            up=False,
            path=str(path),
            production=spec.production,
            missing=len(spec.required),
            variables=variables({}, spec.required, spec.secret, spec.production),
        )
    except PermissionError:
        raise ProbeError(
            "permission", f"no permission to read {path}", "run as root or as its owner"
        ) from None
    except OSError as error:
        hint = "name the env file in the stack file"
        raise ProbeError("unsupported", f"cannot read {path}: {error.strerror}", hint) from None
    values = parse_env(text)
    context.redactor.add_environment(values, frozenset(spec.secret))
    found = variables(values, spec.required, spec.secret, spec.production)
    return ConfigFacts(
        path=str(path),
        production=spec.production,
        count=len(values),
        missing=sum(1 for item in found if item.required and not item.present),
        modified_at=modified_at,
        variables=found,
    )
