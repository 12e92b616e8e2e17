"""Paths inside a container, seen from outside: links never lead out of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from opsctl.probes.nginx_container import Inside, inner_path


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "etc/nginx/conf.d").mkdir(parents=True)
    (tmp_path / "etc/nginx/nginx.conf").write_text("events {}\n")
    (tmp_path / "etc/nginx/absolute.conf").symlink_to("/etc/nginx/nginx.conf")
    (tmp_path / "etc/nginx/relative.conf").symlink_to("../nginx/absolute.conf")
    (tmp_path / "etc/nginx/up.conf").symlink_to("../../../../../../etc/nginx/nginx.conf")
    (tmp_path / "etc/nginx/circle.conf").symlink_to("circle.conf")
    (tmp_path / "folder").symlink_to("/etc/nginx")
    return tmp_path


@pytest.mark.parametrize("name", ["nginx.conf", "absolute.conf", "relative.conf", "up.conf"])
def test_links_are_followed_inside(root: Path, name: str) -> None:
    assert inner_path(root, f"/etc/nginx/{name}") == "/etc/nginx/nginx.conf"
    assert inner_path(root, f"/folder/./{name}") == "/etc/nginx/nginx.conf"


def test_a_circle_and_what_is_not_there_end(root: Path) -> None:
    assert inner_path(root, "/etc/nginx/circle.conf") == "/etc/nginx/circle.conf"
    assert inner_path(root, "/no/such") == "/no/such"
    assert inner_path(root, "/../..") == "/"


def test_a_path_lies_below_the_containers_root(root: Path) -> None:
    inside = Inside(identity="1", pid=0, root=root, log=None, terminal=False)
    assert inside.path("/etc/nginx/up.conf").read_text() == "events {}\n"
    assert inside.config == ""
