"""What the live tests of http, nginx and php share: a stack from a mapping, a look at it, its causes."""

from __future__ import annotations

import http.client
from pathlib import Path
from typing import Any

import yaml

from opsctl.diagnose import diagnose
from opsctl.engine import collect
from opsctl.model import HOST_SERVICE, Diagnosis, Finding
from opsctl.stack import reader


def look(services: dict[str, Any], flow: str, thresholds: dict[str, Any] | None = None) -> Diagnosis:
    """Diagnose a stack; the machine itself is left out, since other tests load it at the same time."""
    spec = {"name": "live", "flow": flow, "services": services, "thresholds": thresholds or {}}
    if any("container" in service for service in services.values()):
        spec["compose"] = {"project": "live", "docker_host": "unix:///nowhere/docker.sock"}
    stack = reader.parse(yaml.safe_dump(spec).encode(), "live.yml", Path("/"))
    return diagnose(collect(stack, wanted=lambda target: target.service != HOST_SERVICE))


def first(diagnosis: Diagnosis) -> str:
    """Return slug and service of the first root cause."""
    if not diagnosis.root_causes:
        return "none"
    finding = diagnosis.root_causes[0].finding
    return f"{finding.id}:{finding.target}"


def failing(diagnosis: Diagnosis) -> list[str]:
    """Return every failing finding in words."""
    return [f"{item.id}:{item.target}: {item.summary}" for item in diagnosis.findings if item.status.failing]


def found(diagnosis: Diagnosis, slug: str) -> Finding:
    """Return the one finding of a slug."""
    (finding,) = [item for item in diagnosis.findings if item.id == slug]
    return finding


def crashed(diagnosis: Diagnosis) -> list[str]:
    """Return findings that say that opsctl itself failed."""
    return [item.summary for item in diagnosis.findings if "crashed" in item.summary]


def ask(address: str, path: str = "/") -> int:
    """Send one request as a visitor would and return the status code; 0 where there was none."""
    connection = http.client.HTTPConnection(address, timeout=20)
    try:
        connection.request("GET", path, headers={"User-Agent": "visitor"})
        return connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return 0
    finally:
        connection.close()
