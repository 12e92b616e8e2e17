"""Containers of a Compose service: do they run, are they well, do they match the compose file.

The checks stand in one file per question; importing them registers them, in this order.
"""

from __future__ import annotations

from opsctl.checks import container_state  # isort: skip
from opsctl.checks import container_memory  # isort: skip
from opsctl.checks import container_health  # isort: skip
from opsctl.checks import container_drift  # isort: skip

__all__ = ["container_drift", "container_health", "container_memory", "container_state"]
