"""YAML output."""

from __future__ import annotations

from typing import Any

import yaml

from opsctl.render.page import printable


def to_yaml(value: Any) -> str:
    """Return plain values as YAML, keys in the order in which they are given."""
    plain = _plain(value)
    return str(yaml.dump(plain, Dumper=yaml.CSafeDumper, sort_keys=False, allow_unicode=True, width=100))


def _plain(value: Any) -> Any:
    """Return the value with tuples as lists and without characters that YAML cannot hold."""
    if isinstance(value, str):
        return printable(value)
    if isinstance(value, dict):
        return {_plain(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value
