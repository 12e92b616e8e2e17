"""The catalogue of faults, grouped by kind."""

from __future__ import annotations

import importlib
import pkgutil

from tests.lab.faults.base import FAULTS, Fault


def all_faults() -> list[Fault]:
    """Return every fault, in the order of the files and of the functions in them."""
    if not FAULTS:
        for module in sorted(item.name for item in pkgutil.iter_modules(__path__)):
            if module != "base":
                importlib.import_module(f"{__name__}.{module}")
    return sorted(FAULTS, key=lambda fault: fault.system)
