"""PHP-FPM and Laravel: each real fault is the first root cause, and gone when undone."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator
from typing import Any

import pytest

from opsctl.model import Status
from tests.live.web import ask, crashed, failing, first, found, look
from tests.servers.nginx import NginxServer
from tests.servers.php import PhpServer, binary

pytestmark = [
    pytest.mark.live,
    pytest.mark.skipif(binary() is None, reason="apt-get install php-fpm"),
    pytest.mark.skipif(os.geteuid() != 0, reason="the pool's user is not ours without root"),
]


@pytest.fixture
def php() -> Iterator[PhpServer]:
    with PhpServer() as server:
        assert isinstance(server, PhpServer)
        yield server


def described(php: PhpServer, **more: Any) -> dict[str, Any]:
    return {
        "admin": {
            "php": {
                "fpm": str(php.socket),
                "status_path": php.status_path,
                "root": str(php.root),
                "log": str(php.fpm_log),
                **more,
            }
        }
    }


def healthy(services: dict[str, Any]) -> None:
    diagnosis = look(services, "php")
    assert failing(diagnosis) == []
    assert crashed(diagnosis) == []
    assert diagnosis.status is Status.OK
    assert [item.summary for item in diagnosis.findings if item.status is Status.UNKNOWN] == []


def test_a_stopped_and_a_frozen_pool(php: PhpServer) -> None:
    services = described(php)
    healthy(services)
    php.freeze()
    diagnosis = look(services, "php")
    php.thaw()
    assert first(diagnosis) == "php/fpm-down:admin", failing(diagnosis)
    assert "is stopped" in diagnosis.root_causes[0].finding.summary
    php.stop()
    diagnosis = look(services, "php")
    assert first(diagnosis) == "php/fpm-down:admin", failing(diagnosis)
    assert found(diagnosis, "php/workers-exhausted").status is Status.OK
    php.start()
    healthy(services)


@pytest.mark.parametrize("status_path", ["/fpm-status", ""])
def test_every_worker_is_busy(php: PhpServer, status_path: str) -> None:
    services = described(php, status_path=status_path)
    visits = php.occupy(seconds=6, requests=2)
    diagnosis = look(services, "php")
    for visit in visits:
        visit.join()
    assert first(diagnosis) == "php/workers-exhausted:admin", failing(diagnosis)
    assert len(diagnosis.root_causes) == 1
    assert failing(look(services, "php")) == []


def test_the_502_of_nginx_leads_to_php(php: PhpServer) -> None:
    with NginxServer(fastcgi={"/": str(php.socket)}, static_root=php.root / "public") as nginx:
        assert isinstance(nginx, NginxServer)
        services = described(php)
        services["nginx"] = {
            "nginx": {
                "config": str(nginx.config),
                "pid_file": str(nginx.pid_file),
                "listen": nginx.listen,
                "status_url": nginx.status_url,
            },
            "http": [nginx.url("/")],
            "depends_on": ["admin"],
        }
        healthy(services)
        php.stop()
        assert ask(nginx.listen, "/") == 502
        diagnosis = look(services, "php")
        assert first(diagnosis) == "php/fpm-down:admin", failing(diagnosis)
        assert len(diagnosis.root_causes) == 1
        chain = {item.id for item in diagnosis.root_causes[0].chain}
        assert {"http/status", "nginx/upstream-refused"} <= chain
        php.start()
        healthy(services)


def test_a_storage_that_cannot_be_written(php: PhpServer) -> None:
    services = described(php)
    logs = php.root / "storage" / "logs"
    os.chown(logs, 0, 0)
    logs.chmod(0o755)
    diagnosis = look(services, "php")
    assert first(diagnosis) == "php/storage-unwritable:admin", failing(diagnosis)
    assert str(logs) in diagnosis.root_causes[0].finding.summary
    logs.chmod(0o777)
    healthy(services)
    logs.rmdir()
    assert first(look(services, "php")) == "php/storage-unwritable:admin"


@pytest.mark.parametrize("key", ["", "base64:c2hvcnQ="])
def test_no_usable_key(php: PhpServer, key: str) -> None:
    services = described(php)
    php.environment_file(key=key)
    diagnosis = look(services, "php")
    assert first(diagnosis) == "php/key-missing:admin", failing(diagnosis)
    php.environment_file()
    healthy(services)


def test_debug_in_production(php: PhpServer) -> None:
    services = described(php)
    php.environment_file(debug=True)
    diagnosis = look(services, "php")
    assert first(diagnosis) == "php/debug-enabled:admin", failing(diagnosis)
    php.environment_file(debug=True, environment="local")
    healthy(services)


def test_errors_of_laravel_now_and_before(php: PhpServer) -> None:
    services = described(php)
    for number in range(6):
        assert php.get(query=f"error=boom{number}").status == 500
    diagnosis = look(services, "php")
    assert first(diagnosis) == "php/errors:admin", failing(diagnosis)
    assert "boom5" in diagnosis.root_causes[0].finding.summary
    old = php.laravel_log.read_text()
    hour_ago = time.time() - 3600
    php.laravel_log.write_text(
        re.sub(r"\[\d{4}-[^\]]*\]", time.strftime("[%Y-%m-%d %H:%M:%S]", time.gmtime(hour_ago)), old)
    )
    os.utime(php.laravel_log, (hour_ago, hour_ago))
    healthy(services)


def test_the_key_is_in_no_snapshot(php: PhpServer) -> None:
    from tests.servers.php import KEY

    diagnosis = look(described(php), "php")
    assert KEY not in repr(diagnosis)


def test_files_that_are_not_there_are_unknown(php: PhpServer) -> None:
    services = described(php, root="/nowhere", log="/nowhere/fpm.log")
    diagnosis = look(services, "php")
    assert failing(diagnosis) == []
    assert crashed(diagnosis) == []
    assert found(diagnosis, "php/key-missing").status is Status.UNKNOWN
