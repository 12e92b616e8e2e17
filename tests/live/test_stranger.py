"""Another program on the port of a database is named as such, not taken for a database that hangs."""

from __future__ import annotations

from typing import Any

import pytest

from opsctl.model import Diagnosis
from tests.live.web import first, look
from tests.servers.base import wait_until
from tests.servers.stranger import stranger

pytestmark = pytest.mark.live


def asked(kind: str, port: int) -> Diagnosis:
    services: dict[str, Any] = {
        "redis": {"cache": {"redis": {"url": f"redis://127.0.0.1:{port}/0"}}},
        "postgres": {"cache": {"postgres": {"dsn": f"postgresql://someone@127.0.0.1:{port}/shop"}}},
    }
    return look(services[kind], kind)


@pytest.mark.parametrize("kind", ["redis", "postgres"])
@pytest.mark.parametrize(("what", "said"), [("ssh", "SSH-2.0-OpenSSH"), ("http", "HTTP/1.0")])
def test_a_stranger_on_the_port_is_named(kind: str, what: str, said: str) -> None:
    seen: list[Diagnosis] = []

    def named() -> bool:
        seen.append(asked(kind, port))
        return first(seen[-1]) == f"{kind}/down:cache"

    with stranger(what) as port:
        # on a busy machine the stranger may not answer within what is left of the probe's time
        wait_until(named, "the stranger to be named", seconds=120)
        finding = seen[-1].root_causes[0].finding
        assert "something else" in finding.summary
        assert f'answers on 127.0.0.1:{port}: "{said}' in finding.summary
        assert finding.code == "protocol"
        assert finding.remediation is not None
        assert "Another program holds the port" in finding.remediation.text
