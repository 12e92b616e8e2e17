"""What live tests of several kinds share: one Docker engine for each test process."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.servers.docker import DockerEngine, running_engine
from tests.servers.image import LabUnavailable


@pytest.fixture(scope="session")
def docker_engine() -> Iterator[DockerEngine]:
    """A Docker engine of our own with the lab's image; its tests carry the mark `docker`."""
    try:
        with running_engine() as engine:
            yield engine
    except LabUnavailable as reason:
        pytest.skip(str(reason))
