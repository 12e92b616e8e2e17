"""Building findings and small stacks for tests of judging, ranking and walking."""

from __future__ import annotations

from collections.abc import Mapping

from opsctl.explanations import Explanations
from opsctl.model import Finding, ServiceSummary, Status, Target
from opsctl.runbooks import Explains, Runbook


def finding(
    slug: str,
    target: str,
    status: str = "critical",
    subject: str = "",
    summary: str = "",
    code: str = "",
) -> Finding:
    """Return a finding; its target id is `target/kind`."""
    kind = slug.partition("/")[0]
    return Finding(
        id=slug,
        target=target,
        target_id=f"{target}/{kind}",
        status=Status(status),
        summary=summary or f"{slug} is {status}",
        subject=subject,
        code=code,
    )


def services(**parents: list[str]) -> dict[str, ServiceSummary]:
    """Return services by name with what each leans on."""
    return {name: ServiceSummary(depends_on=tuple(names)) for name, names in parents.items()}


def explanations(
    stack: Mapping[str, ServiceSummary],
    rules: Mapping[str, Mapping[str, list[str]]],
    targets: Mapping[str, Target] | None = None,
    even_as_warning: tuple[str, ...] = (),
    passes_to: Mapping[str, set[str]] | None = None,
    mounts: tuple[str, ...] = (),
) -> Explanations:
    """Return explanations from `{slug: {scope: [patterns]}}`."""
    runbooks = {
        slug: Runbook(
            slug=slug,
            severity="critical",
            flow="x",
            explains=Explains(**scopes),
            even_as_warning=slug in even_as_warning,
        )
        for slug, scopes in rules.items()
    }
    return Explanations(stack, targets or {}, runbooks, passes_to, mounts)
