"""What nginx logged of a page, beside what the page answered."""

from __future__ import annotations

from opsctl.corroborate import MAX_SUMMARY, with_the_proxys_reason
from opsctl.facts.base import Connection
from opsctl.facts.http import HttpFacts
from opsctl.facts.nginx import LogFile, NginxFacts, Refusal
from opsctl.model import Finding, Target
from tests.unit.findings import finding
from tests.unit.test_wiring import snapshot

OK = Connection(state="ok")
NGINX = Target(kind="nginx", service="proxy", address="127.0.0.1:80")
PAGE = Target(kind="http", service="pages", address="shop.example:80")
REASON = 'directory index of "/srv/catalog/" is forbidden'


def said(*refusals: Refusal, code: str = "403", url: str = "http://shop.example/catalog/") -> Finding:
    facts = NginxFacts(
        connection=OK, refusals=list(refusals), logs=[LogFile(path="/var/log/nginx/shop_error.log")]
    )
    page = HttpFacts(connection=OK, url=url, status_code=int(code))
    item = finding("http/status", "pages", code=code, summary="it answers badly")
    through = {PAGE.id: frozenset({"proxy"})}
    (result,) = with_the_proxys_reason([item], snapshot((NGINX, facts), (PAGE, page)), through)
    return result


def refusal(**values: str) -> Refusal:
    given = {"host": "shop.example", "path": "/catalog/", "status": "403", "reason": REASON}
    return Refusal(count=1, **(given | values))


def test_the_reason_and_where_it_stands_come_with_the_page() -> None:
    found = said(refusal())
    assert found.summary == f"it answers badly; nginx says: {REASON}"
    assert found.evidence[-1].source == "tail -n 50 /var/log/nginx/shop_error.log"
    assert REASON in found.evidence[-1].text


def test_of_two_hosts_the_pages_own_counts() -> None:
    other = refusal(host="other.example", reason="access forbidden by rule")
    assert REASON in said(other, refusal()).summary


def test_another_page_or_another_status_says_nothing() -> None:
    assert said(refusal(path="/about/")).summary == "it answers badly"
    assert said(refusal(), code="404").summary == "it answers badly"
    assert said().evidence == ()


def test_a_summary_stays_bounded() -> None:
    assert len(said(refusal(reason="x" * 300)).summary) <= MAX_SUMMARY
