"""Facts: one typed record per kind of target; every numeric field declares its metric."""

from __future__ import annotations

import functools
import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from opsctl.facts.base import Facts


@functools.cache
def facts_class(kind: str) -> type[Facts]:
    """Return the facts record of a kind.

    Raises:
        LookupError: no kind of that name, or its module declares no facts record.
    """
    from opsctl.facts.base import Facts
    from opsctl.kinds import KINDS

    if kind not in KINDS:
        raise LookupError(f"no kind named {kind!r}")
    module = importlib.import_module(f"opsctl.facts.{kind}")
    for value in vars(module).values():
        if isinstance(value, type) and issubclass(value, Facts) and value.__struct_config__.tag == kind:
            return value
    raise LookupError(f"opsctl/facts/{kind}.py declares no facts tagged {kind!r}")
