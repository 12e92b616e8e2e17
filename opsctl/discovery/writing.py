"""A stack as the text of a stack file, with comments that say what to fill in. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from opsctl.stack.specs import Spec

if TYPE_CHECKING:
    from opsctl.stack.stack import Stack

_HEAD = """\
# What opsctl found on this machine. Everything below is a proposal: read it, correct it.
#   opsctl stack validate FILE    checks it, every error with its line
#   opsctl stack show FILE        lists what will be looked at
#   opsctl diagnose --stack FILE
# `opsctl stack schema --markdown` prints the reference of all keys, without it the JSON Schema.
# Secrets do not belong here: name a variable in `*_env` or a file in `*_file`.
"""
_DEPENDS = (
    "depends_on decides what explains what; where nothing declared it, it was guessed:\n"
    "# correct it there, and take depends_on_guessed out"
)
_HINTS = {
    "guessed": "the login is a guess: name the user, and the variable of the password in password_env",
    "http": "better a page that checks what the service leans on, such as /health",
}


def stack_file_text(stack: Stack) -> str:
    """Return the text of a stack file that means this stack."""
    spec = stack.spec
    lines = [_HEAD.rstrip(), *(f"# Note: {note}" for note in stack.notes)]
    lines += _yaml({"name": spec.name, "flow": stack.flow})
    if spec.compose is not None:
        lines += _yaml({"compose": _plain(spec.compose)})
    lines += ["", f"# {_DEPENDS}", "services:"]
    for name, service in spec.services.items():
        values = _plain(service)
        lines += [f"  {line}" for line in _yaml({name: values or None})]
        guessed = any(getattr(item, "guessed", False) for item in (*service.postgres, *service.redis))
        comments = [_HINTS["guessed"]] if guessed else []
        comments += [_HINTS["http"]] if service.http else []
        lines += [f"    # {comment}" for comment in comments]
        lines.append("")
    lines += [
        "# host: {filesystems: [/], closed_ports: [5432, 6379], names: [example.com]}",
        "# prometheus: http://127.0.0.1:9090",
        "# thresholds: {host/disk-full: {warning: 0.8}}",
    ]
    return "\n".join(lines) + "\n"


def _yaml(value: Any) -> list[str]:
    import yaml

    text = yaml.dump(value, Dumper=yaml.CSafeDumper, sort_keys=False, allow_unicode=True, width=1000)
    return str(text).rstrip("\n").splitlines()


def _plain(spec: Spec) -> dict[str, Any]:
    """Return a record without what is at its default; one item stands for a list of one."""
    result: dict[str, Any] = {}
    for field in msgspec.structs.fields(spec):
        value = getattr(spec, field.name)
        default = (
            field.default_factory()
            if field.default is msgspec.NODEFAULT and not field.required
            else field.default
        )
        if value == default:
            continue
        if isinstance(value, Spec):
            value = _plain(value)
        elif isinstance(value, list) and value and isinstance(value[0], Spec):
            items = [_plain(item) for item in value]
            value = items[0] if len(items) == 1 else items
        result[field.encode_name] = value
    return result
