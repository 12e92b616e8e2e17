"""What is made of the first bytes of a stranger."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from opsctl.probes.stranger import MAX_TEXT, words_of


def test_the_first_line_with_words_is_what_it_said() -> None:
    assert words_of(b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n\x00\x01") == "SSH-2.0-OpenSSH_9.2p1 Debian-2"
    assert words_of(b"\r\n\r\nHTTP/1.0 400 Bad Request\r\nServer: x\r\n") == "HTTP/1.0 400 Bad Request"
    assert words_of(b"J\x00\x00\x00\n8.0.36\x00") == "J"
    assert words_of(b"") == ""
    assert words_of(b"\x00\x01\x02") == ""


@given(st.binary(max_size=2000))
def test_any_bytes_become_a_short_printable_line(data: bytes) -> None:
    said = words_of(data)
    assert len(said) <= MAX_TEXT
    assert said.isprintable()
    assert said.isascii()
