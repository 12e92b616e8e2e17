"""What a dead engine and a name without an address are the reason of, and what they are not."""

from __future__ import annotations

from typing import Any

import pytest

from opsctl.causes import Causes, rank
from opsctl.diagnose import diagnose, role_of
from opsctl.explanations import Explanations
from opsctl.facts.base import Connection
from opsctl.facts.docker import DockerFacts
from opsctl.facts.telegram import TelegramFacts
from opsctl.flows import walk
from opsctl.judge import is_down, judge
from opsctl.model import Finding, Problem, ServiceSummary, Target
from opsctl.runbooks import all_runbooks, load_flow
from tests.unit.findings import finding
from tests.unit.snapshots import snapshot

STACK = {
    "db": ServiceSummary(container="postgres"),
    "web": ServiceSummary(container="web", depends_on=("db",)),
    "site": ServiceSummary(depends_on=("web",)),
    "shop": ServiceSummary(unit="shop.service"),
    "office": ServiceSummary(unit="office.service", depends_on=("db",)),
}
ENGINE = [
    finding("docker/daemon-down", "host"),
    finding("docker/daemon-hung", "host"),
    finding("container/all-down", "host"),
]
engine = pytest.mark.parametrize("cause", ENGINE, ids=lambda item: item.id)


def ranked(*findings: Finding, addresses: dict[str, str] | None = None, **more: Any) -> Causes:
    """Rank the findings; `addresses` are those of the targets, by id."""
    targets = {
        name: Target(kind=name.partition("/")[2], service=name.partition("/")[0], address=address)
        for name, address in (addresses or {}).items()
    }
    by = Explanations(STACK, targets, all_runbooks(), witnesses=findings, **more)
    return rank(findings, by, role_of, is_down)


def names(causes: Causes) -> set[str]:
    roots = [item.finding for item in (*causes.proven, *causes.unproven)] + causes.also
    return {f"{item.id}:{item.target}" for item in roots}


@engine
@pytest.mark.parametrize(
    "effect",
    [
        finding("http/refused", "shop", code="refused"),
        finding("http/status", "shop", code="502"),
        finding("postgres/down", "shop", code="refused"),
        finding("logs/connection-errors", "shop", "warning"),
    ],
    ids=lambda item: item.id,
)
def test_a_service_outside_docker_has_faults_of_its_own(cause: Finding, effect: Finding) -> None:
    assert names(ranked(cause, effect)) == {f"{cause.id}:host", f"{effect.id}:shop"}


@pytest.mark.parametrize(
    ("cause", "service"),
    # containers run on while the engine hangs, and nobody outside misses them
    [(ENGINE[1], "web"), *((cause, name) for cause in ENGINE[::2] for name in ("web", "site", "office"))],
)
def test_containers_and_what_leans_on_one_are_the_engines_fault(cause: Finding, service: str) -> None:
    effect = finding("logs/connection-errors", service, "warning")
    assert names(ranked(cause, effect)) == {f"{cause.id}:host"}


@pytest.mark.parametrize("service", ["web", "site"])
def test_what_has_no_process_outside_docker_is_not_there_without_it(service: str) -> None:
    cause = finding("docker/daemon-down", "host")
    assert names(ranked(cause, finding("http/refused", service, code="refused"))) == {f"{cause.id}:host"}


def test_a_unit_that_leans_on_a_container_and_is_not_there_must_say_why() -> None:
    cause, effect = finding("docker/daemon-down", "host"), finding("http/refused", "office", code="refused")
    assert len(names(ranked(cause, effect))) == 2
    witness = finding("logs/connection-errors", "office", "warning")
    assert names(ranked(cause, effect, witness)) == {"docker/daemon-down:host"}


@pytest.mark.parametrize(
    "cause", [ENGINE[0], finding("container/exited", "web")], ids=lambda item: str(item.id)
)
@pytest.mark.parametrize(("host", "roots"), [("shop.example.com", 2), ("web", 1), ("localhost", 2)])
def test_only_names_of_containers_go_with_them(cause: Finding, host: str, roots: int) -> None:
    effect = finding("http/name-unresolved", "web")
    assert len(names(ranked(cause, effect, addresses={effect.target_id: f"{host}:443"}))) == roots


def test_a_database_asked_by_a_public_name_is_no_containers_fault_where_that_name_is_gone() -> None:
    effect = finding("postgres/down", "db", code="name-unresolved")
    cause = finding("docker/daemon-down", "host")
    assert len(names(ranked(cause, effect, addresses={effect.target_id: "db.example.com:5432"}))) == 2
    assert len(names(ranked(cause, effect, addresses={effect.target_id: "postgres:5432"}))) == 1


def test_a_public_name_that_is_gone_is_explained_by_the_resolver_alone() -> None:
    page = finding("http/name-unresolved", "site", subject="https://shop.example.com/")
    resolver = finding("network/name-unresolved", "host", subject="shop.example.com")
    causes = ranked(
        finding("docker/daemon-down", "host"),
        resolver,
        page,
        addresses={page.target_id: "shop.example.com:443"},
    )
    chains = {item.finding.id: [one.id for one in item.chain] for item in causes.proven}
    assert chains == {"docker/daemon-down": [], "network/name-unresolved": ["http/name-unresolved"]}


@pytest.mark.parametrize("slug", ["logs/connection-errors", "telegram/unreachable"])
@pytest.mark.parametrize(("code", "roots"), [("name-unresolved", 1), ("refused", 2), ("", 2)])
def test_a_name_without_an_address_explains_failed_lookups_only(slug: str, code: str, roots: int) -> None:
    cause = finding("network/name-unresolved", "host", subject="old-partner.invalid")
    assert len(names(ranked(cause, finding(slug, "shop", code=code)))) == roots


@pytest.mark.parametrize("code", ["tls", "closed", "protocol"])
@pytest.mark.parametrize(
    ("tls", "page", "roots"),
    [
        (Target(kind="tls", service="shop", name="a.example", address="127.0.0.1:81"), "localhost:81", 1),
        (Target(kind="tls", service="shop", name="a.example", address="127.0.0.1:81"), "a.example:443", 1),
        (Target(kind="tls", service="shop", name="a.example", address="a.example"), "a.example:443", 1),
        (Target(kind="tls", service="shop", name="a.example", address="a.example"), "a.example:80", 2),
        (Target(kind="tls", service="shop", name="a.example", address="a.example"), "b.example:443", 2),
    ],
)
def test_one_port_without_tls_is_one_fault_whosever_it_is(
    tls: Target, page: str, roots: int, code: str
) -> None:
    findings = [finding("tls/handshake-failed", "shop"), finding("http/refused", "web", code=code)]
    targets = {"shop/tls": tls, "web/http": Target(kind="http", service="web", address=page)}
    causes = rank(findings, Explanations(STACK, targets, all_runbooks()), role_of, is_down)
    assert len(names(causes)) == roots


def test_without_the_engine_nothing_is_said_of_the_containers() -> None:
    gone = DockerFacts(up=False, connection=Connection(state="missing"), endpoint="unix:///run/none.sock")
    unseen = Problem(code="refused", message="the engine does not answer", parent="docker")
    seen = diagnose(snapshot({"host/docker": gone, "web/container": unseen}, flow="containers"))
    steps = {step.step: step for step in seen.path}
    assert steps["status"].answer == "could not look"
    assert steps["status"].because == ("docker/daemon-down:host",)
    assert steps["docker"].answer == "it does not run"


def test_containers_that_were_seen_to_be_down_are_said_to_be() -> None:
    steps = walk("containers", [finding("container/all-down", "host")], load_flow)
    assert [step.answer for step in steps][:1] == ["all down"]
    assert steps[0].action == "check Docker service"


def test_an_unreachable_bot_api_says_in_which_way() -> None:
    facts = TelegramFacts(
        up=False,
        connection=Connection(state="name-unresolved", detail="its name does not resolve"),
        address="https://api.telegram.org",
    )
    found = [item for item in judge(snapshot({"shop/telegram": facts})) if item.id == "telegram/unreachable"]
    assert [item.code for item in found] == ["name-unresolved"]
