"""Stack files: those that can be named, and what one of them has looked at."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from opsctl.render.page import Page

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from opsctl.stack.stack import Stack


def listing(
    rows: Sequence[tuple[str, Path, bool]], output: str, color: bool = False, width: int | None = None
) -> str:
    """Return the stack files in a format: text, json, yaml or markdown."""
    if output in ("json", "yaml"):
        from opsctl.render.diagnosis import data

        plain = [{"name": name, "file": str(path), "in_force": used} for name, path, used in rows]
        return data(plain, output)
    cells = [(name, "in force" if used else "", str(path)) for name, path, used in rows]
    if output == "markdown":
        from opsctl.render.markdown import code, table

        return (
            table(("stack", "", "file"), [(code(name), used, code(path)) for name, used, path in cells])
            + "\n"
        )
    page = Page(width, color)
    page.table(("STACK", "", "FILE"), cells)
    if not any(used for _, _, used in rows):
        page.gap()
        page.wrapped("", "None is in force: this machine is discovered. Use one with --stack NAME.")
    return page.text()


def shown(stack: Stack, output: str, color: bool = False, width: int | None = None) -> str:
    """Return a stack's targets in a format: text, json, yaml or markdown."""
    from opsctl.stack.targets import assignments

    targets = [item.target for item in assignments(stack)]
    services: dict[str, Any] = {
        name: {
            "container": service.container,
            "unit": service.unit,
            "replicas": service.replicas,
            "depends_on": list(service.depends_on),
        }
        for name, service in stack.spec.services.items()
    }
    if output in ("json", "yaml"):
        from opsctl.render.diagnosis import data

        plain = {
            "name": stack.name,
            "file": stack.origin,
            "flow": stack.flow,
            "services": services,
            "targets": [
                {"id": target.id, "service": target.service, "kind": target.kind, "address": target.address}
                for target in targets
            ],
            "notes": list(stack.notes),
        }
        return data(plain, output)
    if output == "markdown":
        from opsctl.render.markdown import code, inline, table

        rows = [(code(target.id), target.kind, inline(target.address)) for target in targets]
        return f"# {inline(stack.name)}\n\n{table(('target', 'kind', 'address'), rows)}\n"
    page = Page(width, color)
    page.wrapped("", f"{stack.name}: {stack.origin} (entry tree: {stack.flow})")
    page.gap()
    page.table(
        ("SERVICE", "RUNS AS", "LEANS ON"),
        [(name, _runs_as(service), ", ".join(service["depends_on"])) for name, service in services.items()],
        wrap=(2,),
    )
    page.gap()
    page.table(
        ("TARGET", "ADDRESS"),
        [(target.id, "" if target.address in target.id else target.address) for target in targets],
    )
    for note in stack.notes:
        page.gap()
        page.wrapped("note: ", note)
    page.gap()
    page.line(f"{len(services)} services, {len(targets)} targets")
    return page.text()


def _runs_as(service: dict[str, Any]) -> str:
    if service["unit"]:
        return f"unit {service['unit']}"
    if service["container"]:
        many = f" ×{service['replicas']}" if service["replicas"] > 1 else ""
        return f"container {service['container']}{many}"
    return ""
