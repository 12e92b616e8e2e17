"""nginx: "no live upstreams" says what the failures before it say."""

from __future__ import annotations

import pytest

from opsctl.probes.nginx_logs import error_lines, grouped

AT = 1_790_000_000.0
REFUSED = "connect() failed (111: Connection refused) while connecting to upstream"
SILENT = "upstream timed out (110: Connection timed out) while reading response header from upstream"
NO_LIVE = "no live upstreams while connecting to upstream"


def classes(*words: str) -> dict[str, int]:
    """Return how many lines of each class a log with these messages has."""
    line = '2026/09/21 14:13:{:02d} [error] 7#7: *{} {}, client: 10.0.0.9, upstream: "http://app/"'
    text = "".join(f"{line.format(number, number, said)}\n" for number, said in enumerate(words))
    return {item.name: item.count for item in grouped(error_lines(text, 0, AT), None)}


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        ((SILENT, SILENT, NO_LIVE, NO_LIVE), {"upstream-timeout": 4}),
        ((REFUSED, NO_LIVE), {"upstream-refused": 2}),
        ((SILENT, REFUSED, NO_LIVE), {"upstream-timeout": 1, "upstream-refused": 2}),
        ((NO_LIVE,), {"upstream-refused": 1}),
    ],
)
def test_servers_that_were_passed_over(words: tuple[str, ...], wanted: dict[str, int]) -> None:
    assert classes(*words) == wanted
