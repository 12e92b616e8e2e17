"""A diagnosis in the format that was asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from opsctl.model import Diagnosis


def render(
    diagnosis: Diagnosis,
    output: str,
    color: bool = False,
    width: int | None = None,
    stack_argument: str = "",
) -> str:
    """Return the diagnosis as text that ends with a newline.

    Args:
        diagnosis: what to show.
        output: text, json, yaml, markdown, junit or nagios.
        color: whether text may hold colour codes.
        width: columns of text; the terminal's by default, 80 without one.
        stack_argument: added to the `opsctl verify` commands shown, so that they mean the same stack.
    """
    if output == "text":
        from opsctl.render.text import diagnosis_text

        return diagnosis_text(diagnosis, color, width, stack_argument)
    if output == "markdown":
        from opsctl.render.markdown import diagnosis_markdown

        return diagnosis_markdown(diagnosis, stack_argument)
    if output == "junit":
        from opsctl.render.junit import findings_junit

        return findings_junit(diagnosis.stack, diagnosis.findings, diagnosis.duration_seconds)
    if output == "nagios":
        from opsctl.render.nagios import diagnosis_nagios

        return diagnosis_nagios(diagnosis)
    from opsctl.render.plain import diagnosis_plain

    return data(diagnosis_plain(diagnosis, stack_argument), output)


def data(value: object, output: str) -> str:
    """Return plain values as JSON or YAML."""
    if output == "yaml":
        from opsctl.render.yaml import to_yaml

        return to_yaml(value)
    from opsctl.render.json import to_json

    return to_json(value)
