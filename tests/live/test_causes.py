"""One fault seen by several kinds is one cause."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from opsctl.diagnose import diagnose
from opsctl.engine import collect
from opsctl.model import Diagnosis
from opsctl.stack import reader
from tests.live.web import failing
from tests.servers.base import wait_until

pytestmark = pytest.mark.live


def test_names_that_do_not_resolve_are_one_cause() -> None:
    spec = {
        "name": "names",
        "flow": "systemd",
        "services": {
            "db": {"postgres": {"dsn": "postgresql://someone@db.invalid/shop"}},
            "redis": {"redis": "redis://cache.invalid:6379/0"},
            "web": {"http": ["http://shop.invalid/"], "depends_on": ["db", "redis"]},
        },
        "host": {"names": ["shop.invalid", "db.invalid"]},
    }
    stack = reader.parse(yaml.safe_dump(spec).encode(), "names.yml", Path("/"))
    seen: list[Diagnosis] = []

    def one_cause() -> bool:
        """Look; on a busy machine the resolver may take longer than a probe may wait."""
        seen.append(diagnose(collect(stack, wanted=lambda target: target.kind != "host")))
        return [cause.finding.id for cause in seen[-1].root_causes] == ["network/name-unresolved"]

    try:
        wait_until(one_cause, "one cause", seconds=90)
    except RuntimeError as error:
        raise AssertionError(failing(seen[-1])) from error
    chain = {item.id for item in seen[-1].root_causes[0].chain}
    assert {"postgres/down", "redis/down", "http/name-unresolved"} <= chain
