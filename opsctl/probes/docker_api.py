"""A few GET requests to the Docker engine, each on a connection of its own, bounded in time and size.

The engine's socket is plain HTTP; the standard library's client asks it in half a millisecond
and costs a third of the import time of a full SDK, which counts where hundreds of containers
are inspected within one deadline.
"""

from __future__ import annotations

import http.client
import json
import os
import socket
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode, urlsplit

from opsctl.probes.base import ProbeError
from opsctl.probes.connection import connection_state

if TYPE_CHECKING:
    from pathlib import Path

    from opsctl.probes.base import ProbeContext
    from opsctl.stack.specs import ComposeSpec

DEFAULT_ENDPOINT = "unix:///var/run/docker.sock"
MAX_BYTES = 32 * 1024 * 1024
PATIENCE_SECONDS = 2.0
"""An engine that says nothing for so long is taken for hung; a list of 1,000 containers takes 0.3 s."""


class ApiError(Exception):
    """The engine could not be asked, or refused; `state` is one of `Connection.state` or "http"."""

    def __init__(self, state: str, detail: str, status: int = 0) -> None:
        super().__init__(detail)
        self.state, self.detail, self.status = state, detail[:300], status


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str, timeout: float) -> None:
        super().__init__("docker", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


@dataclass(frozen=True)
class DockerApi:
    """The engine at one endpoint, asked no longer than until `ends` (monotonic seconds)."""

    endpoint: str
    ends: float

    def get(self, path: str, query: dict[str, Any] | None = None, most: int = MAX_BYTES) -> bytes:
        """Return the body of an answer, at most `most` bytes of it.

        Raises:
            ApiError: no answer, no permission, or an error status with the engine's own words.
        """
        left = min(max(self.ends - time.monotonic(), 0.05), PATIENCE_SECONDS)
        connection = self._connection(left)
        try:
            target = path + ("?" + urlencode(query) if query else "")
            connection.request("GET", target, headers={"User-Agent": "opsctl", "Connection": "close"})
            answer = connection.getresponse()
            body = answer.read(most)
        except (OSError, http.client.HTTPException) as error:
            raise ApiError(connection_state(error), _words(error)) from error
        finally:
            connection.close()
        if answer.status >= 400:
            raise ApiError("http", _message(body) or answer.reason, answer.status)
        return body

    def json(self, path: str, query: dict[str, Any] | None = None) -> Any:
        """Return an answer's JSON.

        Raises:
            ApiError: as `get`, or the answer is not JSON.
        """
        body = self.get(path, query)
        try:
            return json.loads(body)
        except ValueError as error:
            raise ApiError("protocol", f"the answer to {path} is not JSON: {error}") from None

    def inspect(self, identity: str) -> dict[str, Any]:
        """Return everything the engine knows of a container."""
        found = self.json(f"/containers/{quote(identity, safe='')}/json")
        return found if isinstance(found, dict) else {}

    def image_id(self, name: str) -> str | None:
        """Return the id that an image name stands for on this machine, None where there is none."""
        try:
            found = self.json(f"/images/{quote(name, safe='/:@')}/json")
        except ApiError as error:
            if error.status == 404:
                return None
            raise
        return str(found.get("Id") or "") or None

    def _connection(self, timeout: float) -> http.client.HTTPConnection:
        parts = urlsplit(self.endpoint)
        if parts.scheme == "unix":
            return _UnixConnection(parts.path, timeout)
        if parts.scheme in ("tcp", "http", "https"):
            host = parts.hostname or "127.0.0.1"
            certificates = os.environ.get("DOCKER_CERT_PATH")
            if parts.scheme == "https" or os.environ.get("DOCKER_TLS_VERIFY"):
                return http.client.HTTPSConnection(
                    host, parts.port or 2376, timeout=timeout, context=_tls(certificates)
                )
            return http.client.HTTPConnection(host, parts.port or 2375, timeout=timeout)
        raise ApiError("unsupported", f"docker endpoint {parts.scheme}:// is not supported")


def endpoint_of(spec: ComposeSpec | None) -> str:
    """Return the engine's address: the stack file's, else `DOCKER_HOST`, else the default socket."""
    return (spec.docker_host if spec else "") or os.environ.get("DOCKER_HOST") or DEFAULT_ENDPOINT


def api(context: ProbeContext) -> DockerApi:
    """Return the engine of the stack that a probe works for."""
    return DockerApi(endpoint_of(context.stack.spec.compose), context.ends)


def containers(context: ProbeContext) -> list[dict[str, Any]]:
    """Return the engine's list of all containers, asked once per run.

    Raises:
        ApiError: it could not be asked.
    """
    engine = api(context)

    def ask() -> list[dict[str, Any]]:
        found = engine.json("/containers/json", {"all": 1})
        return [item for item in found if isinstance(item, dict)] if isinstance(found, list) else []

    return context.shared.once(("docker containers", engine.endpoint), ask)


def cannot_look(error: ApiError, endpoint: str) -> ProbeError:
    """Return the ProbeError for an engine that could not be asked; its parent is the engine."""
    if error.state == "no-permission":
        return ProbeError(
            "permission",
            f"no permission to use {endpoint}",
            "run as root or as a member of the group that owns the socket",
            parent="docker",
        )
    code = {"timeout": "timeout", "missing": "missing", "unsupported": "unsupported"}.get(
        error.state, "refused"
    )
    return ProbeError(
        code, f"the Docker engine at {endpoint} did not answer: {error.detail}"[:300], parent="docker"
    )


def _tls(folder: str | None) -> Any:
    import ssl
    from pathlib import Path

    if not folder:
        return ssl.create_default_context()
    base: Path = Path(folder)
    context = ssl.create_default_context(cafile=str(base / "ca.pem"))
    context.load_cert_chain(base / "cert.pem", base / "key.pem")
    return context


def _words(error: BaseException) -> str:
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def _message(body: bytes) -> str:
    try:
        value = json.loads(body)
    except ValueError:
        return body[:200].decode("utf-8", "replace")
    return str(value.get("message", "")) if isinstance(value, dict) else ""
