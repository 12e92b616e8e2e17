"""The exporter's paths with probes that are plain functions: what is where, and what may be asked."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from exporters import verdicts
from exporters.application import AT_ONCE, Application
from exporters.looking import Lookout
from exporters.pages import PAGES, PROBED, page_of, paths_of, up_metric
from exporters.self_facts import DialFacts, ExporterFacts, ProbeFallbackFacts, VerdictFacts
from opsctl.facts import facts_class
from opsctl.facts.base import Connection, Facts
from opsctl.facts.host import HostFacts
from opsctl.facts.http import HttpFacts
from opsctl.facts.postgres import PostgresFacts
from opsctl.facts.redis import RedisFacts
from opsctl.facts.telegram import TelegramFacts
from opsctl.facts.tls import TlsFacts
from opsctl.kinds import KINDS
from opsctl.metrics import declared_metrics
from opsctl.model import Reading
from opsctl.stack.stack import Stack
from opsctl.stack.targets import Assignment
from tests.servers.base import free_port
from tests.unit.exporter import LONG, Client, ask, lookout, serving, stack

OK = Connection(state="ok")
WITHOUT_UP = {"host", "network", "data"}
SERVICES = {
    "db": {"postgres": {"dsn": "postgresql://app@127.0.0.1:5432/app"}},
    "cache": {"redis": ["redis://127.0.0.1:6379/0", "redis://127.0.0.1:6380/0"]},
    "api": {"http": ["https://shop.example/health"], "tls": ["shop.example"], "depends_on": ["db"]},
    "bot": {"telegram": {"token_env": "BOT_TOKEN"}},
}


def well(item: Assignment) -> Facts | None:
    """Return facts of a target that is well."""
    makers: dict[str, Callable[[], Facts]] = {
        "host": HostFacts,
        "postgres": lambda: PostgresFacts(connection=OK),
        "redis": lambda: RedisFacts(connection=OK, used_memory=7),
        "http": lambda: HttpFacts(connection=OK, success=True, duration_seconds=0.25),
        "tls": lambda: TlsFacts(connection=OK, not_after=2e9),
        "telegram": lambda: TelegramFacts(connection=OK, pending_updates=3),
    }
    return makers[item.target.kind]()


def samples(body: bytes) -> dict[str, float]:
    """Return the page as the client library reads it: name{labels} -> value."""
    return {
        sample.name + "".join(f" {key}={value}" for key, value in sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(body.decode())
        for sample in family.samples
    }


def application(facts_of: Callable[[Assignment], Facts | None] = well) -> Application:
    return Application(lookout(stack(SERVICES), facts_of), LONG)


def test_every_path_answers_with_the_text_format() -> None:
    with serving(application().answer) as server:
        for path in (*(f"/metrics/{name}" for name in PAGES), "/metrics/findings", "/metrics"):
            status, headers, body = ask(server.port, path)
            assert status == 200, path
            assert headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
            list(text_string_to_metric_families(body.decode()))
        status, headers, body = ask(server.port, "/")
        assert (status, headers["content-type"]) == (200, "text/html; charset=utf-8")
        assert b"/metrics/redis" in body
        assert ask(server.port, "/-/healthy")[0] == 200


@pytest.mark.parametrize(
    ("path", "method", "status"),
    [
        ("/nothing", "GET", 404),
        ("/metrics/", "GET", 404),
        ("/metrics/../etc/passwd", "GET", 404),
        ("/metrics", "POST", 405),
        ("/nothing", "POST", 404),
        ("/-/healthy", "PUT", 405),
        ("/probe", "GET", 400),
        ("/probe?target=http://other.example/", "GET", 400),
        ("/probe?target=https://shop.example/health&module=icmp", "GET", 400),
        ("/probe?target=a&target=b", "GET", 400),
        ("/probe?target=169.254.169.254:80&module=tcp", "GET", 400),
        ("/probe?target=other.example&module=dns", "GET", 400),
    ],
)
def test_what_is_not_there_is_said_in_one_line(path: str, method: str, status: int) -> None:
    with serving(application().answer) as server:
        found, headers, body = ask(server.port, path, method)
        assert found == status
        assert body.count(b"\n") == 1
        assert b"example" not in body
        assert ("allow" in headers) == (status == 405)


def test_several_servers_of_a_kind_are_told_apart_and_one_is_not() -> None:
    with serving(application().answer) as server:
        redis = samples(ask(server.port, "/metrics/redis")[2])
        assert redis["redis_up server=127.0.0.1:6379 service=cache"] == 1
        assert redis["redis_up server=127.0.0.1:6380 service=cache"] == 1
        postgres = samples(ask(server.port, "/metrics/postgres")[2])
        assert postgres["pg_up service=db"] == 1
        assert all("service=" not in name for name in samples(ask(server.port, "/metrics/node")[2]))


def test_a_target_that_says_nothing_is_down_and_the_page_comes() -> None:
    with serving(
        application(lambda item: None if item.target.kind == "postgres" else well(item)).answer
    ) as server:
        postgres = samples(ask(server.port, "/metrics/postgres")[2])
        assert postgres == {"pg_up service=db": 0}
        own = samples(ask(server.port, "/metrics")[2])
        assert own["opsctl_exporter_collector_success collector=postgres target=db/postgres"] == 0
        assert own["opsctl_exporter_collection_failures_total collector=postgres target=db/postgres"] == 1


def test_a_target_that_hangs_costs_the_others_nothing() -> None:
    gate = threading.Event()
    hung: list[str] = []

    def facts_of(item: Assignment) -> Facts | None:
        if item.target.kind == "postgres":
            hung.append(item.target.id)
            assert gate.wait(LONG)
        return well(item)

    with serving(application(facts_of).answer) as server:
        try:
            for _ in range(8):
                status, _, body = ask(
                    server.port, "/metrics/postgres", x_prometheus_scrape_timeout_seconds="0.7"
                )
                assert (status, samples(body)) == (200, {"pg_up service=db": 0})
                assert samples(ask(server.port, "/metrics/redis")[2])
            assert len(hung) == 1, "one collection in flight"
            assert b"opsctl_checks" in ask(server.port, "/metrics/findings")[2]
        finally:
            gate.set()


def test_scrapes_at_the_same_time_share_one_collection() -> None:
    gate, inside = threading.Event(), threading.Event()
    looks: list[str] = []

    def facts_of(item: Assignment) -> Facts | None:
        looks.append(item.target.id)
        inside.set()
        assert gate.wait(LONG)
        return well(item)

    with serving(application(facts_of).answer) as server:
        clients = [Client(server.port) for _ in range(AT_ONCE)]
        extra = Client(server.port)
        try:
            for client in clients:
                client.send(b"GET /metrics/postgres HTTP/1.1\r\nHost: a\r\n\r\n")
            assert inside.wait(LONG)
            while extra.ask("/metrics")[2].find(b'scrapes_total{path="/metrics/postgres"} %d' % AT_ONCE) < 0:
                pass  # until all of them are inside
            status, headers, _ = extra.ask("/metrics/postgres")
            assert (status, headers["retry-after"]) == (503, "1")
            gate.set()
            assert [client.answer()[0] for client in clients] == [200] * AT_ONCE
            assert looks == ["db/postgres"]
        finally:
            gate.set()
            for client in (*clients, extra):
                client.__exit__()


def test_who_has_more_time_does_not_get_the_failure_of_one_in_a_hurry() -> None:
    inside, gate = threading.Event(), threading.Event()
    allowed: list[float] = []

    def looker(_stack: Stack, item: Assignment, seconds: float, *_: object) -> Reading:
        """What it looks at takes a second to answer."""
        allowed.append(seconds)
        inside.set()
        assert gate.wait(LONG)
        facts = well(item) if seconds > 1 else None
        return Reading(target=item.target, taken_at=datetime.now(UTC), duration_seconds=1.0, facts=facts)

    watched = Lookout(stack({"db": SERVICES["db"]}), looker, LONG)
    chosen = watched.of_kinds(["postgres"])
    found: dict[str, Reading] = {}

    def scrape(name: str, seconds: float) -> None:
        (found[name],) = watched.readings(chosen, time.monotonic() + seconds)

    hurried = threading.Thread(target=scrape, args=("hurried", 0.5))
    patient = threading.Thread(target=scrape, args=("patient", LONG))
    hurried.start()
    assert inside.wait(LONG)
    patient.start()
    hurried.join(LONG)
    gate.set()
    patient.join(LONG)
    assert found["hurried"].facts is None
    assert found["patient"].facts is not None
    assert [seconds > 1 for seconds in allowed] == [False, True]


def test_what_a_probe_leaves_to_be_done_ahead_is_done_before_the_next_look_begins() -> None:
    done: list[str | float] = []

    def looker(_stack: Stack, item: Assignment, seconds: float, *more: Any) -> Reading:
        done.append("look")
        more[-1]["kept"]["ahead"] = done.append
        return Reading(target=item.target, taken_at=datetime.now(UTC), duration_seconds=1.0, facts=well(item))

    watched = Lookout(stack({"db": SERVICES["db"]}), looker, LONG)
    for _ in range(2):
        watched.readings(watched.of_kinds(["postgres"]), time.monotonic() + 2 * LONG, here=True)
    assert done == ["look", LONG, "look"]


def test_the_exporter_tells_of_itself() -> None:
    with serving(application().answer) as server:
        ask(server.port, "/metrics/redis")
        own = samples(ask(server.port, "/metrics")[2])
        assert own["opsctl_exporter_scrapes_total path=/metrics/redis"] == 1
        assert own["opsctl_exporter_collector_success collector=redis target=cache/redis/127.0.0.1:6379"] == 1
        names = {name.split(" ")[0] for name in own}
        assert {
            "process_cpu_seconds_total",
            "process_open_fds",
            "process_max_fds",
            "process_virtual_memory_bytes",
            "process_resident_memory_bytes",
            "process_start_time_seconds",
            "opsctl_build_info",
            "opsctl_exporter_collector_duration_seconds",
            "opsctl_exporter_collector_last_success_timestamp_seconds",
        } <= names


def test_verdicts_are_kept_for_a_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verdicts, "KEPT_SECONDS", 3600.0)
    looks: list[str] = []

    def facts_of(item: Assignment) -> Facts | None:
        looks.append(item.target.id)
        return (
            RedisFacts(up=False, connection=Connection(state="refused"))
            if item.target.kind == "redis"
            else well(item)
        )

    with serving(application(facts_of).answer) as server:
        first = ask(server.port, "/metrics/findings")[2]
        count = len(looks)
        assert ask(server.port, "/metrics/findings")[2] == first
        assert len(looks) == count
        found = samples(first)
        down = "finding=redis/down service=cache status=critical subject= target=cache/redis/127.0.0.1:6379"
        assert found[f"opsctl_root_cause {down}"] == 1
        assert any(name.startswith("opsctl_finding finding=redis/down") for name in found)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("target=https://shop.example/health", {"probe_success": 1, "probe_duration_seconds": 0.25}),
        ("target=https://shop.example/health&module=http_2xx", {"probe_success": 1}),
        ("target=api/http/https://shop.example/health&module=http", {"probe_success": 1}),
        ("target=shop.example&module=tls", {"probe_success": 1, "probe_ssl_earliest_cert_expiry": 2e9}),
        ("target=bot&module=telegram", {"probe_success": 1, "opsctl_telegram_pending_updates": 3}),
        ("target=127.0.0.1&module=dns", {"probe_success": 1, "probe_dns_answer_rrs": 1}),
    ],
)
def test_a_probe_of_a_target_of_the_stack(query: str, expected: dict[str, float]) -> None:
    with serving(application().answer) as server:
        status, _, body = ask(server.port, f"/probe?{query}")
        found = samples(body)
        assert status == 200
        assert expected.items() <= found.items()
        assert {"probe_success", "probe_duration_seconds"} <= set(found)


def test_a_probe_that_fails_says_so_with_200() -> None:
    with serving(application(lambda _item: None).answer) as server:
        for query in (
            "target=https://shop.example/health",
            "target=shop.example&module=tls",
            "target=bot&module=telegram",
        ):
            status, _, body = ask(server.port, f"/probe?{query}")
            assert (status, samples(body)["probe_success"]) == (200, 0)


def test_a_tcp_probe_sees_a_port_open_and_closed() -> None:
    closed = free_port()
    with serving(application().answer) as open_one:
        services = {"a": {"redis": [f"redis://127.0.0.1:{port}/0" for port in (open_one.port, closed)]}}
        with serving(Application(lookout(stack(services), well)).answer) as server:
            for port, success in ((open_one.port, 1), (closed, 0)):
                status, _, body = ask(server.port, f"/probe?module=tcp&target=127.0.0.1:{port}")
                assert (status, samples(body)["probe_success"]) == (200, success)


def test_every_kind_is_on_one_page_or_is_probed() -> None:
    shown = [kind for kinds, _ in PAGES.values() for kind in kinds]
    assert len(set(shown)) == len(shown)
    assert {*shown, *PROBED} == {*KINDS}
    for kind in KINDS:
        paths = paths_of(kind)
        assert paths == (
            *([f"/metrics/{page_of(kind)}"] if kind in shown else []),
            *["/probe"] * (kind in PROBED),
        )
        assert paths
    with pytest.raises(LookupError):
        page_of("no such kind")


def test_every_kind_but_those_without_a_server_says_whether_it_is_up() -> None:
    """A target that says nothing must not be a page that says nothing."""
    assert {kind for kind in KINDS if up_metric(kind) is None} == WITHOUT_UP


def test_what_the_exporter_says_of_itself_is_declared_as_everything_else_is() -> None:
    import re

    of_kinds = {
        metric.name: getattr(metric, "type", "gauge")
        for kind in KINDS
        for metric, _ in declared_metrics(facts_class(kind))
    }
    for record in (ExporterFacts, VerdictFacts, DialFacts, ProbeFallbackFacts):
        for metric, labels in declared_metrics(record):
            kind = getattr(metric, "type", "gauge")
            assert re.fullmatch(r"[a-z][a-z0-9_]*", metric.name)
            assert of_kinds.get(metric.name, kind) == kind, metric.name
            assert (kind == "counter") == metric.name.endswith("_total"), metric.name
            assert metric.help
            assert not metric.help.endswith(".")
            assert len(set(labels)) == len(labels)
