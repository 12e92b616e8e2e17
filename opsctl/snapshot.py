"""The snapshot as a file: written whole or not at all, read back without loss."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from opsctl.errors import UserError, shown_path
from opsctl.facts import facts_class
from opsctl.files import write_whole
from opsctl.kinds import KINDS
from opsctl.model import Reading, Snapshot

if TYPE_CHECKING:
    from pathlib import Path

    from opsctl.redact import Redactor

SCHEMA = 1
MAX_BYTES = 64 * 1024 * 1024


def to_json(snapshot: Snapshot) -> bytes:
    """Return the snapshot as JSON.

    File names and log lines may hold bytes that are no UTF-8; they become the replacement character.
    """
    try:
        return msgspec.json.encode(snapshot)
    except UnicodeEncodeError:
        return msgspec.json.encode(_sound(msgspec.to_builtins(snapshot)))


def _sound(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, dict):
        return {_sound(key): _sound(item) for key, item in value.items()}
    return [_sound(item) for item in value] if isinstance(value, (list, tuple)) else value


def from_json(data: bytes, origin: str = "snapshot") -> Snapshot:
    """Read a snapshot.

    Raises:
        UserError: cut off, edited, or of another schema; says which.
    """
    try:
        value = msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UserError(
            f"{origin}: not a whole snapshot ({error}); it may have been cut off. "
            "Take a new one with `opsctl snapshot -o FILE`"
        ) from None
    if not isinstance(value, dict) or "schema" not in value:
        raise UserError(f"{origin}: JSON, but no opsctl snapshot (no 'schema')")
    if value["schema"] != SCHEMA:
        raise UserError(
            f"{origin}: snapshot schema {value['schema']!r}; this opsctl reads schema {SCHEMA}. "
            f"Use the opsctl that wrote it ({str(value.get('opsctl_version', 'version unknown'))[:40]})"
        )
    readings = value.get("readings")
    if not isinstance(readings, list):
        raise UserError(f"{origin}: 'readings' is not a list; the file was edited")
    try:
        value["readings"] = []
        snapshot = msgspec.convert(value, Snapshot)
        built = tuple(_reading(item, index) for index, item in enumerate(readings))
    except (msgspec.ValidationError, LookupError, RecursionError) as error:
        raise UserError(f"{origin}: {error}; the file was edited or damaged") from None
    return msgspec.structs.replace(snapshot, readings=built)


def reading_from(item: dict[str, Any]) -> Reading:
    """Return the reading that plain values describe; its facts become the record of their kind.

    Raises:
        LookupError: no such kind.
        msgspec.ValidationError: the values do not fit.
    """
    facts = item.pop("facts", None)
    reading = msgspec.convert(item, Reading)
    if reading.target.kind not in KINDS:
        raise LookupError(f"no kind named {reading.target.kind!r}")
    if facts is None:
        return reading
    return msgspec.structs.replace(reading, facts=msgspec.convert(facts, facts_class(reading.target.kind)))


def _reading(item: Any, index: int) -> Reading:
    if not isinstance(item, dict):
        raise LookupError(f"readings[{index}] is not an object")
    try:
        return reading_from(item)
    except msgspec.ValidationError as error:
        raise LookupError(f"readings[{index}]: {error}") from None


def load(path: Path) -> Snapshot:
    """Read a snapshot file.

    Raises:
        UserError: it cannot be opened or is no snapshot of this schema.
    """
    try:
        if path.exists() and not path.is_file():
            raise UserError(f"snapshot {shown_path(str(path))} is not a file")
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise UserError(f"cannot read snapshot {shown_path(str(path))}: {reason}") from None
    return _loaded(data, shown_path(str(path)))


def load_from_stdin() -> Snapshot:
    """Read a snapshot from stdin.

    Raises:
        UserError: nobody sends one, or it is no snapshot of this schema.
    """
    import sys

    if sys.stdin is None or sys.stdin.isatty():
        raise UserError("stdin is a terminal; pipe a snapshot into it, or name its file")
    return _loaded(sys.stdin.buffer.read(MAX_BYTES + 1), "stdin")


def _loaded(data: bytes, name: str) -> Snapshot:
    if len(data) > MAX_BYTES:
        raise UserError(f"snapshot {name} is larger than {MAX_BYTES} bytes; this is not a snapshot")
    from opsctl.redact import Redactor

    return redacted(from_json(data, name), Redactor())  # an older opsctl may have written it


def save(snapshot: Snapshot, path: Path) -> None:
    """Write a snapshot whole or not at all, readable by its owner only.

    Raises:
        UserError: it could not be written; nothing half-written is left.
    """
    write_whole(path, to_json(snapshot), "snapshot")


def redacted(snapshot: Snapshot, redactor: Redactor) -> Snapshot:
    """Return the snapshot with every text redacted; types are kept."""
    redactor.keep(snapshot.stack.services)  # they join findings to services: no finding may lose its place

    def clean(reading: Reading) -> Reading:
        target = msgspec.structs.replace(redactor.record(reading.target), kind=reading.target.kind)
        return msgspec.structs.replace(
            reading,
            facts=redactor.record(reading.facts),
            problem=redactor.record(reading.problem),
            target=target,
        )

    return msgspec.structs.replace(snapshot, readings=tuple(clean(reading) for reading in snapshot.readings))
