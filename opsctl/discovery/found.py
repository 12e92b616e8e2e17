"""What the finders bring, and putting it together into one spec. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import msgspec

from opsctl.stack.specs import (
    ComposeSpec,
    HttpSpec,
    NginxSpec,
    PhpSpec,
    PostgresSpec,
    RedisSpec,
    ServiceSpec,
    StackSpec,
)


@dataclass(frozen=True)
class FoundService:
    """One service as a finder sees it.

    `ports` are those it listens on at this machine, `unit` or `container` what runs it: by these
    the services of two finders are recognised as one. `role` is postgres, redis, nginx, php or http.
    """

    name: str
    role: str = ""
    unit: str = ""
    project: str = ""
    container: str = ""
    replicas: int = 1
    ports: frozenset[int] = frozenset()
    depends_on: tuple[str, ...] = ()
    guessed: bool = False
    postgres: tuple[PostgresSpec, ...] = ()
    redis: tuple[RedisSpec, ...] = ()
    http: tuple[HttpSpec, ...] = ()
    nginx: tuple[NginxSpec, ...] = ()
    php: tuple[PhpSpec, ...] = ()


@dataclass(frozen=True)
class Discovered:
    """What one finder found: services, Compose projects (name -> file), and what it could not see."""

    services: list[FoundService] = field(default_factory=list)
    projects: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def assemble(results: list[Discovered]) -> tuple[StackSpec, list[str]]:
    """Return one spec from what the finders found, and the notes for people."""
    notes = [note for result in results for note in result.notes]
    merged = _merged([service for result in results for service in result.services])
    projects = {name: file for result in results for name, file in result.projects.items()}
    sizes = {name: sum(1 for item in merged if item.project == name) for name in projects}
    main = max(projects, key=lambda name: (sizes[name], name), default="")
    named = _named(merged, main)
    guessed = _with_guessed_parents(named)
    services = {name: _spec(item, main) for name, item in guessed.items()}
    return (
        StackSpec(
            name=_stack_name(main),
            services=services,
            compose=ComposeSpec(project=main, file=projects[main]) if main else None,
        ),
        notes,
    )


def _stack_name(project: str) -> str:
    import re
    import socket

    text = project or socket.gethostname().partition(".")[0]
    return re.sub(r"[^A-Za-z0-9_.-]", "-", text).lstrip("-._") or "discovered"


def _merged(services: list[FoundService]) -> list[FoundService]:
    """Join what two finders saw of one service: by unit, then by a port in common and the same role."""
    result: list[FoundService] = []
    for service in services:
        for index, other in enumerate(result):
            same_unit = bool(service.unit) and service.unit == other.unit
            same_port = bool(service.ports & other.ports) and service.role in ("", other.role)
            if same_unit or same_port:
                result[index] = _join(other, service)
                break
        else:
            result.append(service)
    return result


def _join(first: FoundService, second: FoundService) -> FoundService:
    return replace(
        first,
        role=first.role or second.role,
        unit=first.unit or second.unit,
        ports=first.ports | second.ports,
        postgres=first.postgres or second.postgres,
        redis=first.redis or second.redis,
        http=first.http or second.http,
        nginx=first.nginx or second.nginx,
        php=first.php or second.php,
    )


def _named(services: list[FoundService], main: str) -> dict[str, FoundService]:
    """Return the services by names that are unique: the project or a port tells namesakes apart."""
    result: dict[str, FoundService] = {}
    for item in services:
        base = "".join("-" if character in "/ \t" else character for character in item.name) or item.role
        base = f"{base}-service" if base == "host" else base
        choices = [base]
        if item.project and item.project != main:
            choices.append(f"{item.project}-{base}")
        choices += [f"{base}-{port}" for port in sorted(item.ports)[:1]]
        choices += [f"{base}-{number}" for number in range(2, 1000)]
        name = next(choice for choice in choices if choice not in result)
        result[name] = item
    return result


def _with_guessed_parents(services: dict[str, FoundService]) -> dict[str, FoundService]:
    """Fill in who leans on whom where nothing says it: applications on stores, nginx on applications."""
    result: dict[str, FoundService] = {}
    for name, item in services.items():
        peers = {other: found for other, found in services.items() if found.project == item.project}
        declared = tuple(
            other for parent in item.depends_on for other, found in peers.items() if found.container == parent
        )
        if declared or item.role in ("postgres", "redis"):
            result[name] = replace(item, depends_on=declared)
            continue
        wanted = ("http", "php") if item.role == "nginx" else ("postgres", "redis")
        application = item.role in ("http", "php", "nginx", "application")
        parents = [other for other, found in peers.items() if found.role in wanted and other != name]
        leans = tuple(parents) if application else ()
        result[name] = replace(item, depends_on=leans, guessed=bool(leans))
    return result


def _spec(item: FoundService, main: str) -> ServiceSpec:
    return ServiceSpec(
        container=item.container,
        project=item.project if item.project != main else "",
        unit=item.unit,
        replicas=item.replicas,
        depends_on=list(item.depends_on),
        depends_on_guessed=item.guessed,
        postgres=list(item.postgres),
        redis=list(item.redis),
        http=list(item.http),
        nginx=list(item.nginx),
        php=list(item.php),
    )


def guessed_postgres(
    host: str, port: int, user: str = "postgres", database: str = "postgres"
) -> PostgresSpec:
    """Return the spec of a PostgreSQL whose login is a guess: a refusal of it is no fault."""
    from urllib.parse import quote

    dsn = f"postgresql://{quote(user, safe='')}@{_host(host)}:{port}/{quote(database, safe='')}"
    return PostgresSpec(dsn=dsn, guessed=True)


def guessed_redis(host: str, port: int) -> RedisSpec:
    """Return the spec of a Redis that may want a password nobody told us."""
    return RedisSpec(url=f"redis://{_host(host)}:{port}/0", guessed=True)


def http_spec(host: str, port: int, path: str = "/", answered: int = 200) -> HttpSpec:
    """Return the spec of a page; an answer below 500 that it gives now is taken for right."""
    fine = [200] if answered in (0, 200) or answered >= 500 else [200, answered]
    scheme = "https" if port in (443, 8443) else "http"
    spec = HttpSpec(url=f"{scheme}://{_host(host)}:{port}{path}", status=fine if len(fine) > 1 else 200)
    return msgspec.structs.replace(spec, verify=scheme == "http") if scheme == "https" else spec


def local(address: str) -> str:
    """Return where to reach a listening address from this machine: wildcards by loopback."""
    if address in ("", "*", "0.0.0.0"):  # noqa: S104 - read, not bound
        return "127.0.0.1"
    return "::1" if address == "::" else address


def _host(host: str) -> str:
    return f"[{host}]" if ":" in host else host
