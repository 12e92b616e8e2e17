"""Pages of the exporter beside real servers: nothing that the golden files do not know, all that is needed.

A must-have is a standard name that three or more of the known dashboards ask for, and what only opsctl has.
"""

from __future__ import annotations

import json
import shutil
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from copy import deepcopy
from pathlib import Path

import pytest

from opsctl.metrics import parse_exposition
from tests.live.test_exporter import WAITS, Exporter, exporting
from tests.servers.nginx import NginxServer
from tests.servers.postgres import PostgresServer
from tests.servers.redis import RedisServer
from tests.servers.telegram import TOKEN, FakeBotApi
from tests.unit.exporter_golden import families, golden
from tests.unit.strict import strictly

pytestmark = [
    pytest.mark.live,
    pytest.mark.skipif(shutil.which("nginx", path="/usr/sbin:/usr/bin") is None, reason="apt install nginx"),
]

Bed = tuple[Exporter, str]
"""The exporter, and the page that it may probe."""
DATA = Path(__file__).parent.parent / "unit" / "data" / "metrics"
STANDARD = json.loads((DATA / "standard.json").read_text())
ODD_DATABASE = 'Grö"ße\n\\ 数据库'
POOLS = {"backend": 60, "worker": 20}

OWN = {
    "postgres": {
        "opsctl_connection_info",
        "opsctl_postgres_pool_connections",
        "opsctl_postgres_pool_limit_connections",
        "pg_database_size_bytes",
    },
    "redis": {"opsctl_connection_info", "redis_memory_max_bytes", "redis_total_system_memory_bytes"},
    "nginx": {
        "nginx_up",
        "nginx_connections_accepted",
        "nginx_connections_active",
        "nginx_connections_handled",
        "nginx_connections_reading",
        "nginx_connections_waiting",
        "nginx_connections_writing",
        "nginx_http_requests_total",
    },
    "node": {"node_load1", "node_boot_time_seconds"},
    "findings": {"opsctl_checks", "opsctl_finding", "opsctl_findings_timestamp_seconds"},
    "exporter": {"opsctl_exporter_scrapes_total", "opsctl_exporter_collector_success", "opsctl_build_info"},
    "probe": {"probe_success", "probe_duration_seconds", "probe_http_status_code"},
}
"""Page -> what must be there beside the standard names that many ask for."""

NOT_HERE = {
    "pg_stat_user_tables_last_autovacuum",  # a table of a few seconds' age has seen none
    "pg_stat_statements_calls_total",  # needs an extension that has to be preloaded
    "probe_ssl_earliest_cert_expiry",  # the page is asked for without TLS
}


@pytest.fixture(scope="module")
def bed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bed]:
    """Give an exporter beside a PostgreSQL, a Redis and an nginx that have done a little work."""
    with ExitStack() as stack:
        postgres = stack.enter_context(PostgresServer())
        redis = stack.enter_context(RedisServer())
        nginx = stack.enter_context(NginxServer())
        assert isinstance(redis, RedisServer)
        assert isinstance(nginx, NginxServer)
        quoted = ODD_DATABASE.replace('"', '""')
        postgres.sql(f'create database "{quoted}"')
        postgres.sql('create table "odd ""\n\\ table" (id int primary key)', postgres.database)
        redis.client().set("a", "b")
        page = f"{nginx.url('/')}index.html"
        urllib.request.urlopen(page, timeout=WAITS).close()
        services = {
            "db": postgres.stack_spec(),
            "cache": {"redis": {"url": redis.url}},
            "web": {
                "nginx": nginx.stack_spec(),
                "http": [page],
            },
            "backend": {
                "replicas": 3,
                "pool": {"size": 15, "overflow": 5},
                "depends_on": ["db"],
                "http": [page],
            },
            "worker": {"pool": {"size": 20}, "depends_on": ["db"], "http": [page]},
        }
        running = stack.enter_context(exporting(tmp_path_factory.mktemp("pages"), services))
        running.wait_up("postgres", 1)
        running.wait_up("redis", 1)
        yield running, page


def path_of(name: str, bed: Bed) -> str:
    if name == "probe":
        return f"/probe?module=http&target={bed[1]}"
    return "/metrics" if name == "exporter" else f"/metrics/{name}"


def wanted(name: str) -> set[str]:
    often = {family for family in golden(name) if STANDARD.get(family, {}).get("queried_by", 0) >= 3}
    return (often | OWN[name]) - NOT_HERE


@pytest.mark.parametrize("name", OWN)
def test_a_page_holds_what_is_needed_and_nothing_unknown(bed: Bed, name: str) -> None:
    for _ in range(3):  # the first look at a target knows less, later ones ask less
        status, text = bed[0].get(path_of(name, bed), WAITS)
        assert status == 200
        strictly(text)
        known, found = golden(name), families(text)
        assert {family: kind for family, (kind, _) in found.items()}.items() <= {
            family: kind for family, (kind, _) in known.items()
        }.items()
        assert {
            family: labels for family, (_, labels) in found.items() if not labels <= known[family][1]
        } == {}
    assert wanted(name) - found.keys() == set()


def test_a_database_with_any_name_is_on_the_page(bed: Bed) -> None:
    found = strictly(bed[0].get("/metrics/postgres", WAITS)[1])
    assert ODD_DATABASE in {labels["datname"] for labels in found["pg_database_size_bytes"]}
    assert 'odd "\n\\ table' in {labels["relname"] for labels in found["pg_stat_user_tables_n_live_tup"]}


def test_the_pools_and_what_they_share_stand_on_one_page(bed: Bed) -> None:
    series = parse_exposition(bed[0].get("/metrics/postgres", WAITS)[1])
    pools = {
        labels["client_service"]: int(value) for labels, value in series["opsctl_postgres_pool_connections"]
    }
    assert pools == POOLS
    kept = int(series["pg_settings_superuser_reserved_connections"][0][1])
    most = int(series["pg_settings_max_connections"][0][1])
    ((labels, limit),) = series["opsctl_postgres_pool_limit_connections"]
    assert (labels, int(limit)) == ({"service": "db"}, most - kept)


def test_the_state_of_a_bot_and_never_its_token(tmp_path: Path) -> None:
    (tmp_path / "bot.env").write_text(f"TELEGRAM_BOT_TOKEN={TOKEN}\n")
    with FakeBotApi() as api:
        bot = {
            "env": {"file": str(tmp_path / "bot.env"), "production": False},
            "telegram": {"token_env": "TELEGRAM_BOT_TOKEN", "api_url": api.url},
        }
        with exporting(tmp_path, {"bot": bot, "twin": deepcopy(bot)}) as exporter:
            api.webhook = {
                "url": f"https://bot.example/{TOKEN}",
                "pending_update_count": 4,
                "last_error_date": 1795236000,
                "last_error_message": "502 Bad Gateway",
            }
            for _ in range(2):
                status, text = exporter.get("/metrics/telegram", WAITS)
                assert status == 200
                assert TOKEN.partition(":")[2] not in text
            strictly(text)
            assert set(families(text)) == set(golden("telegram"))
            series = parse_exposition(text)
            for name, value in (
                ("up", 1),
                ("pollers", 2),
                ("webhook_set", 1),
                ("pending_updates", 4),
                ("webhook_last_error_timestamp_seconds", 1795236000),
            ):
                found = {labels["service"]: float(text) for labels, text in series[f"opsctl_telegram_{name}"]}
                assert found == {"bot": value, "twin": value}, name
            assert set(families(exporter.get("/metrics/config", WAITS)[1])) <= set(golden("config"))
            assert TOKEN not in exporter.get("/metrics/config", WAITS)[1]
            api.stop()
            assert exporter.samples("/metrics/telegram", 3)["opsctl_telegram_up"] == 0
