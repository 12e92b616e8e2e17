"""nginx: each real fault is the first root cause, and gone when undone."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from opsctl.model import Status
from tests.live.web import ask, crashed, failing, first, found, look
from tests.servers.api import ApiServer
from tests.servers.base import wait_until
from tests.servers.nginx import NginxServer

pytestmark = [
    pytest.mark.live,
    pytest.mark.skipif(shutil.which("nginx", path="/usr/sbin:/usr/bin") is None, reason="apt install nginx"),
]


def described(nginx: NginxServer, **more: Any) -> dict[str, Any]:
    return {"nginx": {"nginx": nginx.stack_spec(**more)}}


def healthy(services: dict[str, Any], seconds: float = 1) -> None:
    """Assert that nothing is reported, within some seconds where a fault has just been undone."""
    wait_until(lambda: not failing(look(services, "nginx")), "nothing reported", seconds=seconds + 30)
    diagnosis = look(services, "nginx")
    assert failing(diagnosis) == []
    assert crashed(diagnosis) == []
    assert diagnosis.status is Status.OK
    assert [item.summary for item in diagnosis.findings if item.status is Status.UNKNOWN] == []


@contextmanager
def small_filesystem(size: str) -> Iterator[Path]:
    if os.geteuid() != 0:
        pytest.skip("mounting a tmpfs needs root")
    folder = Path(tempfile.mkdtemp(prefix="opsctl-tmpfs-"))
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size},mode=755", "tmpfs", folder], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)
        folder.rmdir()


@pytest.fixture
def nginx() -> Iterator[NginxServer]:
    with NginxServer() as server:
        assert isinstance(server, NginxServer)
        yield server


@pytest.fixture
def api() -> Iterator[ApiServer]:
    with ApiServer() as server:
        assert isinstance(server, ApiServer)
        yield server


def test_a_stopped_and_a_frozen_nginx(nginx: NginxServer) -> None:
    services = described(nginx)
    healthy(services)
    nginx.freeze()
    diagnosis = look(services, "nginx")
    nginx.thaw()
    assert first(diagnosis) == "nginx/down:nginx", failing(diagnosis)
    assert "without an answer" in diagnosis.root_causes[0].finding.summary
    nginx.stop()
    before = sorted(nginx.folder.rglob("*"))
    diagnosis = look(services, "nginx")
    assert first(diagnosis) == "nginx/down:nginx", failing(diagnosis)
    assert "nothing listens" in diagnosis.root_causes[0].finding.summary
    assert sorted(nginx.folder.rglob("*")) == before, "looking has made files"
    nginx.start()
    healthy(services)


def test_an_invalid_configuration_of_a_running_and_of_a_stopped_nginx(nginx: NginxServer) -> None:
    services = described(nginx)
    good = nginx.config.read_text()
    nginx.config.write_text(good.replace("listen 127", "lisen 127"))
    diagnosis = look(services, "nginx")
    assert first(diagnosis) == "nginx/config-invalid:nginx", failing(diagnosis)
    assert len(diagnosis.root_causes) == 1
    assert 'unknown directive "lisen"' in diagnosis.root_causes[0].finding.summary
    nginx.stop()
    diagnosis = look(services, "nginx")
    assert first(diagnosis) == "nginx/config-invalid:nginx", failing(diagnosis)
    assert len(diagnosis.root_causes) == 1
    assert diagnosis.root_causes[0].finding.status is Status.CRITICAL
    nginx.start()
    healthy(services)


def test_a_changed_configuration_that_was_not_loaded(nginx: NginxServer) -> None:
    services = described(nginx)
    wait_until(lambda: _older(nginx, 0.8), "a worker old enough")
    nginx.config.write_text(nginx.text() + "# changed\n")
    diagnosis = look(services, "nginx")
    assert first(diagnosis) == "nginx/config-not-loaded:nginx", failing(diagnosis)
    nginx.reload()
    healthy(services)


def _older(nginx: NginxServer, seconds: float) -> bool:
    import time

    return time.time() - nginx.pid_file.stat().st_mtime > seconds


def test_502_from_a_stopped_upstream_nobody_else_looks_at(api: ApiServer) -> None:
    with NginxServer(upstreams={"/api/": f"http://127.0.0.1:{api.port}/"}) as nginx:
        assert isinstance(nginx, NginxServer)
        services = described(nginx)
        services["nginx"]["http"] = [nginx.url("/api/health")]
        healthy(services)
        api.stop()
        assert ask(nginx.listen, "/api/items") == 502
        diagnosis = look(services, "nginx")
        assert first(diagnosis) == "nginx/upstream-refused:nginx", failing(diagnosis)
        assert len(diagnosis.root_causes) == 1
        assert "http/status" in [item.id for item in diagnosis.root_causes[0].chain]
        api.start()
        healthy(services)


def test_502_leads_to_the_backend_that_is_down(api: ApiServer) -> None:
    with NginxServer(upstreams={"/api/": f"http://127.0.0.1:{api.port}/"}) as nginx:
        assert isinstance(nginx, NginxServer)
        services = described(nginx) | {"backend": {"http": [api.url()]}}
        services["nginx"] |= {"http": [nginx.url("/api/health")], "depends_on": ["backend"]}
        healthy(services)
        api.stop()
        assert ask(nginx.listen, "/api/items") == 502
        diagnosis = look(services, "nginx")
        assert first(diagnosis) == "http/refused:backend", failing(diagnosis)
        assert len(diagnosis.root_causes) == 1
        chain = {item.id for item in diagnosis.root_causes[0].chain}
        assert {"http/status", "nginx/upstream-refused"} <= chain


def test_an_endpoint_of_the_backend_asked_through_the_proxy_that_is_down(api: ApiServer) -> None:
    with NginxServer(upstreams={"/api/": f"http://127.0.0.1:{api.port}/"}) as nginx:
        assert isinstance(nginx, NginxServer)
        services = described(nginx)
        services["backend"] = {"http": [api.url(), {"url": nginx.url("/api/health"), "via": "nginx"}]}
        services["nginx"]["depends_on"] = ["backend"]
        healthy(services)
        nginx.stop()
        diagnosis = look(services, "nginx")
        assert first(diagnosis) == "nginx/down:nginx", failing(diagnosis)
        assert [item.id for item in diagnosis.root_causes[0].chain] == ["http/refused"]
        assert len(diagnosis.root_causes) == 1


def test_504_from_a_frozen_upstream(api: ApiServer) -> None:
    with NginxServer(upstreams={"/api/": f"http://127.0.0.1:{api.port}/"}, proxy_timeout=1) as nginx:
        assert isinstance(nginx, NginxServer)
        services = described(nginx)
        api.freeze()
        assert ask(nginx.listen, "/api/health") == 504
        diagnosis = look(services, "nginx")
        api.thaw()
        assert first(diagnosis) == "nginx/upstream-timeout:nginx", failing(diagnosis)
        wait_until(lambda: ask(nginx.listen, "/api/health") == 200, "the API")
        wait_until(
            lambda: ask(nginx.listen, "/api/health") == 200 and not failing(look(services, "nginx")),
            "silence",
        )
        healthy(services)


def test_missing_and_unreadable_static_files(nginx: NginxServer) -> None:
    page = nginx.static_root / "catalog" / "index.html"
    services = described(nginx, static=[str(page), str(nginx.static_root)])
    diagnosis = look(services, "nginx")
    assert first(diagnosis) == "nginx/static-missing:nginx", failing(diagnosis)
    page.parent.mkdir()
    page.write_text("page")
    healthy(services)
    if os.geteuid() == 0:
        page.parent.chmod(0o700)
        diagnosis = look(services, "nginx")
        assert first(diagnosis) == "nginx/static-missing:nginx", failing(diagnosis)
        assert "may not be entered" in diagnosis.root_causes[0].finding.summary


def test_every_connection_slot_taken() -> None:
    with NginxServer(worker_connections=12) as nginx, ExitStack() as held:
        assert isinstance(nginx, NginxServer)
        services = described(nginx)
        healthy(services)
        for _ in range(30):
            held.enter_context(socket.create_connection(("127.0.0.1", nginx.port), timeout=10))
        wait_until(lambda: "are not enough" in nginx.error_log.read_text(), "the line in the log")
        diagnosis = look(services, "nginx")
        assert first(diagnosis) == "nginx/connections-exhausted:nginx", failing(diagnosis)
        assert len(diagnosis.root_causes) == 1
        held.close()
        healthy(services)


def fill(filler: Path) -> None:
    """Write until nothing more fits."""
    file = os.open(filler, os.O_CREAT | os.O_WRONLY)
    try:
        with suppress(OSError):
            while True:
                os.write(file, b"x" * 4096)
    finally:
        os.close(file)


def test_a_log_on_a_full_file_system() -> None:
    with small_filesystem("128k") as folder, NginxServer(access_log=folder / "access.log") as nginx:
        assert isinstance(nginx, NginxServer)
        services = described(nginx)
        healthy(services)
        fill(folder / "filler")
        diagnosis = look(services, "nginx")
        assert first(diagnosis) == "nginx/log-unwritable:nginx", failing(diagnosis)
        (folder / "filler").unlink()
        healthy(services)


def test_a_log_that_was_deleted(nginx: NginxServer) -> None:
    services = described(nginx)
    nginx.access_log.unlink()
    diagnosis = look(services, "nginx")
    assert first(diagnosis) == "nginx/log-unwritable:nginx", failing(diagnosis)
    nginx.reload()
    healthy(services)


def test_many_server_errors(api: ApiServer) -> None:
    with NginxServer(upstreams={"/api/": f"http://127.0.0.1:{api.port}/"}) as nginx:
        assert isinstance(nginx, NginxServer)
        services = described(nginx)
        api.fault(status=500)
        assert {ask(nginx.listen, "/api/items") for _ in range(12)} == {500}
        diagnosis = look(services, "nginx")
        assert first(diagnosis) == "nginx/error-rate:nginx", failing(diagnosis)
        assert "/api/items" in diagnosis.root_causes[0].finding.summary
        api.fault()
        assert {ask(nginx.listen, "/api/items") for _ in range(12)} == {200}
        healthy(services)


def test_a_cache_on_a_full_file_system(api: ApiServer) -> None:
    nginx = NginxServer(upstreams={"/api/": f"http://127.0.0.1:{api.port}/"}, cache=True)
    with small_filesystem("256k") as folder, nginx:
        nginx.stop()
        nginx.cache_path = folder / "cache"
        nginx.start()
        services = described(nginx, cache_path=str(folder / "cache"))
        healthy(services)
        (folder / "filler").write_bytes(b"x" * (256 * 1024 - 4096 * 8))
        number = 0
        while os.statvfs(folder).f_bavail and number < 100:
            number += 1
            ask(nginx.listen, f"/api/metrics?page={number}")
        diagnosis = look(services, "nginx")
        assert first(diagnosis) == "nginx/cache-full:nginx", failing(diagnosis)
        (folder / "filler").unlink()
        healthy(services)


def test_a_rate_limit_that_turns_most_requests_away(api: ApiServer) -> None:
    with NginxServer(upstreams={"/api/": f"http://127.0.0.1:{api.port}/"}, limit_rate=1) as nginx:
        assert isinstance(nginx, NginxServer)
        services = described(nginx)
        services["nginx"]["http"] = [nginx.url("/")]
        threads = [threading.Thread(target=ask, args=(nginx.listen, "/api/items")) for _ in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        diagnosis = look(services, "nginx")
        assert first(diagnosis) == "nginx/rate-limiting:nginx", failing(diagnosis)
        healthy(services, seconds=30)


def test_errors_that_are_over_are_not_reported(api: ApiServer) -> None:
    with NginxServer(upstreams={"/api/": f"http://127.0.0.1:{api.port}/"}) as nginx:
        assert isinstance(nginx, NginxServer)
        services = described(nginx)
        api.stop()
        assert {ask(nginx.listen, "/api/items") for _ in range(4)} == {502}
        api.start()
        diagnosis = look(services, "nginx")
        assert failing(diagnosis) == []
        assert found(diagnosis, "nginx/upstream-refused").status is Status.OK


def test_without_any_file_most_is_unknown_and_nothing_is_wrong(nginx: NginxServer) -> None:
    services = {
        "nginx": {"nginx": {"config": "/nowhere/nginx.conf", "listen": nginx.listen, "pid_file": "/nowhere"}}
    }
    diagnosis = look(services, "nginx")
    assert crashed(diagnosis) == []
    wrong = {item.id for item in diagnosis.findings if item.status.failing}
    assert wrong <= {"nginx/config-invalid"}


def test_the_files_of_this_machine_are_not_taken_for_those_of_a_container(nginx: NginxServer) -> None:
    services = {"nginx": {"container": "nginx", "nginx": {"listen": nginx.listen}}}
    diagnosis = look(services, "nginx")
    assert crashed(diagnosis) == []
    assert [item for item in failing(diagnosis) if item.startswith("nginx/")] == []
    for slug in ("nginx/config-invalid", "nginx/config-not-loaded", "nginx/error-rate"):
        assert found(diagnosis, slug).status is Status.UNKNOWN
    assert found(diagnosis, "nginx/down").status is Status.OK


@contextmanager
def running_api() -> Iterator[ApiServer]:
    server = ApiServer()
    with server:
        yield server


def test_an_upstream_that_the_configuration_no_longer_names_is_over(api: ApiServer) -> None:
    with (
        running_api() as other,
        NginxServer(upstreams={"/api/": f"http://127.0.0.1:{other.port}/"}) as nginx,
    ):
        assert isinstance(nginx, NginxServer)
        services = described(nginx)
        other.stop()
        assert ask(nginx.listen, "/api/items") == 502
        assert first(look(services, "nginx")) == "nginx/upstream-refused:nginx"
        nginx.upstreams["/api/"] = f"http://127.0.0.1:{api.port}/"
        nginx.reload()  # nobody asks for the failed page again, so no success speaks for it
        diagnosis = look(services, "nginx")
        assert failing(diagnosis) == []
        assert found(diagnosis, "nginx/upstream-refused").status is Status.OK


def test_a_refusing_upstream_does_not_explain_a_backend_that_is_asked_directly(api: ApiServer) -> None:
    with (
        running_api() as other,
        NginxServer(upstreams={"/api/": f"http://127.0.0.1:{other.port}/"}) as nginx,
    ):
        assert isinstance(nginx, NginxServer)
        services = described(nginx)
        services["backend"] = {"http": [api.url("/items")]}
        services["nginx"] |= {"depends_on": ["backend"], "http": [nginx.url("/api/items")]}
        other.stop()
        api.fault(status=502)
        diagnosis = look(services, "nginx")
        causes = {f"{cause.finding.id}:{cause.finding.target}" for cause in diagnosis.root_causes}
        assert causes == {"nginx/upstream-refused:nginx", "http/status:backend"}, failing(diagnosis)
        api.fault()
        other.start()
        healthy(services)


@pytest.mark.skipif(os.geteuid() != 0, reason="files that nginx' workers may not read need root")
def test_a_refused_page_comes_with_the_reason_that_nginx_logged(nginx: NginxServer) -> None:
    folder = nginx.static_root / "catalog"
    folder.mkdir()
    (nginx.static_root / "secret.html").write_text("page")
    services = described(nginx)
    pages = ("/", "/catalog/", "/secret.html")
    services["pages"] = {"http": [nginx.url(page) for page in pages], "depends_on": ["nginx"]}
    (nginx.static_root / "secret.html").chmod(0o600)

    def said(path: str) -> str:
        diagnosis = look(services, "nginx")
        return next(
            item.summary
            for item in diagnosis.findings
            if item.id == "http/status" and item.status is Status.CRITICAL and item.subject.endswith(path)
        )

    # the two probes of one look run beside each other: the second look surely sees the line of the first
    wait_until(lambda: "nginx says: directory index of" in said("/catalog/"), "the reason")
    wait_until(lambda: "Permission denied" in said("/secret.html"), "the reason")
    diagnosis = look(services, "nginx")
    assert first(diagnosis) == "http/status:pages", failing(diagnosis)
    assert any("nginx says" in row.text for row in diagnosis.root_causes[0].finding.evidence)
    (nginx.static_root / "secret.html").chmod(0o644)
    (folder / "index.html").write_text("page")
    healthy(services)
