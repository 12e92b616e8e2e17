"""A diagnosis in the format that was asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from opsctl.model import Diagnosis


def render(diagnosis: Diagnosis, output: str, color: bool = False, width: int | None = None) -> str:
    """Return the diagnosis as text that ends with a newline.

    Args:
        diagnosis: what to show.
        output: text, json, yaml, markdown, junit or nagios.
        color: whether text may hold colour codes.
        width: columns of text; the terminal's by default, 80 without one.
    """
    if output == "json":
        from opsctl.render.json import diagnosis_json

        return diagnosis_json(diagnosis)
    if output == "yaml":
        from opsctl.render.plain import diagnosis_plain
        from opsctl.render.yaml import to_yaml

        return to_yaml(diagnosis_plain(diagnosis))
    if output == "markdown":
        from opsctl.render.markdown import diagnosis_markdown

        return diagnosis_markdown(diagnosis)
    if output == "junit":
        from opsctl.render.junit import findings_junit

        return findings_junit(diagnosis.stack, diagnosis.findings, diagnosis.duration_seconds)
    if output == "nagios":
        from opsctl.render.nagios import diagnosis_nagios

        return diagnosis_nagios(diagnosis)
    from opsctl.render.text import diagnosis_text

    return diagnosis_text(diagnosis, color, width)
