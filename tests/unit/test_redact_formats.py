"""Every case of the redaction table, in every format that a person or a program reads."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from opsctl.diagnose import diagnose
from opsctl.health import health
from opsctl.judge import judge
from opsctl.logs.analysis import Analysis
from opsctl.logs.stores import file_lines
from opsctl.model import Diagnosis, Snapshot
from opsctl.redact import Redactor
from opsctl.render import diagnosis as diagnosis_render
from opsctl.render import health as health_render
from opsctl.render.junit import findings_junit
from opsctl.snapshot import load, redacted, to_json
from tests.unit.redact_cases import cases, planted
from tests.unit.snapshots import redis, snapshot

FORMATS = ("text", "json", "yaml", "markdown", "junit", "nagios")
REDACT, KEEP = cases("must_redact"), cases("must_keep")


def plain(text: str) -> str:
    """Return the letters and digits of a text: formats differ in breaks, quotes and escapes."""
    return "".join(character for character in text if character.isalnum())


def replayed(texts: list[str], folder: Path) -> Snapshot:
    """Return a snapshot whose targets say these words, saved without redaction and read back."""
    taken = snapshot({f"s{index}/redis": redis("refused", text) for index, text in enumerate(texts)})
    (folder / "old.json").write_bytes(to_json(taken))
    return load(folder / "old.json")


def shown(taken: Snapshot, diagnosis: Diagnosis, output: str) -> str:
    """Return what both reports say in a format."""
    if output == "junit":
        both = findings_junit("shop", judge(taken), 1.0)
        return both + diagnosis_render.render(diagnosis, output)
    return diagnosis_render.render(diagnosis, output, width=100) + health_render.render(
        health(taken), output, width=100
    )


def groups(texts: list[str]) -> list[list[str]]:
    """Return the texts a few at a time: more has no room in one line of Nagios."""
    return [texts[start : start + 7] for start in range(0, len(texts), 7)]


def unescaped(text: str) -> str:
    """Return a text without the escapes of XML, Markdown and JSON."""
    import html

    return html.unescape(text).replace("\\u0026", "&").replace("\\n", "\n")


def test_no_format_of_a_replay_shows_what_must_be_redacted(tmp_path: Path) -> None:
    for forms in groups(REDACT):
        taken = replayed([planted(form) for form in forms], tmp_path)
        diagnosis = diagnose(taken)
        for output in FORMATS:
            text = shown(taken, diagnosis, output)
            assert "CANARY" not in text, (output, forms)
            assert "redacted" in text


def test_every_format_shows_what_must_stay_readable(tmp_path: Path) -> None:
    for texts in groups(KEEP):
        taken = replayed(texts, tmp_path)
        diagnosis = diagnose(taken)
        for output in FORMATS:
            said = plain(unescaped(shown(taken, diagnosis, output)))
            assert [text for text in texts if plain(text) not in said] == [], output


def test_no_snapshot_holds_what_must_be_redacted() -> None:
    taken = snapshot({f"s{i}/redis": redis("refused", planted(form)) for i, form in enumerate(REDACT)})
    text = to_json(redacted(taken, Redactor())).decode()
    assert "CANARY" not in text
    kept = snapshot({f"s{i}/redis": redis("refused", form) for i, form in enumerate(KEEP)})
    assert json.loads(to_json(redacted(kept, Redactor()))) == json.loads(to_json(kept))


@pytest.mark.parametrize("form", REDACT)
def test_no_evidence_of_a_log_shows_what_must_be_redacted(form: str) -> None:
    analysis = Analysis("plain", 1_763_697_600.0, Redactor().text)
    lines = "".join(f"2025-11-21 03:59:{at:02d} ERROR worker: {planted(form)}\n" for at in (10, 20))
    analysis.add(file_lines(lines.encode()))
    assert "CANARY" not in repr(analysis.values())
