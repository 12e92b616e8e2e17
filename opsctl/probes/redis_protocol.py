"""The protocol of Redis (RESP2) and the errors in it. Pure; `redis_client` brings it to the server.

Our own instead of redis-py, since the probe asks a handful of commands and every process that looks at a
Redis would pay for the library: redis-py 8.1 took 67 to 84 ms to import and 9.8 MiB of resident memory,
the whole probe with this client 19 to 23 ms and 0.3 MiB (Python 3.11).

https://redis.io/docs/latest/develop/reference/protocol-spec/
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

MAX_BYTES = 4 * 1024 * 1024
"""Of one reply. The largest asked for, 64 entries of the slow log, stays below 0.3 MiB: at most 32
arguments of at most 128 bytes each are noted of a command."""
MAX_ITEMS = 50_000
"""Of one reply, with those of arrays in it. The slow log's 64 entries have less than 3,000."""
MAX_DEPTH = 8
"""Of arrays in arrays. The slow log's have 3."""
MAX_LINE = 64 * 1024
"""Of a simple string, an error, a number or a length."""
_LONGEST_NUMBER = 20
"""A 64-bit number with its sign."""
_SHOWN_BYTES = 100


class RedisError(Exception):
    """What comes instead of an answer."""


class NoConnection(RedisError):
    """It could not be made, or it ended; what it was raised from says how."""


class TimedOut(RedisError, TimeoutError):
    """No answer in time."""


class NotRedis(RedisError):
    """What came is no RESP2, or more than a Redis has to say: another program is on the port."""


class ErrorReply(RedisError):
    """An error in the server's words.

    Args:
        words: as they came; the text leaves a code out that the class says.
    """

    def __init__(self, words: str) -> None:
        code, _, rest = words.partition(" ")
        super().__init__(rest if code in _BY_CODE else words)
        self.words = words


class EndingReply(ErrorReply):
    """An error after which there is no point in asking on."""


class AuthenticationError(EndingReply):
    """NOAUTH, WRONGPASS, or their older forms."""


class BusyLoadingError(EndingReply):
    """LOADING: it still reads its data."""


class ClientsExhausted(EndingReply):
    """No slot is left for another client."""


class NoPermissionError(ErrorReply):
    """NOPERM: the user may not run this command."""


class MasterDownError(ErrorReply):
    """MASTERDOWN: a replica that serves nothing without its master."""


class ReadOnlyError(ErrorReply):
    """READONLY: a replica that takes no writes."""


class OutOfMemoryError(ErrorReply):
    """OOM: maxmemory is used up."""


_BY_CODE: dict[str, type[ErrorReply]] = {
    "ERR": ErrorReply,
    "NOAUTH": AuthenticationError,
    "WRONGPASS": AuthenticationError,
    "LOADING": BusyLoadingError,
    "NOPERM": NoPermissionError,
    "MASTERDOWN": MasterDownError,
    "READONLY": ReadOnlyError,
    "OOM": OutOfMemoryError,
}
_BY_WORDS: dict[str, type[ErrorReply]] = {
    "ERR max number of clients reached": ClientsExhausted,
    "ERR invalid password": AuthenticationError,
    "ERR Client sent AUTH, but no password is set": AuthenticationError,
    "ERR AUTH <password> called without any password configured for the default user. "
    "Are you sure your configuration is correct?": AuthenticationError,
}

Reply = str | int | None | ErrorReply | list["Reply"]
"""One answer; text that is not UTF-8 has U+FFFD in the place of what is not."""


def error_reply(words: str) -> ErrorReply:
    """Return the error of an error line, without its `-`."""
    kind = _BY_WORDS.get(words) or _BY_CODE.get(words.partition(" ")[0], ErrorReply)
    return kind(words)


def encoded(commands: Sequence[Sequence[str | int]]) -> bytes:
    """Return commands as they are sent, one after the other."""
    parts: list[bytes] = []
    for command in commands:
        parts.append(b"*%d\r\n" % len(command))
        for word in command:
            data = str(word).encode("utf-8", "surrogateescape")
            parts.append(b"$%d\r\n%b\r\n" % (len(data), data))
    return b"".join(parts)


class Parser:
    """Reads replies out of bytes that come in pieces of any size; never holds more than a reply may have."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._begin_reply()
        self._searched = 0
        self._length = -1  # of the text whose bytes come next

    def _begin_reply(self) -> None:
        self._arrays: list[tuple[int, list[Reply]]] = []  # how many items they will have, and those so far
        self._bytes = self._items = 0

    @property
    def between(self) -> bool:
        """Whether all that came belongs to replies that are complete."""
        return not (self._buffer or self._arrays or self._length >= 0)

    def feed(self, data: bytes) -> list[Reply]:
        """Return the replies that are complete with these bytes.

        Raises:
            NotRedis: these bytes are no RESP2, or too much; the parser is of no use after that.
        """
        self._buffer += data
        replies: list[Reply] = []
        while self._buffer:
            taken = self._text() if self._length >= 0 else self._line()
            if taken is None:
                break
            for reply in taken:
                self._add(reply, replies)
        return replies

    def _text(self) -> tuple[Reply] | None:
        """Take a text of known length and its line end."""
        end = self._length
        if len(self._buffer) < end + 2:
            return None
        if self._buffer[end : end + 2] != b"\r\n":
            raise self._strange()
        text = self._buffer[:end].decode("utf-8", "replace")
        self._take(end + 2)
        self._length = -1
        return (text,)

    def _line(self) -> tuple[Reply] | tuple[()] | None:
        """Take a line: a reply, or what says how long the one to come is."""
        kind = chr(self._buffer[0])
        if kind not in "+-:$*":
            raise self._strange()
        longest = MAX_LINE if kind in "+-" else _LONGEST_NUMBER + 1
        end = self._buffer.find(b"\r\n", max(self._searched - 1, 0))
        if end > longest or (end < 0 and len(self._buffer) > longest + 1):
            raise self._strange()
        if end < 0:
            self._searched = len(self._buffer)
            return None
        if kind in "+-":
            text = self._buffer[1:end].decode("utf-8", "replace")
            self._take(end + 2)
            return (text if kind == "+" else error_reply(text),)
        number = self._number(end)
        if kind == "$" and not -1 <= number <= MAX_BYTES - self._bytes:
            raise self._strange()
        if kind == "*" and not (-1 <= number <= MAX_ITEMS - self._items and len(self._arrays) < MAX_DEPTH):
            raise self._strange()
        self._take(end + 2)
        if kind == ":":
            return (number,)
        if number == -1:
            return (None,)
        if kind == "$":
            self._length = number
            return ()
        if number == 0:
            return ([],)
        self._items += 1
        self._arrays.append((number, []))
        return ()

    def _number(self, end: int) -> int:
        """Return the number of a line."""
        digits = self._buffer[1:end]
        if not digits.removeprefix(b"-").removeprefix(b"+").isdigit():
            raise self._strange()
        return int(digits)

    def _take(self, count: int) -> None:
        self._bytes += count
        if self._bytes > MAX_BYTES + 2:
            raise self._strange()
        del self._buffer[:count]
        self._searched = 0

    def _add(self, reply: Reply, replies: list[Reply]) -> None:
        """Put a reply into the innermost array, and arrays that are full with it into theirs."""
        self._items += 1
        if self._items > MAX_ITEMS:
            raise self._strange()
        while self._arrays:
            wanted, items = self._arrays[-1]
            items.append(reply)
            if len(items) < wanted:
                return
            self._arrays.pop()
            reply = items
        replies.append(reply)
        self._begin_reply()

    def _strange(self) -> NotRedis:
        return NotRedis(f"Protocol Error: {bytes(self._buffer[:_SHOWN_BYTES])!r}")
