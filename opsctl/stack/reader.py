"""Stack file to `Stack`: find it, read it, and report every error at once."""

from __future__ import annotations

import contextlib
import difflib
import math
import os
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec

from opsctl.errors import UserError, shown_path
from opsctl.stack.errors import StackError, StackProblem
from opsctl.stack.specs import StackSpec, ThresholdSpec
from opsctl.stack.stack import Stack
from opsctl.stack.validation import check_spec
from opsctl.stack.yaml_reader import MAX_BYTES, Document, read

SHIPPED = Path(__file__).parent.parent / "stacks"


def search_path() -> list[Path]:
    """Return where a stack file is looked for, in order of precedence."""
    paths = [Path("opsctl.yml"), Path("/etc/opsctl/opsctl.yml")]
    with contextlib.suppress(RuntimeError):  # a user without a home directory
        config = Path(os.environ.get("XDG_CONFIG_HOME") or "~/.config").expanduser()
        paths.insert(1, config / "opsctl" / "opsctl.yml")
    return paths


def _there(path: Path, folder: bool = False) -> bool:
    """Return whether a file or folder is there; a place that may not be looked into has none."""
    try:
        return path.is_dir() if folder else path.is_file()
    except OSError:
        return False


def find(name: str | None) -> Path | None:
    """Return the stack file meant by `--stack`, `OPSCTL_STACK` or the search path.

    `name` may be a file, or the name of a shipped stack or of one in /etc/opsctl.

    Raises:
        UserError: a name was given and nothing goes by it.
    """
    if name is not None and not name.strip():
        raise UserError("the name of the stack is empty; leave it out, or name a file or a known stack")
    wanted = name or os.environ.get("OPSCTL_STACK")
    if not wanted:
        return next((path for path in search_path() if _there(path)), None)
    try:
        path = Path(wanted).expanduser()
        if "/" in wanted or path.suffix in (".yml", ".yaml") or path.exists():
            return path
    except (OSError, RuntimeError, ValueError) as error:  # too long, ~nobody, a zero byte
        reason = getattr(error, "strerror", None) or str(error)
        raise UserError(f"no stack file {shown_path(wanted)}: {reason}") from None
    candidates = [folder / f"{wanted}.yml" for folder in (*_folders(), SHIPPED)]
    for candidate in candidates:
        if _there(candidate):
            return candidate
    names = sorted({entry.stem for folder in (*_folders(), SHIPPED) for entry in folder.glob("*.yml")})
    close = difflib.get_close_matches(wanted, names, n=1)
    meant = f"did you mean {close[0]!r}" if close else f"known: {', '.join(names) or 'none'}"
    said = "" if name else " (OPSCTL_STACK)"
    raise UserError(f"no stack named {wanted!r}{said}; {meant}; a file is given as ./FILE.yml")


def known() -> list[tuple[str, Path, bool]]:
    """Return name, file and "is it in force" of every stack file that can be named.

    Raises:
        UserError: OPSCTL_STACK names one that is not there, as any other command would say.
    """
    in_force = find(None)
    if in_force is not None and not _there(in_force):
        load(in_force)  # says why not
    paths = [path for path in search_path() if _there(path)]
    paths += [entry for folder in (*_folders(), SHIPPED) for entry in sorted(folder.glob("*.yml"))]
    paths = list(dict.fromkeys([*([in_force] if in_force else []), *paths]))
    return [(path.stem, path, path == in_force) for path in paths]


def _folders() -> list[Path]:
    return [path.parent for path in search_path()[1:] if _there(path.parent, folder=True)]


def load(path: Path) -> Stack:
    """Read a stack file.

    Raises:
        UserError: the file cannot be opened.
        StackError: it can, and something in it is wrong; every error is listed.
    """
    shown = shown_path(str(path))
    try:
        if not path.is_file():
            kind = "a folder" if path.is_dir() else "not a regular file" if path.exists() else "missing"
            kind = "a link that leads nowhere" if path.is_symlink() and kind == "missing" else kind
            raise UserError(f"stack file {shown} is {kind}; name another with --stack FILE")
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
        folder = path.resolve().parent
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise UserError(f"cannot read stack file {shown}: {reason}") from None
    return parse(data, shown, folder)


def parse(data: bytes, origin: str, directory: Path) -> Stack:
    """Parse stack file bytes.

    Raises:
        StackError: every error found, each with its line.
    """
    document = read(data, origin)
    if document.value is None:
        raise StackError(origin, [StackProblem(1, "the file is empty; `opsctl stack init` writes one")])
    if isinstance(document.value, dict) and not _looks_like_a_stack(document.value):
        known = ", ".join(field.encode_name for field in msgspec.structs.fields(StackSpec))
        raise StackError(origin, [StackProblem(1, f"not a stack file: it has none of the keys {known}")])
    value = check_spec(document, document.value, StackSpec)
    _check_references(document, value)
    try:
        # where name or services are wrong, the rest is still checked
        spec = msgspec.convert({"name": "unnamed", "services": {}, **(value or {})}, StackSpec)
    except msgspec.ValidationError as error:  # a rule that the walk does not know
        raise StackError(origin, document.problems or [StackProblem(1, str(error))]) from None
    _check_meaning(document, spec)
    if document.problems:
        raise StackError(origin, document.problems)
    return Stack(spec, origin, directory)


def _looks_like_a_stack(value: dict[str, Any]) -> bool:
    """Return whether any key of a file is one of a stack file, or nearly so.

    Of a file that is none, nothing is quoted: it may be anything, /etc/shadow too.
    """
    fields = [field.encode_name for field in msgspec.structs.fields(StackSpec)]
    return any(difflib.get_close_matches(str(key), fields, n=1, cutoff=0.8) for key in value)


_ADDRESSES = (
    ("postgres", "dsn"),
    ("redis", "url"),
    ("http", "url"),
    ("telegram", "api_url"),
    ("monitoring", "prometheus"),
    ("monitoring", "alertmanager"),
    ("static", "url"),
)


def _add(document: Document, path: tuple[str | int, ...], message: str) -> None:
    document.problems.append(StackProblem(document.line(path), f"{'.'.join(map(str, path))}: {message}"))


def _check_references(document: Document, value: Any) -> None:
    """Check addresses and `depends_on` in the long form, whatever else is wrong with the file."""
    services = value.get("services") if isinstance(value, dict) else None
    if not isinstance(services, dict):
        return
    for name, service in services.items():
        if not isinstance(service, dict):
            continue
        base = ("services", name)
        parents = service.get("depends_on")
        for parent in [parents] if isinstance(parents, str) else parents or []:
            if isinstance(parent, str) and parent not in services:
                close = difflib.get_close_matches(parent, services, n=1)
                meant = f"; did you mean {close[0]!r}?" if close else ""
                _add(document, (*base, "depends_on"), f"no service named {parent!r}{meant}")
        for key, field in _ADDRESSES:
            items = service.get(key)
            items = items if isinstance(items, list) else []
            for index, item in enumerate(items):
                address = item.get(field) if isinstance(item, dict) else None
                problem = address_problem(address, key) if isinstance(address, str) else ""
                if problem:
                    place = (*base, key, index, field) if len(items) > 1 else (*base, key, field)
                    _add(document, place, problem)


def _check_meaning(document: Document, spec: StackSpec) -> None:
    """Check what types cannot say: names, what needs what, circles, known slugs."""

    def add(path: tuple[str | int, ...], message: str) -> None:
        _add(document, path, message)

    if spec.flow:
        from opsctl.runbooks import flow_names

        if spec.flow not in flow_names():
            add(("flow",), f"no flow named {spec.flow!r}; known: {', '.join(flow_names())}")
    written = document.value if isinstance(document.value, dict) else {}
    services = written.get("services")
    services = services if isinstance(services, dict) else {}
    if not spec.services and written.get("services") == {}:
        add(("services",), "no service; name at least one thing to look at")
    for name, service in spec.services.items():
        base = ("services", name)
        if name == "host":
            add(base, "'host' is the machine itself; call the service something else")
        if not name or "/" in name or any(character.isspace() for character in name):
            add(base, "a service name has no blanks and no '/'")
        if service.container and not written.get("compose"):
            add((*base, "container"), "needs `compose: {project: …}` at the top of the file")
        if service.data and not (services.get(name) or {}).get("postgres"):
            add((*base, "data"), "needs `postgres:` in the same service")
        if any(not (item.prometheus or item.alertmanager) for item in service.monitoring):
            add((*base, "monitoring"), "names neither `prometheus:` nor `alertmanager:`")
    _check_cycles(spec, add)
    _check_slugs(spec, add)


def address_problem(address: str, kind: str) -> str:
    """Return what is wrong with a DSN or URL, or an empty string."""
    schemes = {
        "postgres": ("postgresql", "postgres"),
        "redis": ("redis", "rediss", "unix"),
    }.get(kind, ("http", "https"))
    example = {"postgres": "postgresql://user@127.0.0.1:5432/database"}.get(
        kind, f"{schemes[0]}://127.0.0.1:PORT/"
    )
    try:
        parts = urlsplit(address)
        _ = parts.port
    except ValueError:  # its words may quote a password
        return f"not an address (odd brackets, or a port that is no number); write it as {example}"
    if parts.scheme not in schemes:
        return f"starts with {parts.scheme or 'no scheme'!r}; write it as {example}"
    if parts.password is not None or "password=" in parts.query.lower() or ":" in _before_at(address):
        return "holds a password; take it out and name a variable in password_env (or password_file)"
    if not parts.hostname and parts.scheme not in ("unix", "postgresql", "postgres"):
        return f"names no host; write it as {example}"
    if kind == "postgres" and not parts.path.strip("/"):
        return f"names no database; write it as {example}"
    return ""


def _before_at(address: str) -> str:
    """Return what stands between `//` and the last `@`: user and, perhaps, an oddly written password."""
    rest = address.partition("//")[2]
    return rest.rpartition("@")[0]


def _check_cycles(spec: StackSpec, add: object) -> None:
    state: dict[str, int] = {}
    for start in spec.services:
        trail = [(start, iter(spec.services[start].depends_on))]
        if state.get(start):
            continue
        state[start] = 1
        while trail:
            name, parents = trail[-1]
            parent = next(parents, None)
            if parent is None:
                state[name] = 2
                trail.pop()
            elif state.get(parent) == 1:
                add(("services", name, "depends_on"), f"a circle: {parent} leans on {name} as well")  # type: ignore[operator]
            elif not state.get(parent) and parent in spec.services:
                state[parent] = 1
                trail.append((parent, iter(spec.services[parent].depends_on)))


def _numbers(limits: ThresholdSpec) -> list[float]:
    return [value for value in (limits.warning, limits.critical) if isinstance(value, (int, float))]


def _check_slugs(spec: StackSpec, add: object) -> None:
    from opsctl.checks import all_checks, checks_for
    from opsctl.kinds import KINDS

    for slug in spec.thresholds:
        kind = slug.partition("/")[0]
        # only the kinds that are named: importing every check would cost a tenth of a second
        check = (
            next((item for item in checks_for(kind) if item.slug == slug), None) if kind in KINDS else None
        )
        if check is None:
            close = difflib.get_close_matches(slug, [item.slug for item in all_checks()], n=1)
            meant = f"; did you mean {close[0]!r}?" if close else "; `opsctl checks` lists them"
            add(("thresholds", slug), f"no check named {slug!r}{meant}")  # type: ignore[operator]
        elif not all(math.isfinite(value) for value in _numbers(spec.thresholds[slug])):
            add(("thresholds", slug), "a limit is a finite number; null switches a level off")  # type: ignore[operator]
        elif check.limits is None:
            add(("thresholds", slug), f"{slug} has no thresholds to set")  # type: ignore[operator]
