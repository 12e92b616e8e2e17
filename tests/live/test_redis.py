"""Redis: each fault of a real server is the first root cause, and gone when undone."""

from __future__ import annotations

import contextlib
import pwd
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from opsctl.model import Diagnosis, Status
from tests.live.web import crashed, failing, first, found, look
from tests.servers.base import free_port, wait_until
from tests.servers.redis import RedisServer

pytestmark = pytest.mark.live


class GuardedRedis(RedisServer):
    """A Redis that outlives a full disk: the limit on file sizes stands in for one."""

    def argv(self) -> list[str]:
        return ["sh", "-c", 'trap \'\' XFSZ; exec "$0" "$@"', *super().argv()]

    def fill_disk(self) -> None:
        """Let every further write to a file fail, as with no space left."""
        self._limit("1:unlimited")

    def make_room(self) -> None:
        self._limit("unlimited:unlimited")

    def _limit(self, fsize: str) -> None:
        argv = ["prlimit", f"--pid={self.pid}", f"--fsize={fsize}"]
        group = pwd.getpwnam(self.user).pw_gid if self.user else None
        subprocess.run(argv, check=True, user=self.user, group=group)


@contextlib.contextmanager
def running(**options: Any) -> Iterator[RedisServer]:
    server = RedisServer(**options)
    with server:
        yield server


@contextlib.contextmanager
def guarded(**options: Any) -> Iterator[GuardedRedis]:
    server = GuardedRedis(**options)
    with server:
        yield server


def examine(server: RedisServer, **more: Any) -> Diagnosis:
    return look({"redis": {"redis": {"url": server.url, **more}}}, "redis")


def assert_healthy(server: RedisServer, **more: Any) -> None:
    diagnosis = examine(server, **more)
    assert failing(diagnosis) == []
    assert crashed(diagnosis) == []
    assert diagnosis.status is Status.OK
    assert diagnosis.coverage.unknown == 0


def settle(server: RedisServer, **more: Any) -> None:
    """Wait until nothing is reported any more."""
    wait_until(lambda: not failing(examine(server, **more)), f"healthy: {failing(examine(server, **more))}")


@contextlib.contextmanager
def in_background(work: Callable[[], object]) -> Iterator[None]:
    """Run something that blocks; its own error does not matter."""

    def run() -> None:
        with contextlib.suppress(Exception):
            work()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield
    finally:
        thread.join(30)


def test_a_healthy_server_yields_no_finding() -> None:
    with running() as server:
        for _ in range(20):
            assert_healthy(server)


def test_looking_leaves_no_trace_in_the_error_statistics() -> None:
    with running() as server, server.client(driver_info=None) as client:
        before = client.info("errorstats")
        assert_healthy(server)
        assert client.info("errorstats") == before
        assert [each for each in client.client_list() if each["name"] == "opsctl"] == []


def test_stopped() -> None:
    with running() as server:
        server.stop()
        diagnosis = examine(server)
        assert first(diagnosis) == "redis/down:redis"
        assert found(diagnosis, "redis/down").status is Status.CRITICAL
        assert found(diagnosis, "redis/memory-full").status is Status.BLOCKED
        server.start()
        assert_healthy(server)


def test_another_server_on_the_port() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        url = f"redis://127.0.0.1:{other.getsockname()[1]}/0"

        def answer() -> None:
            connection, _ = other.accept()
            connection.recv(1000)
            connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            connection.close()

        with in_background(answer):
            diagnosis = look({"redis": {"redis": url}}, "redis")
    assert first(diagnosis) == "redis/down:redis"


def test_frozen() -> None:
    with running() as server:
        server.freeze()
        diagnosis = examine(server)
        assert first(diagnosis) == "redis/hung:redis"
        assert f"process {server.pid} is stopped" in found(diagnosis, "redis/hung").summary
        assert found(diagnosis, "redis/blocked-by-slow-command").status is Status.OK
        server.thaw()
        settle(server)


def test_wrong_and_missing_password(tmp_path: Any) -> None:
    right, wrong = tmp_path / "right", tmp_path / "wrong"
    right.write_text("correct-horse-1\n")
    wrong.write_text("battery-staple-2\n")
    with running(password="correct-horse-1") as server:
        for more in ({}, {"password_file": str(wrong)}):
            diagnosis = examine(server, **more)
            assert first(diagnosis) == "redis/auth-failed:redis"
            assert "battery" not in str(diagnosis)
        assert_healthy(server, password_file=str(right))


def test_a_password_that_the_server_does_not_know(tmp_path: Any) -> None:
    secret = tmp_path / "secret"
    secret.write_text("needless-3\n")
    with running() as server:
        assert first(examine(server, password_file=str(secret))) == "redis/auth-failed:redis"


def test_loading() -> None:
    with running(save="3600 1") as server:
        with server.client() as client:
            pipeline = client.pipeline(transaction=False)
            for number in range(3000):
                pipeline.set(f"key:{number}", "x" * 200)
            pipeline.execute()
            client.save()
        server.stop(hard=True)
        slow = {"key-load-delay": 2000, "loading-process-events-interval-bytes": 1024}
        server.directives |= slow
        server.start()
        diagnosis = examine(server)
        assert first(diagnosis) == "redis/loading:redis"
        assert "is loading its data set" in found(diagnosis, "redis/loading").summary
        with server.client() as client:
            client.config_set("key-load-delay", 0)
        settle(server)


def fill(client: Any) -> None:
    """Write until the last byte: large values first, then small ones. Ends with the refusal of one."""
    import redis

    for size in (50_000, 500, 1):
        with contextlib.suppress(redis.exceptions.ResponseError):
            for number in range(5000):
                client.set(f"key:{size}:{number}", "x" * size)
    client.set("one more", "x" * 100)


@pytest.mark.parametrize("maxmemory", ["3mb", "100kb"])
def test_memory_full_with_noeviction(maxmemory: str) -> None:
    import redis

    with running() as server, server.client() as client:
        client.config_set("maxmemory", maxmemory)
        with pytest.raises(redis.exceptions.ResponseError, match="maxmemory"):
            fill(client)
        diagnosis = examine(server)
        assert first(diagnosis) == "redis/memory-full:redis"
        assert "Redis refuses writes" in found(diagnosis, "redis/memory-full").summary
        client.config_set("maxmemory", 0)
        assert_healthy(server)


@contextlib.contextmanager
def refused_writer(server: RedisServer) -> Iterator[None]:
    """Fill the memory and go on with writes that find no room."""
    over = threading.Event()

    def write() -> None:
        with server.client() as client:
            for number in range(100):
                with contextlib.suppress(Exception):
                    client.set(f"key:{number}", "x" * 50_000)
            while not over.wait(0.05):
                with contextlib.suppress(Exception):
                    client.set("another", "x" * 200_000)

    with in_background(write), server.client() as client:
        try:
            wait_until(lambda: "errorstat_OOM" in client.info("errorstats"), "refused writes")
            yield
        finally:
            over.set()


@pytest.mark.parametrize("policy", ["noeviction", "volatile-lru"])
def test_writes_too_large_for_what_is_left_are_refused(policy: str) -> None:
    with running(maxmemory="3mb", maxmemory_policy=policy) as server:
        with refused_writer(server):
            diagnosis = examine(server)
        assert first(diagnosis) == "redis/memory-full:redis"
        assert found(diagnosis, "redis/memory-full").status is Status.CRITICAL
        with server.client() as client:
            client.flushall()
        settle(server)


def test_evicting() -> None:
    with running(maxmemory="4mb", maxmemory_policy="allkeys-lru") as server:
        over = threading.Event()

        def write() -> None:
            with server.client() as client:
                number = 0
                while not over.is_set():
                    pipeline = client.pipeline(transaction=False)
                    for _ in range(100):
                        number += 1
                        pipeline.set(f"key:{number}", "x" * 2000)
                    pipeline.execute()
                    over.wait(0.01)

        with in_background(write):
            try:
                with server.client() as client:
                    wait_until(lambda: client.info("stats")["evicted_keys"] > 1000, "evictions")
                diagnosis = examine(server)
            finally:
                over.set()
        assert first(diagnosis) == "redis/evicting:redis"
        assert found(diagnosis, "redis/memory-full").status is Status.OK
        assert_healthy(server)


def test_save_failing_stops_writes() -> None:
    import redis

    with guarded(save="3600 1") as server, server.client() as client:
        client.set("key", "x" * 1000)
        server.fill_disk()
        client.bgsave()
        wait_until(lambda: client.info("persistence")["rdb_last_bgsave_status"] == "err", "the failed save")
        with pytest.raises(redis.exceptions.ResponseError, match="MISCONF"):
            client.set("key", "y")
        diagnosis = examine(server)
        assert first(diagnosis) == "redis/save-failing:redis"
        assert found(diagnosis, "redis/save-failing").status is Status.CRITICAL
        assert found(diagnosis, "redis/down").status is Status.OK
        server.make_room()
        client.bgsave()
        settle(server)


def test_save_failing_that_stops_no_writes() -> None:
    with running(stop_writes_on_bgsave_error="no") as server, server.client() as client:
        client.set("key", "value")
        server.data.chmod(0o555)
        client.bgsave()
        wait_until(lambda: client.info("persistence")["rdb_last_bgsave_status"] == "err", "the failed save")
        diagnosis = examine(server)
        assert first(diagnosis) == "redis/save-failing:redis"
        assert found(diagnosis, "redis/save-failing").status is Status.WARNING
        server.data.chmod(0o755)
        client.bgsave()
        settle(server)


def test_append_failing() -> None:
    with guarded(appendonly="yes") as server, server.client() as client:
        client.set("key", "value")
        server.fill_disk()
        client.set("key", "x" * 1000)
        wait_until(lambda: client.info("persistence")["aof_last_write_status"] == "err", "the failed append")
        diagnosis = examine(server)
        assert first(diagnosis) == "redis/append-failing:redis"
        server.make_room()
        settle(server)


def test_read_only_where_a_master_is_expected() -> None:
    with running() as master, running() as server, server.client() as client:
        client.execute_command("REPLICAOF", "127.0.0.1", master.port)
        wait_until(lambda: client.info("replication")["master_link_status"] == "up", "the link")
        diagnosis = examine(server)
        assert first(diagnosis) == "redis/read-only:redis"
        assert_healthy(server, replica=True)
        client.execute_command("REPLICAOF", "NO", "ONE")
        assert_healthy(server)


def test_read_only_for_want_of_replicas() -> None:
    with running(min_replicas_to_write=1) as server, server.client() as client:
        diagnosis = examine(server)
        assert first(diagnosis) == "redis/read-only:redis"
        assert "NOREPLICAS" in found(diagnosis, "redis/read-only").summary
        client.config_set("min-replicas-to-write", 0)
        assert_healthy(server)


def test_a_replica_without_its_master() -> None:
    with running() as master, running(repl_timeout=5) as server, server.client() as client:
        client.execute_command("REPLICAOF", "127.0.0.1", master.port)
        wait_until(lambda: client.info("replication")["master_link_status"] == "up", "the link")
        with master.client() as its:
            wait_until(lambda: its.info("replication")["connected_slaves"] == 1, "the replica")
        assert_healthy(master, replicas=1)
        master.stop(hard=True)
        wait_until(
            lambda: first(examine(server, replica=True)) == "redis/replication-broken:redis", "the finding"
        )
        master.start()
        settle(server, replica=True)


def test_a_replica_that_serves_nothing_without_its_master() -> None:
    with running(replica_serve_stale_data="no") as server, server.client() as client:
        client.execute_command("REPLICAOF", "127.0.0.1", free_port())
        wait_until(
            lambda: first(examine(server, replica=True)) == "redis/replication-broken:redis", "the finding"
        )


def test_a_master_without_its_replica() -> None:
    with running() as server:
        diagnosis = examine(server, replicas=1)
        assert first(diagnosis) == "redis/replication-broken:redis"
        assert found(diagnosis, "redis/replication-broken").status is Status.CRITICAL


def test_strangers_turned_away_by_protected_mode() -> None:
    address = own_address()
    if address is None:
        pytest.skip("this machine has no address beyond loopback")
    with running(bind="0.0.0.0") as server:
        diagnosis = look({"redis": {"redis": f"redis://{address}:{server.port}/0"}}, "redis")
    assert first(diagnosis) == "redis/auth-failed:redis"
    assert "protected mode" in found(diagnosis, "redis/auth-failed").summary


def own_address() -> str | None:
    """Return an IPv4 address of this machine that is not loopback."""
    import psutil

    for addresses in psutil.net_if_addrs().values():
        for item in addresses:
            if item.family is socket.AF_INET and not item.address.startswith("127."):
                return str(item.address)
    return None


def test_every_client_slot_taken() -> None:
    with running(maxclients=10) as server:
        taken = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(12)]
        try:
            for connection in taken[:10]:
                connection.sendall(b"PING\r\n")
                assert connection.recv(100) == b"+PONG\r\n"
            diagnosis = examine(server)
            assert first(diagnosis) == "redis/clients-exhausted:redis", failing(diagnosis)
            assert found(diagnosis, "redis/down").status is Status.OK
        finally:
            for connection in taken:
                connection.close()
        settle(server)


def test_a_command_that_blocks_everyone() -> None:
    with running(enable_debug_command="yes") as server, server.client(socket_timeout=60) as client:
        with in_background(lambda: client.execute_command("DEBUG", "SLEEP", 4)):
            wait_until(lambda: blocked(server), "DEBUG SLEEP")
            diagnosis = examine(server)
        assert first(diagnosis) == "redis/blocked-by-slow-command:redis"
        with server.client() as other:
            other.execute_command("SLOWLOG", "RESET")
        assert_healthy(server)


def blocked(server: RedisServer) -> bool:
    """Return whether the server is in the middle of something."""
    with server.client(socket_timeout=0.2) as client:
        try:
            client.ping()
        except Exception:
            return True
    return False


def test_a_script_that_never_ends() -> None:
    with running(busy_reply_threshold=100) as server, server.client(socket_timeout=60) as client:
        with in_background(lambda: client.eval("while true do end", 0)), server.client() as other:
            wait_until(lambda: blocked(server), "the script")
            diagnosis = examine(server)
            other.execute_command("SCRIPT", "KILL")
        assert first(diagnosis) == "redis/blocked-by-slow-command:redis"
        with server.client() as other:
            other.execute_command("SLOWLOG", "RESET")
        assert_healthy(server)


def test_a_slow_command_a_moment_ago() -> None:
    with running(enable_debug_command="yes") as server, server.client(socket_timeout=60) as client:
        client.execute_command("DEBUG", "SLEEP", 1.1)
        diagnosis = examine(server)
        assert first(diagnosis) == "redis/blocked-by-slow-command:redis"
        assert found(diagnosis, "redis/blocked-by-slow-command").status is Status.WARNING
        assert "DEBUG held Redis" in found(diagnosis, "redis/blocked-by-slow-command").summary
        client.execute_command("SLOWLOG", "RESET")
        assert_healthy(server)


def test_fragmented() -> None:
    with running(enable_debug_command="yes") as server, server.client(socket_timeout=60) as client:
        client.execute_command("DEBUG", "POPULATE", 500_000, "key", 250)
        keep = "for i = 0, 499999 do if i % 10 ~= 0 then redis.call('del', 'key:' .. i) end end"
        client.eval(keep, 0)
        client.execute_command("SLOWLOG", "RESET")
        wait_until(lambda: first(examine(server)) == "redis/fragmented:redis", "fragmentation")
        client.flushall()
        client.execute_command("MEMORY", "PURGE")
        client.execute_command("SLOWLOG", "RESET")
        settle(server)


def test_a_queue_that_nobody_empties() -> None:
    with running() as server, server.client(db=3) as client:
        url = server.url.removesuffix("0") + "3"
        queues = {"celery": 10, "events": 10, "later": 10}
        services = {"redis": {"redis": {"url": url, "queues": queues}}}
        assert failing(look(services, "redis")) == []
        client.rpush("celery", *range(25))
        for number in range(3):
            client.xadd("events", {"number": number})
        diagnosis = look(services, "redis")
        assert first(diagnosis) == "redis/queue-growing:redis"
        assert [item.split(": ")[1] for item in failing(diagnosis)] == [
            "celery holds 25 entries, too many from 10 on, and neither grows nor shrinks"
        ]
        client.delete("celery")
        assert failing(look(services, "redis")) == []
        client.set("later", "a string")
        assert look(services, "redis").coverage.unknown == 1


def test_exposed() -> None:
    with running(bind="0.0.0.0", protected_mode="no") as server:
        diagnosis = examine(server)
        assert first(diagnosis) == "redis/exposed:redis"
        assert "without a password" in found(diagnosis, "redis/exposed").summary
        assert_healthy(server, exposed=True)
    with running(bind="0.0.0.0") as server:
        assert_healthy(server)


def test_a_user_that_may_do_little(tmp_path: Any) -> None:
    secret = tmp_path / "secret"
    secret.write_text("watcher-pass-1\n")
    with running() as server, server.client() as client:
        client.acl_setuser("watcher", enabled=True, passwords=["+watcher-pass-1"], commands=["+ping"])
        services = {
            "redis": {
                "redis": {
                    "url": f"redis://watcher@127.0.0.1:{server.port}/0",
                    "password_file": str(secret),
                }
            }
        }
        diagnosis = look(services, "redis")
        assert failing(diagnosis) == []
        assert found(diagnosis, "redis/down").status is Status.OK
        assert found(diagnosis, "redis/memory-full").status is Status.UNKNOWN
        assert "let the user run INFO" in " ".join(diagnosis.coverage.hints)
