"""Reading nginx's configuration language as far as opsctl needs it. Pure; never raises.

It is tolerant: whether the files are right is nginx's own business (`nginx -t`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

MAX_FILES = 200
MAX_DIRECTIVES = 50_000
MAX_DEPTH = 50

_TOKEN = re.compile(
    r"""\s+|\#[^\n]*|(?P<mark>[{};])"""
    r"""|(?P<quoted>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')"""
    r"""|(?P<word>(?:\$\{[^}\s]*\}|\\.|[^\s{};"'\\]|(?<=[^\s{};])["'])+)|.""",
    re.S,
)
_IP_ADDRESS = re.compile(r"[0-9.]+|\[[0-9a-fA-F:.]+\]")
_PASSES = ("proxy_pass", "fastcgi_pass", "uwsgi_pass", "scgi_pass", "grpc_pass")


@dataclass(frozen=True, slots=True)
class Directive:
    """One directive with the blocks around it, outermost first."""

    name: str
    arguments: tuple[str, ...]
    blocks: tuple[tuple[str, ...], ...] = ()
    file: str = ""


@dataclass(frozen=True, slots=True)
class Server:
    """One address that requests are passed to, and the upstream block it stands in, or itself."""

    address: str
    group: str


def parse(text: str, file: str = "", blocks: tuple[tuple[str, ...], ...] = ()) -> Iterator[Directive]:
    """Yield every directive of one file, those with a block before what is in it."""
    words: list[str] = []
    stack = list(blocks)
    count = 0
    for match in _TOKEN.finditer(text):
        mark = match.group("mark")
        if match.group("word"):
            words.append(match.group("word"))
        elif match.group("quoted"):
            words.append(re.sub(r"\\(.)", r"\1", match.group("quoted")[1:-1]))
        elif mark:
            if words and count < MAX_DIRECTIVES:
                count += 1
                yield Directive(words[0], tuple(words[1:]), tuple(stack), file)
            if mark == "{" and len(stack) < MAX_DEPTH:
                stack.append(tuple(words))
            elif mark == "}" and len(stack) > len(blocks):
                stack.pop()
            words = []


def read_all(
    main: str, prefix: str, read: Callable[[str], str | None], expand: Callable[[str], list[str]]
) -> tuple[list[Directive], list[str], list[str]]:
    """Return the directives of a configuration with its includes, the files read, those not readable.

    Args:
        main: the main file.
        prefix: folder that relative includes are relative to.
        read: gives a file's text, None where it cannot be read.
        expand: gives the files that a shell pattern names.
    """
    directives: list[Directive] = []
    files: list[str] = []
    unread: list[str] = []

    def one(file: str, blocks: tuple[tuple[str, ...], ...], depth: int) -> None:
        if len(files) >= MAX_FILES or depth > 10:
            return
        text = read(file)
        if text is None:
            unread.append(file)
            return
        files.append(file)
        for directive in parse(text, file, blocks):
            directives.append(directive)
            if directive.name == "include" and directive.arguments:
                pattern = directive.arguments[0]
                absolute = pattern if pattern.startswith("/") else f"{prefix.rstrip('/')}/{pattern}"
                for name in expand(absolute):
                    if name not in files:
                        one(name, directive.blocks, depth + 1)

    one(main, (), 0)
    return directives, files, unread


def first_value(directives: Iterable[Directive], name: str) -> str:
    """Return the first argument of the first directive of that name, or an empty string."""
    return next((item.arguments[0] for item in directives if item.name == name and item.arguments), "")


def log_paths(directives: Iterable[Directive], name: str) -> list[str]:
    """Return the files that `access_log` or `error_log` name, each once; not syslog, pipes or variables."""
    paths = [item.arguments[0] for item in directives if item.name == name and item.arguments]
    return list(
        dict.fromkeys(
            path
            for path in paths
            if path.startswith("/") and "$" not in path and not path.startswith(("/dev/", "/proc/"))
        )
    )


def speaks_proxy_protocol(directives: Iterable[Directive]) -> bool:
    """Return whether some listener wants the PROXY protocol and so refuses plain requests."""
    return any(item.name == "listen" and "proxy_protocol" in item.arguments for item in directives)


def connection_limit(directives: Iterable[Directive], processors: int) -> int:
    """Return worker_processes times worker_connections with nginx's own defaults (1 and 512)."""
    items = list(directives)
    processes, connections = first_value(items, "worker_processes"), first_value(items, "worker_connections")
    number = processors if processes == "auto" else int(processes) if _small_number(processes) else 1
    return max(number, 1) * (int(connections) if _small_number(connections) else 512)


def _small_number(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) < 9


def servers(directives: Iterable[Directive]) -> list[Server]:
    """Return every server that requests are passed to: host:port or a socket's path.

    Servers marked `down` or `backup` are left out, and so are addresses made of variables.
    """
    items = list(directives)
    groups: dict[str, list[str]] = {}
    for item in items:
        block = item.blocks[-1] if item.blocks else ()
        if item.name == "server" and item.arguments and len(block) == 2 and block[0] == "upstream":
            members = groups.setdefault(block[1], [])
            if not {"down", "backup"} & set(item.arguments):
                members.append(_address(item.arguments[0], 80))
    found: dict[tuple[str, str], Server] = {}
    for item in items:
        if item.name not in _PASSES or not item.arguments or "$" in item.arguments[0]:
            continue
        scheme, separator, rest = item.arguments[0].partition("://")
        target = rest if separator else item.arguments[0]
        host = target if target.startswith("unix:") else target.partition("/")[0]
        members = groups.get(host, [_address(target if target.startswith("unix:") else host, _port(scheme))])
        for address in members:
            if address:
                group = host if host in groups else address
                found[address, group] = Server(address, group)
    return list(found.values())


def may_pass_to(directives: Iterable[Directive], address: str) -> bool:
    """Return whether requests may go to an address that the error log names.

    Only where it certainly is none of the servers, no: with variables anything is possible, and a host
    name stands for any address with its port.
    """
    items = list(directives)
    if any(item.name in _PASSES and item.arguments and "$" in item.arguments[0] for item in items):
        return True
    groups = {
        item.blocks[-1][1]: item
        for item in items
        if item.name == "server"
        and item.blocks
        and len(item.blocks[-1]) == 2
        and item.blocks[-1][0] == "upstream"
    }
    if address in groups:
        return True
    named = [
        _address(item.arguments[0], 80)
        for item in items
        if item.name == "server" and item.arguments and item.blocks and item.blocks[-1][0] == "upstream"
    ]
    named += [server.address for server in servers(items)]
    return any(_may_be(name, address) for name in named)


def _may_be(named: str, address: str) -> bool:
    if named == address:
        return True
    host, _, port = named.rpartition(":")
    if named.startswith("/") or port != address.rpartition(":")[2]:
        return False
    if host == "localhost":
        return address.rpartition(":")[0] in ("127.0.0.1", "[::1]")
    return not _IP_ADDRESS.fullmatch(host)


def _port(scheme: str) -> int:
    return 443 if scheme in ("https", "grpcs") else 80


def _address(text: str, port: int) -> str:
    if text.startswith("unix:"):
        return text[5:].partition(":")[0]
    if "$" in text or not text:
        return ""
    host, separator, digits = text.rpartition(":")
    if separator and digits.isdecimal() and (":" not in host or host.endswith("]")):
        return text
    return f"{text}:{port}"
