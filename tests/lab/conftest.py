"""What the lab's own tests share: one run for each test process, which boots one system at a time."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.lab.runner import Run
from tests.servers.image import LabUnavailable
from tests.servers.systemd import unavailable


@pytest.fixture(scope="session")
def lab() -> Iterator[Run]:
    """A run beside other tests: their load is not judged."""
    try:
        reason = unavailable()
        if reason:
            raise LabUnavailable(reason)
        from tests.lab.image import lab_rootfs, python_packages
        from tests.lab.machine import sweep

        lab_rootfs()
        python_packages()
        sweep()
    except LabUnavailable as reason:
        pytest.skip(f"the lab cannot run here: {reason}")
    run = Run(shared_machine=True)
    try:
        yield run
    finally:
        run.close()
