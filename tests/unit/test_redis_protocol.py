"""Redis' protocol: replies in pieces of any size, errors in the server's words, bounds for strangers."""

from __future__ import annotations

import itertools
import tracemalloc
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opsctl.probes import redis_protocol
from opsctl.probes.redis_protocol import ErrorReply, NotRedis, Parser, encoded, error_reply

WORDS = st.text(st.characters(exclude_characters="\r\n", exclude_categories=["Cs"]), max_size=20)
ITEMS = st.one_of(
    st.none(),
    st.integers(-(2**63), 2**63 - 1),
    WORDS.map(lambda text: ("+", text)),
    WORDS.map(lambda text: ("-", text)),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=40),
)
REPLIES = st.recursive(ITEMS, lambda inner: st.lists(inner, max_size=5), max_leaves=20)


def written(reply: Any) -> bytes:
    """Write a reply as a server does: written anew here, so that it can disagree with the parser."""
    match reply:
        case None:
            return b"$-1\r\n"
        case int():
            return f":{reply}\r\n".encode()
        case str():
            return b"$" + str(len(reply.encode())).encode() + b"\r\n" + reply.encode() + b"\r\n"
        case tuple():
            return "".join((*reply, "\r\n")).encode()
    return f"*{len(reply)}\r\n".encode() + b"".join(written(item) for item in reply)


def plain(reply: Any) -> Any:
    """Return a reply so that it can be compared."""
    if isinstance(reply, list):
        return [plain(item) for item in reply]
    if isinstance(reply, ErrorReply):
        return ("-", reply.words)
    return reply[1] if isinstance(reply, tuple) and reply[0] == "+" else reply


def depth(reply: Any) -> int:
    return 1 + max(map(depth, reply), default=0) if isinstance(reply, list) else 0


def pieces(data: bytes, cuts: list[int]) -> list[bytes]:
    places = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    return [data[first:last] for first, last in itertools.pairwise(places)]


def outcome(parts: list[bytes]) -> Any:
    """Return the replies, whether more is to come, or that it is no Redis."""
    parser, replies = Parser(), []
    try:
        for part in parts:
            replies += parser.feed(part)
    except NotRedis:
        return "not Redis"
    return plain(replies), parser.between


@given(st.lists(REPLIES.filter(lambda reply: depth(reply) < redis_protocol.MAX_DEPTH), max_size=4), st.data())
def test_any_split_gives_the_same_replies(replies: list[Any], data: st.DataObject) -> None:
    stream = b"".join(map(written, replies))
    cuts = data.draw(st.lists(st.integers(0, len(stream)), max_size=8))
    assert outcome(pieces(stream, cuts)) == ([plain(reply) for reply in replies], True)
    assert outcome([bytes([byte]) for byte in stream]) == ([plain(reply) for reply in replies], True)


@given(
    st.one_of(
        st.binary(max_size=200),
        st.lists(
            st.sampled_from([b"*2\r\n", b"$3\r\n", b":1\r\n", b"+a", b"\r\n", b"-", b"*-1", b"$0", b"x"])
        ).map(b"".join),
    ),
    st.lists(st.integers(0, 200), max_size=8),
)
def test_hostile_bytes_mean_the_same_in_any_split(stream: bytes, cuts: list[int]) -> None:
    assert outcome(pieces(stream, cuts)) == outcome([stream]) == outcome([bytes([byte]) for byte in stream])


@given(REPLIES.filter(lambda reply: depth(reply) < redis_protocol.MAX_DEPTH), st.data())
def test_a_reply_cut_short_is_none_yet(reply: Any, data: st.DataObject) -> None:
    stream = written(reply)
    length = data.draw(st.integers(1, len(stream) - 1))
    assert outcome([stream[:length]]) == ([], False)


@pytest.mark.parametrize(
    "stream",
    [
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.2p1",
        b"\x15\x03\x03\x00\x02\x02F",  # a TLS server that was spoken to in plain
        b"$5\r\nabcdefg",
        b"$99999999999\r\n",
        b"$-2\r\n",
        b"$ 5\r\n",
        b"$1_0\r\n",
        b":--1\r\n",
        b":\r\n",
        b":" + b"1" * 30,
        b"*99999999\r\n",
        b"*1\r\n" * 100,
        b"%1\r\n",  # RESP3, which was not asked for
        b"+" + b"x" * (redis_protocol.MAX_LINE + 2),
    ],
)
def test_what_no_redis_says(stream: bytes) -> None:
    with pytest.raises(NotRedis, match="Protocol Error: b'") as caught:
        Parser().feed(stream)
    assert len(str(caught.value)) < 500


def feed_for_ever(parser: Parser, first: bytes, block: bytes) -> None:
    parser.feed(first)
    for _ in range(100_000):
        assert parser.feed(block) == []


@pytest.mark.parametrize(
    ("first", "block"),
    [
        (b"*50000\r\n", b"*0\r\n" * 1000),
        (b"*50000\r\n", b"*1\r\n*1\r\n*1\r\n:1\r\n" * 1000),
        (b"*50000\r\n", b"$4000\r\n" + b"x" * 4000 + b"\r\n"),
        (b"", b"*9000\r\n"),
        (b"$4194304\r\n", b"x" * 64 * 1024),
        (b"+", b"x" * 1000),
        (b"-", b"x" * 1000),
    ],
)
def test_no_stream_takes_much_memory(first: bytes, block: bytes) -> None:
    parser = Parser()
    tracemalloc.start()
    try:
        with pytest.raises(NotRedis):
            feed_for_ever(parser, first, block)
        assert tracemalloc.get_traced_memory()[1] < 4 * redis_protocol.MAX_BYTES
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("words", "name", "text"),
    [
        ("NOAUTH Authentication required.", "AuthenticationError", "Authentication required."),
        ("WRONGPASS invalid username-password pair or user is disabled.", "AuthenticationError", None),
        ("ERR invalid password", "AuthenticationError", "invalid password"),
        ("ERR Client sent AUTH, but no password is set", "AuthenticationError", None),
        (
            "ERR AUTH <password> called without any password configured for the default user. "
            "Are you sure your configuration is correct?",
            "AuthenticationError",
            None,
        ),
        ("NOPERM this user has no permissions to run the 'info' command", "NoPermissionError", None),
        ("LOADING Redis is loading the dataset in memory", "BusyLoadingError", None),
        ("MASTERDOWN Link with MASTER is down", "MasterDownError", None),
        ("READONLY You can't write against a read only replica.", "ReadOnlyError", None),
        ("OOM command not allowed when used memory > 'maxmemory'.", "OutOfMemoryError", None),
        ("ERR max number of clients reached", "ClientsExhausted", "max number of clients reached"),
        ("ERR unknown command 'X'", "ErrorReply", "unknown command 'X'"),
        ("BUSY Redis is busy running a script.", "ErrorReply", "BUSY Redis is busy running a script."),
        (
            "DENIED Redis is running in protected mode",
            "ErrorReply",
            "DENIED Redis is running in protected mode",
        ),
        ("", "ErrorReply", ""),
    ],
)
def test_errors_keep_the_words_and_have_a_class(words: str, name: str, text: str | None) -> None:
    error = error_reply(words)
    assert type(error).__name__ == name
    assert error.words == words
    assert str(error) == (words.partition(" ")[2] if text is None else text)
    (read,) = Parser().feed(f"-{words}\r\n".encode())
    assert isinstance(read, ErrorReply)
    assert read.words == words


@given(st.sampled_from(["", "ERR ", "NOAUTH ", "NOPERM ", "LOADING ", "MISCONF ", "DENIED ", "OOM "]), WORDS)
def test_errors_read_as_in_a_well_known_library(code: str, words: str) -> None:
    from redis._parsers.base import BaseParser

    parse: Any = BaseParser.parse_error
    assert str(error_reply(f"{code}this {words}")) == str(parse(f"{code}this {words}"))


@given(
    st.lists(
        st.lists(st.one_of(st.text(st.characters(exclude_categories=["Cs"])), st.integers()), min_size=1)
    )
)
def test_commands_are_read_back_as_they_were_given(commands: list[list[str | int]]) -> None:
    assert Parser().feed(encoded(commands)) == [[str(word) for word in command] for command in commands]
