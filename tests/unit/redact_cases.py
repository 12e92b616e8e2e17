"""The table of what must be redacted and what must stay readable: tests/unit/data/redact/*.txt."""

from __future__ import annotations

from pathlib import Path

CANARY = "Zq7CANARYx9K2v"
_FOLDER = Path(__file__).parent / "data" / "redact"


def cases(name: str) -> list[str]:
    """Return the texts of a table, in its order."""
    lines = (_FOLDER / f"{name}.txt").read_text().splitlines()
    return [line.replace("\\n", "\n") for line in lines if line and not line.startswith("# ")]


def planted(form: str, secret: str = CANARY) -> str:
    """Return a text of the table with a secret in its place."""
    return form.format(secret) if form.count("{}") < 2 else form.format(*[secret] * form.count("{}"))
