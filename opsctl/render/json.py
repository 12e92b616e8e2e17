"""JSON output: always valid, whatever the facts hold."""

from __future__ import annotations

import json
import math
from typing import Any


def to_json(value: Any) -> str:
    """Return plain values as indented JSON with a final newline.

    JSON knows no NaN and no infinity: they become null. Lone surrogates, which UTF-8 cannot
    carry, become the replacement character.
    """
    return json.dumps(_sound(value), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _sound(value: Any) -> Any:
    if isinstance(value, str):
        return value if value.isascii() else value.encode("utf-8", "replace").decode("utf-8")
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {_sound(key): _sound(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_sound(item) for item in value]
    return value
