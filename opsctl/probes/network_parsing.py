"""Reading what firewalls, the Docker engine and servers say about ports. Pure."""

from __future__ import annotations

import re

IN_USE = re.compile(
    r"(?i)address already in use|EADDRINUSE|Errno 98\b|failed \(98\b|port is already allocated"
    r"|only one usage of each socket address"
)
"""What a server says that could not take its port."""

_PORT = re.compile(r"(?:[:\s(']|port[\s=:]{1,3})(\d{2,5})\b")
_NFT_CHAIN = re.compile(r"^\s*chain\s+\S+\s*\{")
_NFT_INPUT = re.compile(r"hook\s+input\b")


def nftables_filters_input(ruleset: str) -> bool:
    """Return whether `nft list ruleset` has an input chain that refuses something."""
    inside, is_input = False, False
    for line in ruleset.splitlines():
        if _NFT_CHAIN.match(line):
            inside, is_input = True, False
        elif line.strip() == "}":
            inside, is_input = False, False
        elif inside:
            is_input = is_input or bool(_NFT_INPUT.search(line))
            refuses = re.search(r"policy\s+drop|\bdrop\b|\breject\b|\bjump\s+ufw", line)
            if is_input and refuses:
                return True
    return False


def iptables_filters_input(rules: str) -> bool:
    """Return whether `iptables -S INPUT` refuses something."""
    for line in rules.splitlines():
        words = line.split()
        if words[:2] == ["-P", "INPUT"] and words[2:3] in (["DROP"], ["REJECT"]):
            return True
        if words[:2] == ["-A", "INPUT"] and ("DROP" in words or "REJECT" in words):
            return True
    return False


def ports_in_use(text: str) -> list[tuple[int, str]]:
    """Return (port, line) for every line that says that a port could not be taken.

    The port is 0 where the line does not name one (Python's `[Errno 98] Address already in use`).
    """
    found: list[tuple[int, str]] = []
    for line in text.splitlines():
        if not IN_USE.search(line):
            continue
        rest = IN_USE.sub(" ", line)
        ports = [int(number) for number in _PORT.findall(rest) if 0 < int(number) < 65536]
        found.append((ports[-1] if ports else 0, line.strip()[:300]))
    return found
