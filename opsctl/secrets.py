"""Where secrets come from: variables, files, the service's own env file. They go to probes only."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING
from urllib.parse import unquote

from opsctl.envfile import parse_env
from opsctl.errors import UserError
from opsctl.files import read_regular
from opsctl.redact import is_secret_name

if TYPE_CHECKING:
    from pathlib import Path

    from opsctl.redact import Redactor
    from opsctl.stack.specs import ServiceSpec
    from opsctl.stack.stack import Stack

MAX_ENV_BYTES = 256 * 1024
MAX_SECRET_BYTES = 4096


class MissingSecret(UserError):
    """A variable or file that should hold a secret does not; says where it was looked for."""


def redactor_of(stack: Stack) -> Redactor:
    """Return a redactor that knows the secrets of a stack's files, for texts about the stack itself."""
    from opsctl.redact import Redactor

    redactor = Redactor()
    redactor.keep(stack.spec.services)
    Secrets(stack, redactor)
    return redactor


class Secrets:
    """Resolves secrets and tells the redactor each one before anybody uses it."""

    def __init__(self, stack: Stack, redactor: Redactor) -> None:
        self._stack = stack
        self._redactor = redactor
        self._files: dict[Path, dict[str, str]] = {}
        self._unreadable: dict[Path, str] = {}
        others = (service.env for service in stack.spec.services.values())
        self._of_services = [stack.path(env.file) for env in others if env is not None]
        for name, value in os.environ.items():
            redactor.add_environment({name: value})
        for path in self._env_files(None):
            self.env_file(path)
        for service in stack.spec.services.values():
            if service.env is not None:
                also = frozenset(service.env.secret)
                self.env_file(stack.path(service.env.file), also)

    def _env_files(self, service: ServiceSpec | None) -> list[Path]:
        """Return the env files to look into: the service's own, the stack's, those of other services."""
        files: list[Path] = []
        if service is not None and service.env is not None:
            files.append(self._stack.path(service.env.file))
        compose = self._stack.spec.compose
        if compose is not None and compose.env_file:
            files.append(self._stack.path(compose.env_file))
        elif compose is not None and compose.file:
            files.append(self._stack.path(compose.file).parent / ".env")
        files.append(self._stack.directory / ".env")
        if service is not None:  # a database's password is often known to the application alone
            files.extend(self._of_services)
        return list(dict.fromkeys(files))

    def env_file(self, path: Path, also: frozenset[str] = frozenset()) -> dict[str, str]:
        """Return an env file's variables, empty where it cannot be read; secrets are remembered."""
        if path not in self._files:
            try:
                text = read_regular(path, MAX_ENV_BYTES).decode("utf-8", "replace")
            except FileNotFoundError:
                text = ""
            except OSError as error:
                text = ""
                self._unreadable[path] = error.strerror or str(error)
            self._files[path] = parse_env(text)
        values = self._files[path]
        self._redactor.add_environment(values, also)
        return values

    def resolve(self, service: ServiceSpec, variable: str, file: str) -> str | None:
        """Return the secret named by `*_env` or `*_file`, None where neither is given.

        A variable that holds a whole URL (`DATABASE_URL`) gives the password inside it.

        Raises:
            MissingSecret: it is named and not to be found; the message never holds a value.
        """
        if file:
            path = self._stack.path(file)
            try:
                value = read_regular(path, MAX_SECRET_BYTES).decode("utf-8").rstrip("\r\n")
            except (OSError, UnicodeDecodeError) as error:
                reason = getattr(error, "strerror", None) or "not text"
                named = str(path) if "/" in file or "." in file else "named in *_file"
                raise MissingSecret(f"cannot read the secret file {named}: {reason}") from None
            self._redactor.add(value)
            return value
        if not variable:
            return None
        candidate, looked = self._found(service, variable)
        if candidate is None:
            raise MissingSecret(f"{_shown(variable)} is not set; looked in {', '.join(looked)}")
        self._redactor.add(candidate)
        return _password_of_url(candidate)

    def plain(self, service: ServiceSpec, variable: str) -> str | None:
        """Return a variable that is no secret (a user, a database's name), None where it is not set."""
        return self._found(service, variable)[0] if variable else None

    def _found(self, service: ServiceSpec, variable: str) -> tuple[str | None, list[str]]:
        """Return a variable's value, and where it was looked for."""
        looked = ["the environment"]
        candidate = os.environ.get(variable)
        if candidate is None:
            for path in self._env_files(service):
                candidate = self.env_file(path).get(variable)
                looked.append(f"{path} ({self._unreadable[path]})" if path in self._unreadable else str(path))
                if candidate is not None:
                    break
        return candidate, looked


def _shown(variable: str) -> str:
    """Return a variable's name; not one that may be the secret itself, written in the wrong place."""
    usual = variable.isupper() and ("_" in variable or is_secret_name(variable))
    return variable if usual else "the variable named in *_env"


def _password_of_url(value: str) -> str | None:
    """Return the password where the value is a whole URL (`DATABASE_URL`), else the value itself."""
    match = re.match(r"[a-zA-Z][\w+.-]*://(?:[^\s/:@]*(?::([^\s/]*))?@)?[^\s@]*$", value)
    if match is None:
        return value
    return unquote(match.group(1)) if match.group(1) else None
