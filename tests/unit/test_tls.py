"""TLS: names, certificates and keys, and what the checks make of facts."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opsctl.facts.base import Connection
from opsctl.facts.tls import TlsFacts
from opsctl.judge import judge
from opsctl.metrics import exposition, facts_from_series, parse_exposition, samples
from opsctl.model import Finding, Reading, Snapshot, StackSummary, Status, Target
from opsctl.probes.tls_parsing import (
    MAX_NAMES,
    Encrypted,
    certificate_values,
    file_values,
    is_ip,
    key_matches,
    name_matches,
    split_address,
)
from tests.servers.certificates import NAME, Authority

NOW = datetime(2026, 11, 21, 4, 0, tzinfo=UTC)
DAY = 86400.0
AT = NOW.timestamp()


def judged(thresholds: dict[str, float | None] | None = None, **facts: Any) -> dict[str, Finding]:
    target = Target(kind="tls", service="nginx", name=NAME, address="127.0.0.1:443")
    snapshot = Snapshot(
        schema=1,
        opsctl_version="0",
        stack=StackSummary(
            name="x", flow="tls", origin="", services={}, thresholds={"tls/expiring": thresholds or {}}
        ),
        taken_at=NOW,
        duration_seconds=0,
        deadline_seconds=10,
        readings=(Reading(target=target, taken_at=NOW, duration_seconds=0, facts=TlsFacts(**facts)),),
    )
    return {finding.id.removeprefix("tls/"): finding for finding in judge(snapshot)}


HEALTHY: dict[str, Any] = {
    "address": "127.0.0.1:443",
    "name": NAME,
    "names": [NAME],
    "name_matches": True,
    "trusted": True,
    "not_before": AT - 30 * DAY,
    "not_after": AT + 60 * DAY,
    "fingerprint": "aa",
}


@pytest.mark.parametrize(
    ("change", "name", "status"),
    [
        ({"not_after": AT + 13 * DAY}, "expiring", Status.WARNING),
        ({"not_after": AT + 2 * DAY}, "expiring", Status.CRITICAL),
        ({"not_before": AT - 3 * DAY, "not_after": AT + 3 * DAY}, "expiring", Status.OK),
        ({"not_before": AT - 5 * DAY, "not_after": AT + 1 * DAY}, "expiring", Status.WARNING),
        ({"not_before": AT - 5.8 * DAY, "not_after": AT + 0.2 * DAY}, "expiring", Status.CRITICAL),
        ({"not_after": AT - 1}, "expired", Status.CRITICAL),
        ({"not_before": AT + 5}, "expired", Status.CRITICAL),
        ({"name_matches": False}, "name-mismatch", Status.CRITICAL),
        ({"trusted": False, "verify_code": 20}, "untrusted", Status.CRITICAL),
        ({"trusted": False, "verify_code": 10}, "untrusted", Status.CRITICAL),  # an intermediate
        ({"trusted": None}, "untrusted", Status.UNKNOWN),
        ({"certificate_file": "c", "key_file": "k", "key_matches": False}, "key-mismatch", Status.WARNING),
        ({"certificate_file": "c", "key_file": "k"}, "key-mismatch", Status.UNKNOWN),
        (
            {
                "certificate_file": "c",
                "file_fingerprint": "bb",
                "file_not_before": AT - DAY,
                "file_not_after": AT + 89 * DAY,
            },
            "file-newer-than-served",
            Status.WARNING,
        ),
        (
            {
                "certificate_file": "c",
                "file_fingerprint": "bb",
                "file_not_before": AT - 90 * DAY,
                "file_not_after": AT,
            },
            "file-newer-than-served",
            Status.OK,
        ),
        ({"certificate_file": "c", "file_fingerprint": "aa"}, "file-newer-than-served", Status.OK),
    ],
)
def test_judging(change: dict[str, Any], name: str, status: Status) -> None:
    found = judged(**(HEALTHY | change))
    assert found[name].status is status
    assert {slug for slug, item in found.items() if item.status.failing} <= {name}


def test_a_healthy_certificate_is_wholly_seen() -> None:
    assert {item.status for item in judged(**HEALTHY).values()} == {Status.OK}


def test_an_expired_certificate_is_judged_once() -> None:
    found = judged(**(HEALTHY | {"not_after": AT - DAY, "trusted": False, "verify_code": 10}))
    assert found["expired"].status is Status.CRITICAL
    assert found["expiring"].status is Status.BLOCKED
    assert found["untrusted"].status is Status.BLOCKED


def test_own_limits_are_in_days() -> None:
    assert judged({"warning": 90.0}, **HEALTHY)["expiring"].status is Status.WARNING


@pytest.mark.parametrize(
    ("state", "status"),
    [
        ("tls", Status.CRITICAL),
        ("closed", Status.CRITICAL),
        ("refused", Status.UNKNOWN),
        ("timeout", Status.UNKNOWN),
        ("name-unresolved", Status.UNKNOWN),
    ],
)
def test_without_a_handshake_nothing_is_said_of_the_certificate(state: str, status: Status) -> None:
    found = judged(up=False, connection=Connection(state=state), address="127.0.0.1:443", name=NAME)
    assert found.pop("handshake-failed").status is status
    assert {item.status for item in found.values()} == {Status.BLOCKED}


@pytest.mark.parametrize(
    ("host", "names", "matches"),
    [
        ("shop.example", ["shop.example"], True),
        ("SHOP.Example.", ["shop.example"], True),
        ("www.shop.example", ["shop.example"], False),
        ("www.shop.example", ["*.shop.example"], True),
        ("a.www.shop.example", ["*.shop.example"], False),
        ("shop.example", ["*.shop.example"], False),
        ("shop.example", ["*.example"], False),
        ("shop.example", ["*"], False),
        ("shop.example", ["s*.example"], False),
        ("shop.example", [], False),
        ("127.0.0.1", ["127.0.0.1"], True),
        ("127.0.0.1", ["*.0.0.1"], False),
        ("::1", ["0:0:0:0:0:0:0:1"], True),
        ("пример.рф", ["xn--e1afmkfd.xn--p1ai"], True),
    ],
)
def test_names_are_compared_as_browsers_do(host: str, names: list[str], matches: bool) -> None:
    assert name_matches(host, names) is matches


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("shop.example", ("shop.example", 443)),
        ("shop.example:8443", ("shop.example", 8443)),
        ("[::1]:8443", ("::1", 8443)),
        ("[::1]", ("::1", 443)),
        ("::1", ("::1", 443)),
        ("127.0.0.1:1", ("127.0.0.1", 1)),
    ],
)
def test_addresses(text: str, expected: tuple[str, int]) -> None:
    assert split_address(text) == expected


@pytest.mark.parametrize("text", ["shop.example:https", "shop.example:0", "shop.example:65536", "[::1]:x"])
def test_ports_that_are_none(text: str) -> None:
    with pytest.raises(ValueError, match="not a port"):
        split_address(text)


@given(st.text())
def test_any_address_is_split_or_refused(text: str) -> None:
    try:
        host, port = split_address(text)
    except ValueError:
        return
    assert 0 < port < 65536
    assert isinstance(host, str)


@given(st.text(), st.lists(st.text(), max_size=5))
def test_any_names_can_be_compared(host: str, names: list[str]) -> None:
    assert name_matches(host, names) in (True, False)
    assert is_ip(host) in (True, False)


@given(st.binary(max_size=300))
def test_what_is_no_certificate_is_refused(data: bytes) -> None:
    for read in (certificate_values, file_values):
        with pytest.raises(ValueError):
            read(data)


def test_a_certificate_and_its_key(tmp_path: Path) -> None:
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import Encoding

    authority = Authority(tmp_path)
    pair, other = (
        authority.issue("many", names=[f"n{number}.example" for number in range(80)]),
        authority.good(),
    )
    pem = pair.certificate.read_bytes()
    der = x509.load_pem_x509_certificate(pem).public_bytes(Encoding.DER)
    values = certificate_values(der)
    assert len(values["names"]) == MAX_NAMES
    assert values["issuer"] == "CN=opsctl test authority"
    assert file_values(pem)["file_fingerprint"] == values["fingerprint"]
    assert key_matches(pem, pair.key.read_bytes())
    assert not key_matches(pem, other.key.read_bytes())


def test_a_key_with_a_passphrase_and_no_key_at_all(tmp_path: Path) -> None:
    from cryptography.hazmat.primitives.serialization import (
        BestAvailableEncryption,
        Encoding,
        PrivateFormat,
        load_pem_private_key,
    )

    pair = Authority(tmp_path).good()
    pem = pair.certificate.read_bytes()
    key = load_pem_private_key(pair.key.read_bytes(), None)
    locked = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"passphrase"))
    with pytest.raises(Encrypted):
        key_matches(pem, locked)
    secret = b"-----BEGIN PRIVATE KEY-----\nc2VjcmV0LWNhbmFyeQ==\n-----END PRIVATE KEY-----\n"
    with pytest.raises(ValueError) as refused:
        key_matches(pem, secret)
    assert "c2Vjc" not in str(refused.value)
    assert refused.value.__suppress_context__


def test_numbers_survive_the_way_to_metrics_and_back() -> None:
    facts = TlsFacts(**HEALTHY, issuer='CN="odd"\\name')
    back = facts_from_series(TlsFacts, parse_exposition(exposition(samples(facts))))
    assert (back.not_after, back.trusted, back.issuer) == (facts.not_after, True, facts.issuer)
    assert back.key_matches is None
