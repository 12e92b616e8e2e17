"""`/metrics/redis` on a real Redis: one connection, kept between scrapes, replaced when it breaks."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from opsctl.metrics import Series, parse_exposition
from tests.live.series import value
from tests.live.test_exporter import SECRET, WAITS, Exporter, exporting
from tests.servers.base import wait_until
from tests.servers.redis import RedisServer

pytestmark = pytest.mark.live


@contextlib.contextmanager
def scraped(
    folder: Path, password: str | None = SECRET, **options: str
) -> Iterator[tuple[Exporter, RedisServer]]:
    """Give a Redis and an exporter that looks at it."""
    server = RedisServer(password=password, **options)
    try:
        server.start()
        spec: dict[str, Any] = {"url": server.url, "queues": {"jobs": 10}}
        if password is not None:
            spec["password_env"] = "LIVE_REDIS_PASSWORD"
        with exporting(folder, {"cache": {"redis": spec}}) as exporter:
            exporter.wait_up("redis", 1)
            yield exporter, server
    finally:
        server.remove()


def ours(server: RedisServer) -> list[str]:
    with server.client() as client:
        return [item["id"] for item in client.client_list() if item["name"] == "opsctl"]


def page(exporter: Exporter) -> Series:
    status, text = exporter.get("/metrics/redis")
    assert status == 200
    return parse_exposition(text)


def test_one_connection_is_used_again_and_again(tmp_path: Path) -> None:
    with scraped(tmp_path) as (exporter, server):
        (first,) = ours(server)
        with server.client() as client:
            accepted = client.info("stats")["total_connections_received"]
            for _ in range(20):
                assert value(page(exporter), "redis_up") == 1
            assert client.info("stats")["total_connections_received"] == accepted
        assert ours(server) == [first]


def test_what_the_server_ends_is_replaced_within_the_scrape(tmp_path: Path) -> None:
    with scraped(tmp_path) as (exporter, server):
        for _ in range(5):
            (before,) = ours(server)
            with server.client() as client:
                client.client_kill_filter(_id=before)
            assert value(page(exporter), "redis_up") == 1
            (after,) = ours(server)
            assert after != before


def test_a_restart_is_seen_and_survived(tmp_path: Path) -> None:
    with scraped(tmp_path) as (exporter, server):
        server.stop()
        assert value(page(exporter), "redis_up") == 0
        server.start()
        assert value(page(exporter), "redis_up") == 1
        assert len(ours(server)) == 1


def test_a_frozen_server_is_down_and_gets_no_heap_of_connections(tmp_path: Path) -> None:
    with scraped(tmp_path) as (exporter, server):
        server.freeze()
        try:
            for _ in range(6):
                assert exporter.up("redis", waits=1.5) == 0
        finally:
            server.thaw()
        exporter.wait_up("redis", 1)
        wait_until(lambda: len(ours(server)) == 1, "one connection of ours", WAITS)


def test_no_place_for_another_client_is_no_news_to_one_that_is_there(tmp_path: Path) -> None:
    with scraped(tmp_path, maxclients="5") as (exporter, server), contextlib.ExitStack() as stack:
        for _ in range(4):
            client = stack.enter_context(server.client(single_connection_client=True))
            client.ping()
        for _ in range(3):
            series = page(exporter)
            assert value(series, "redis_up") == 1
            assert value(series, "redis_connected_clients") == 5


def test_a_password_that_changed_is_down_in_the_next_scrape(tmp_path: Path) -> None:
    with scraped(tmp_path) as (exporter, server):
        with server.client() as client:
            client.config_set("requirepass", "another-one-7c2")
        assert value(page(exporter), "redis_up") == 0
        server.password = "another-one-7c2"
        with server.client() as client:
            client.config_set("requirepass", SECRET)
        server.password = SECRET
        assert value(page(exporter), "redis_up") == 1


def test_a_password_where_there_was_none_is_down_within_a_minute(tmp_path: Path) -> None:
    with scraped(tmp_path, password=None) as (exporter, server):
        with server.client() as client:
            client.config_set("requirepass", SECRET)
        exporter.wait_up("redis", 0)


def test_rates_are_those_since_an_earlier_scrape(tmp_path: Path) -> None:
    with scraped(tmp_path) as (exporter, server), server.client() as client:
        client.rpush("jobs", *range(20))
        assert value(page(exporter), "redis_key_size", key="jobs") == 20
        client.rpush("jobs", *range(50))

        def grows() -> bool:
            series = page(exporter)
            return any(float(text) > 0 for _, text in series.get("opsctl_redis_queue_growth_per_second", []))

        wait_until(grows, "the queue grows", WAITS)


def test_the_slow_log_is_read_again_when_it_has_something_new(tmp_path: Path) -> None:
    with scraped(tmp_path) as (exporter, server), server.client() as client:
        client.slowlog_reset()
        client.config_set("slowlog-log-slower-than", 10_000_000)
        before = value(page(exporter), "redis_slowlog_length")
        client.config_set("slowlog-log-slower-than", 0)
        client.ping()
        client.config_set("slowlog-log-slower-than", 10_000_000)
        assert value(page(exporter), "redis_slowlog_length") >= before + 1


def test_nothing_is_left_when_the_exporter_ends(tmp_path: Path) -> None:
    with RedisServer() as server:
        assert isinstance(server, RedisServer)
        with exporting(tmp_path, {"cache": {"redis": server.url}}) as exporter:
            exporter.wait_up("redis", 1)
            assert len(ours(server)) == 1
        wait_until(lambda: not ours(server), "no connection of ours", WAITS)
