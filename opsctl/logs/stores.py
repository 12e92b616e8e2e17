"""Lines as the places that keep logs hand them out: files, journald, the Docker engine. Pure."""

from __future__ import annotations

import json
import struct
from typing import TYPE_CHECKING

from opsctl.logs import times
from opsctl.logs.entries import Line
from opsctl.logs.heads import MAX_LINE

if TYPE_CHECKING:
    from collections.abc import Iterator

_PRIORITIES = {"0": "fatal", "1": "fatal", "2": "fatal", "3": "error", "4": "warning", "7": "debug"}
"""Syslog priorities that say something; 5 and 6 are what all output gets by default."""


def file_lines(data: bytes, known: int | None = None, seen_at: float = 0.0) -> Iterator[Line]:
    """Yield the lines of a file; bytes that are not UTF-8 are replaced.

    Args:
        data: the file's end.
        known: bytes of it that were there at a first look; a line that ends behind them came later.
        seen_at: when such lines were seen to come, which is their time.
    """
    end = -1
    for raw in data.split(b"\n"):
        end += len(raw) + 1
        if raw:
            text = raw[: MAX_LINE * 4].decode("utf-8", "replace").rstrip("\r")
            yield Line(text, seen_at if known is not None and end > known else None)


def json_file_lines(data: bytes) -> Iterator[Line]:
    """Yield the lines of Docker's json-file log, with the engine's times."""
    pieces: dict[str, str] = {}
    for raw in data.split(b"\n"):
        try:
            value = json.loads(raw)
        except (ValueError, RecursionError):
            continue
        if not isinstance(value, dict) or not isinstance(value.get("log"), str):
            continue
        stream = str(value.get("stream", ""))
        text = pieces.pop(stream, "") + value["log"]
        if not text.endswith("\n") and len(text) < MAX_LINE:  # a long line comes in pieces
            pieces[stream] = text
            continue
        moment = times.parse(str(value.get("time", "")))
        yield Line(text.rstrip("\r\n"), moment.seconds if moment else None)


def stream_lines(data: bytes, terminal: bool) -> Iterator[Line]:
    """Yield the lines of the engine's log stream with `timestamps=1`.

    Args:
        data: the body; without a terminal it is in frames of an 8-byte header and a text.
        terminal: whether the container has a terminal, whose stream has no frames.
    """
    plain = data if terminal else b"".join(_frames(data))
    for raw in plain.split(b"\n"):
        if not raw:
            continue
        stamp, _, text = raw[: MAX_LINE * 4].decode("utf-8", "replace").partition(" ")
        moment = times.parse(stamp)
        if moment is None:
            yield Line(f"{stamp} {text}".rstrip("\r"))
        else:
            yield Line(text.rstrip("\r"), moment.seconds)


def _frames(data: bytes) -> Iterator[bytes]:
    position = 0
    while position + 8 <= len(data):
        (length,) = struct.unpack_from(">I", data, position + 4)
        yield data[position + 8 : position + 8 + length]
        position += 8 + length


def journal_lines(output: str) -> list[Line]:
    """Return the lines of `journalctl -o json --reverse`, oldest first, without systemd's own."""
    result: list[Line] = []
    for row in output.splitlines():
        result += reversed(journal_entry(row)[1])
    result.reverse()
    return result


def journal_entry(row: str) -> tuple[str, list[Line]]:
    """Return the cursor and the lines of one entry; no lines of systemd's own, no cursor of what is none."""
    try:
        value = json.loads(row)
    except (ValueError, RecursionError):
        return "", []
    if not isinstance(value, dict):
        return "", []
    cursor = str(value.get("__CURSOR", ""))
    if value.get("SYSLOG_IDENTIFIER") == "systemd":
        return cursor, []
    at = str(value.get("__REALTIME_TIMESTAMP", ""))
    seconds = int(at) / 1e6 if at.isdigit() and len(at) < 20 else None
    level = _PRIORITIES.get(str(value.get("PRIORITY", "")), "")
    return cursor, [Line(line, seconds, level) for line in _message(value.get("MESSAGE")).split("\n")]


def _message(value: object) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, list):  # bytes that are not text
        numbers = [item for item in value if isinstance(item, int) and 0 <= item < 256]
        return bytes(numbers).decode("utf-8", "replace")
    return ""
