"""Addresses that name a Compose service."""

from __future__ import annotations

import pytest

from opsctl.probes.container_address import first_address, names_container, with_host
from opsctl.stack.specs import HttpSpec, NginxSpec, PostgresSpec, RedisSpec, ServiceSpec


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("postgresql://shop@postgres:5432/shop", "postgresql://shop@172.18.0.2:5432/shop"),
        ("redis://redis/0", "redis://172.18.0.2/0"),
        ("http://backend:8000/health?x=1", "http://172.18.0.2:8000/health?x=1"),
    ],
)
def test_only_the_host_is_replaced(url: str, expected: str) -> None:
    assert with_host(url, "172.18.0.2") == expected
    assert with_host(url, "fd00::2") == expected.replace("172.18.0.2", "[fd00::2]")


def test_only_the_name_of_the_own_container_is_meant() -> None:
    postgres = ServiceSpec(container="postgres")
    assert names_container(PostgresSpec(dsn="postgresql://u@postgres:5432/d"), postgres)
    assert not names_container(PostgresSpec(dsn="postgresql://u@127.0.0.1:5432/d"), postgres)
    assert not names_container(PostgresSpec(dsn="postgresql://u@postgres:5432/d"), ServiceSpec())
    assert names_container(RedisSpec(url="redis://cache:6379/0"), ServiceSpec(container="cache"))
    assert names_container(HttpSpec(url="http://api:8000/"), ServiceSpec(container="api"))
    assert not names_container(NginxSpec(), ServiceSpec(container="nginx"))


def test_the_first_address_counts_and_a_stopped_container_has_none() -> None:
    stopped = {"NetworkSettings": {"Networks": {"a": {"IPAddress": ""}}}}
    running = {"NetworkSettings": {"Networks": {"a": {"IPAddress": "172.18.0.2"}}}}
    assert first_address([stopped, running]) == "172.18.0.2"
    assert first_address([stopped, {}, {"NetworkSettings": None}]) == ""
