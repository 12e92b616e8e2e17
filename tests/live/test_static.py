"""Static pages behind a real nginx: what is missing or old comes first, and is gone when undone."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from opsctl.model import Diagnosis
from tests.live.web import crashed, failing, first, found, look
from tests.servers.base import wait_until
from tests.servers.nginx import NginxServer

pytestmark = pytest.mark.live
PAGES = ("", "about", "catalog/beams", "catalog/pipes")


def write(root: Path) -> None:
    """Make a build: a small site, readable for nginx' workers."""
    for page in PAGES:
        (root / page).mkdir(parents=True, exist_ok=True)
        (root / page / "index.html").write_text(f"<!doctype html><title>{page}</title>")
    (root / "404.html").write_text("<!doctype html><title>not here</title>")


@pytest.fixture
def nginx() -> Iterator[NginxServer]:
    server = NginxServer(server_extra="error_page 404 /404.html;")
    write(server.static_root)
    with server:
        yield server


def services(nginx: NginxServer, **static: Any) -> dict[str, Any]:
    """Return nginx with its root, and the pages that lean on it."""
    url = f"http://127.0.0.1:{nginx.port}"
    return {
        "nginx": {
            "nginx": {
                "listen": f"127.0.0.1:{nginx.port}",
                "config": str(nginx.config),
                "pid_file": str(nginx.pid_file),
                "static": [str(nginx.static_root)],
            }
        },
        "pages": {
            "depends_on": ["nginx"],
            "static": {
                "root": str(nginx.static_root),
                "pages": ["/", "/about/", "/404.html"],
                "at_least": {"/catalog/*/": 2},
                "url": url,
                **static,
            },
            "http": [{"url": f"{url}/about/", "via": "nginx", "max_seconds": 60}],
        },
    }


def examine(nginx: NginxServer, **static: Any) -> Diagnosis:
    diagnosis = look(services(nginx, **static), "systemd")
    assert crashed(diagnosis) == []
    return diagnosis


SECONDS = 120.0
"""How long a look may be repeated: on a busy machine a probe may run out of time."""


def until_first(wanted: str, nginx: NginxServer, below: str = "", **static: Any) -> Diagnosis:
    """Look until a cause is the only one, with an effect below it if one is named; return that look."""
    seen: list[Diagnosis] = []

    def named() -> bool:
        seen.append(examine(nginx, **static))
        chains = [[item.id for item in cause.chain] for cause in seen[-1].root_causes]
        return first(seen[-1]) == wanted and len(chains) == 1 and (not below or below in chains[0])

    wait_until(named, f"{wanted} named", SECONDS)
    return seen[-1]


def settle(nginx: NginxServer, **static: Any) -> None:
    """Wait until nothing is reported any more."""
    wait_until(lambda: failing(examine(nginx, **static)) == [], "nothing left", SECONDS)


def test_a_whole_build_yields_nothing(nginx: NginxServer) -> None:
    for _ in range(5):
        settle(nginx, max_age="1d", sources=[str(nginx.config)])


def test_a_page_is_not_in_the_build(nginx: NginxServer) -> None:
    page = nginx.static_root / "about" / "index.html"
    page.rename(page.with_suffix(".old"))
    diagnosis = until_first("static/page-missing:pages", nginx, below="http/status")
    assert "/about/ is not in the build" in found(diagnosis, "static/page-missing").summary
    page.with_suffix(".old").rename(page)
    settle(nginx)


def test_too_few_pages(nginx: NginxServer) -> None:
    folder = nginx.static_root / "catalog" / "beams"
    shutil.rmtree(folder)
    until_first("static/page-missing:pages", nginx)
    write(nginx.static_root)
    settle(nginx)


def test_the_whole_root_is_gone(nginx: NginxServer) -> None:
    """Then it is nginx' root that is missing, and each page hangs below it."""
    nginx.static_root.rename(nginx.folder / "away")
    until_first("nginx/static-missing:nginx", nginx, below="static/page-missing")
    (nginx.folder / "away").rename(nginx.static_root)
    settle(nginx)


def test_nginx_serves_another_folder(nginx: NginxServer, tmp_path: Path) -> None:
    """The build is whole, what visitors get is not it."""
    (tmp_path / "dist").mkdir()
    write(tmp_path / "dist")
    (tmp_path / "dist" / "prices").mkdir()
    (tmp_path / "dist" / "prices" / "index.html").write_text("<!doctype html>")
    wanted: dict[str, Any] = {"root": str(tmp_path / "dist"), "pages": ["/", "/prices/"]}
    diagnosis = until_first("static/page-missing:pages", nginx, **wanted)
    assert "answered with 404" in found(diagnosis, "static/page-missing").summary


def age(folder: Path, seconds: float) -> None:
    then = time.time() - seconds
    for item in [folder, *folder.rglob("*")]:
        os.utime(item, (then, then))


def test_an_old_build(nginx: NginxServer, tmp_path: Path) -> None:
    age(nginx.static_root, 3 * 86400)
    until_first("static/build-stale:pages", nginx, max_age="1d")
    source = tmp_path / "page.html"
    source.write_text("x")
    age(source, 7200)
    until_first("static/build-stale:pages", nginx, sources=[str(source)])
    write(nginx.static_root)
    settle(nginx, max_age="1d", sources=[str(source)])


def test_an_old_page_is_served(nginx: NginxServer, tmp_path: Path) -> None:
    (tmp_path / "dist").mkdir()
    write(tmp_path / "dist")
    age(tmp_path / "dist", 3600)
    age(nginx.static_root, 7200)
    diagnosis = until_first("static/build-stale:pages", nginx, root=str(tmp_path / "dist"))
    assert "is served as of" in found(diagnosis, "static/build-stale").summary
