"""The systems of the lab by name."""

from __future__ import annotations

from tests.lab.stacks.base import System
from tests.lab.stacks.flurai import Flurai
from tests.lab.stacks.freemarket import Freemarket
from tests.lab.stacks.iiko_base import IikoBase
from tests.lab.stacks.rostferrum import Rostferrum
from tests.lab.stacks.wishlins import Wishlins

SYSTEMS: dict[str, type[System]] = {
    system.name: system for system in (Flurai, Freemarket, IikoBase, Rostferrum, Wishlins)
}
