"""Reads a compose file, tolerantly: only what is compared with the running containers. Pure.

What cannot be understood is None or left out, so that nothing is held against a container for it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_BYTES = 1024 * 1024
MAX_DEPTH = 40
MAX_EVENTS = 200_000

_VARIABLE = re.compile(
    r"\$(?:(?P<escaped>\$)|(?P<plain>[A-Za-z_][A-Za-z0-9_]*)"
    r"|\{(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?:(?P<operator>:?[-?+])(?P<word>[^{}]*))?\})"
)


class ComposeError(ValueError):
    """The text is not a compose file; says why."""


@dataclass(frozen=True)
class ComposeService:
    """What the file says of one service. None is "the file does not say, or not legibly"."""

    image: str | None = None
    builds: bool = False
    container_name: str | None = None
    networks: tuple[str, ...] | None = None
    """Real names of the networks; None for host, none and another container's network."""
    ports: tuple[str, ...] = ()
    """Container ports that must be published, as `8000/tcp`."""
    env_files: tuple[str, ...] = ()
    environment: dict[str, str | None] = field(default_factory=dict)
    """Values as the container should have them; None where the value cannot be known."""
    replicas: int | None = None
    waits_for_end_of: tuple[str, ...] = ()


@dataclass(frozen=True)
class ComposeFile:
    """The services of a compose file."""

    services: dict[str, ComposeService]

    @property
    def one_shots(self) -> frozenset[str]:
        """Return the services that others wait for to end well."""
        return frozenset(name for item in self.services.values() for name in item.waits_for_end_of)


def interpolate(text: str, variables: Mapping[str, str]) -> str | None:
    """Return the text with `$NAME`, `${NAME:-default}` and the like replaced, None where one is not known."""
    missing = False

    def value(match: re.Match[str]) -> str:
        nonlocal missing
        if match["escaped"]:
            return "$"
        found = variables.get(match["plain"] or match["name"])
        operator, word = match["operator"] or "", match["word"] or ""
        empty_counts = operator.startswith(":")
        there = found is not None and (found != "" or not empty_counts)
        if operator.endswith("+"):
            return word if there else ""
        if there:
            return found or ""
        if operator.endswith("-"):
            return word
        missing = True
        return ""

    result = _VARIABLE.sub(value, text)
    return None if missing else result


def parse_compose(data: bytes, project: str, variables: Mapping[str, str]) -> ComposeFile:
    """Return what a compose file expects.

    Args:
        data: the file.
        project: name of the Compose project, which real network names begin with.
        variables: values for `${…}`: those of the env file and of this process.

    Raises:
        ComposeError: it is too large, too deep, not YAML, or has no services.
    """
    if len(data) > MAX_BYTES:
        raise ComposeError(f"larger than {MAX_BYTES} bytes")
    text = data.decode("utf-8", "replace")
    value = _load(text)
    if not isinstance(value, dict) or not isinstance(value.get("services"), dict):
        raise ComposeError("it has no services")
    named = _network_names(value.get("networks"), project, variables)
    services: dict[str, ComposeService] = {}
    for name, item in value["services"].items():
        if isinstance(name, str) and isinstance(item, dict):
            services[name] = _service(item, project, variables, named)
    return ComposeFile(services)


def _load(text: str) -> Any:
    """Load YAML after its depth was measured: the C parser must not run out of stack on hostile text."""
    loader = yaml.CSafeLoader(text)
    depth = events = 0
    try:
        while (event := loader.get_event()) is not None:
            events += 1
            if isinstance(event, (yaml.MappingStartEvent, yaml.SequenceStartEvent)):
                depth += 1
            elif isinstance(event, (yaml.MappingEndEvent, yaml.SequenceEndEvent)):
                depth -= 1
            if depth > MAX_DEPTH or events > MAX_EVENTS:
                raise ComposeError("nested too deep or too long for a compose file")
            if isinstance(event, yaml.StreamEndEvent):
                break
        return yaml.load(text, Loader=yaml.CSafeLoader)
    except (yaml.YAMLError, ValueError, TypeError, RecursionError, OverflowError) as error:
        if isinstance(error, ComposeError):
            raise
        first = (str(error).strip().splitlines() or ["unreadable"])[0]
        raise ComposeError(f"not YAML: {first}"[:200]) from None
    finally:
        loader.dispose()


def _service(
    item: dict[str, Any], project: str, variables: Mapping[str, str], named: dict[str, str]
) -> ComposeService:
    mode = item.get("network_mode")
    return ComposeService(
        image=_text(item.get("image"), variables),
        builds=bool(item.get("build")),
        container_name=_text(item.get("container_name"), variables),
        networks=None
        if mode not in (None, "", "bridge")
        else _networks(item.get("networks"), project, named),
        ports=tuple(dict.fromkeys(_ports(item.get("ports"), variables))),
        env_files=tuple(_env_files(item.get("env_file"), variables)),
        environment=_environment(item.get("environment"), variables),
        replicas=_replicas(item),
        waits_for_end_of=tuple(_waits(item.get("depends_on"))),
    )


def _text(value: Any, variables: Mapping[str, str]) -> str | None:
    if not isinstance(value, str) or not value:
        return None
    return interpolate(value, variables) or None


def _network_names(value: Any, project: str, variables: Mapping[str, str]) -> dict[str, str]:
    """Return the real name of each network that the file declares."""
    names: dict[str, str] = {}
    for key, item in value.items() if isinstance(value, dict) else ():
        options = item if isinstance(item, dict) else {}
        external = options.get("external")
        own = _text(options.get("name"), variables)
        if isinstance(external, dict):
            own = _text(external.get("name"), variables) or own
        names[str(key)] = own or (str(key) if external else f"{project}_{key}")
    return names


def _networks(value: Any, project: str, named: dict[str, str]) -> tuple[str, ...]:
    keys = [str(key) for key in value] if isinstance(value, (list, dict)) and value else ["default"]
    return tuple(named.get(key, f"{project}_{key}") for key in keys)


def _ports(value: Any, variables: Mapping[str, str]) -> list[str]:
    """Return container ports as `8000/tcp`; ranges and the illegible are left out."""
    found: list[str] = []
    for item in value if isinstance(value, list) else ():
        if isinstance(item, dict):
            target, protocol = item.get("target"), item.get("protocol") or "tcp"
        else:
            whole = interpolate(str(item), variables)
            if whole is None:
                continue
            address, _, protocol = whole.partition("/")
            target, protocol = address.rpartition(":")[2], protocol or "tcp"
        if str(target).isdecimal() and len(str(target)) <= 5:
            found.append(f"{int(str(target))}/{protocol}")
    return found


def _env_files(value: Any, variables: Mapping[str, str]) -> list[str]:
    items = value if isinstance(value, list) else [value]
    paths = [item.get("path") if isinstance(item, dict) else item for item in items]
    return [path for item in paths if (path := _text(item, variables))]


def _environment(value: Any, variables: Mapping[str, str]) -> dict[str, str | None]:
    """Return the variables that the file itself sets; a bare NAME takes the caller's value: unknown."""
    result: dict[str, str | None] = {}
    if isinstance(value, dict):
        for name, item in value.items():
            result[str(name)] = None if item is None else _scalar(item, variables)
    elif isinstance(value, list):
        for item in value:
            name, equals, text = str(item).partition("=")
            result[name] = interpolate(text, variables) if equals else None
    return result


def _scalar(value: Any, variables: Mapping[str, str]) -> str | None:
    if isinstance(value, bool):
        return None  # Compose's versions write booleans differently
    return interpolate(str(value), variables) if isinstance(value, (str, int)) else None


def _replicas(item: dict[str, Any]) -> int | None:
    deploy = item.get("deploy")
    for value in (deploy.get("replicas") if isinstance(deploy, dict) else None, item.get("scale")):
        if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= 100_000:
            return value
    return None


def _waits(value: Any) -> list[str]:
    if not isinstance(value, dict):
        return []
    return [
        str(name)
        for name, item in value.items()
        if isinstance(item, dict) and item.get("condition") == "service_completed_successfully"
    ]
