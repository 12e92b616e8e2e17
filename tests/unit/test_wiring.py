"""Who passes requests to whom."""

from __future__ import annotations

from datetime import UTC, datetime

from opsctl.facts.base import Connection, Facts
from opsctl.facts.nginx import NginxFacts, Upstream
from opsctl.model import Reading, ServiceSummary, Snapshot, StackSummary, Target
from opsctl.wiring import asked_through, passes_to

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def snapshot(*readings: tuple[Target, Facts | None], **services: ServiceSummary) -> Snapshot:
    return Snapshot(
        schema=1,
        opsctl_version="0",
        stack=StackSummary(name="x", flow="systemd", origin="test", services=services),
        taken_at=NOW,
        duration_seconds=0,
        deadline_seconds=10,
        readings=tuple(
            Reading(target=target, taken_at=NOW, duration_seconds=0, facts=facts)
            for target, facts in readings
        ),
    )


def test_upstreams_are_joined_to_the_services_that_listen_there() -> None:
    nginx = NginxFacts(
        connection=Connection(state="ok"),
        upstreams=[
            Upstream(address="localhost:8000"),
            Upstream(address="unix:/run/php/fpm.sock"),
            Upstream(address="10.0.0.9:1"),
        ],
    )
    found = passes_to(
        snapshot(
            (Target(kind="nginx", service="proxy", address="127.0.0.1:443"), nginx),
            (Target(kind="http", service="api", address="127.0.0.1:8000"), None),
            (Target(kind="http", service="site", address="127.0.0.1:8000", via="proxy"), None),
            (Target(kind="php", service="admin", address="/run/php/fpm.sock"), None),
        )
    )
    assert found == {"proxy": {"api", "admin"}}


def test_a_proxy_that_was_not_read_joins_nothing() -> None:
    assert passes_to(snapshot((Target(kind="nginx", service="proxy"), None))) == {}


def url(service: str, address: str, via: str = "") -> Target:
    return Target(kind="http", service=service, name=f"http://{address}/", address=address, via=via)


def test_a_url_is_asked_through_nginx_where_it_says_so_or_nginx_listens_there() -> None:
    targets = {
        "said": url("api", "10.0.0.1:8000", via="proxy"),
        "listens": url("api", "localhost:80"),
        "by-name": url("site", "shop.example:443"),
        "own": url("proxy", "shop.example:80"),
        "direct": url("api", "127.0.0.1:8000"),
        "own-direct": url("proxy", "127.0.0.1:8000"),
        "elsewhere": url("mail", "mail.example:443"),
        "elsewhere-port": url("site", "shop.example:8443"),
    }
    nginx = Target(kind="nginx", service="proxy", address="127.0.0.1:80")
    found = asked_through(
        snapshot(
            (nginx, None),
            *((target, None) for target in targets.values()),
            site=ServiceSummary(depends_on=("proxy",)),
            api=ServiceSummary(),
            mail=ServiceSummary(),
        )
    )
    through = {name for name, target in targets.items() if found.get(target.id) == frozenset({"proxy"})}
    assert through == {"said", "listens", "by-name", "own"}
    assert len(found) == len(through)
