"""JSON output."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from opsctl.render.plain import diagnosis_plain

if TYPE_CHECKING:
    from opsctl.model import Diagnosis


def to_json(value: Any) -> str:
    """Return plain values as indented JSON with a final newline."""
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"


def diagnosis_json(diagnosis: Diagnosis) -> str:
    """Return a diagnosis as JSON."""
    return to_json(diagnosis_plain(diagnosis))
