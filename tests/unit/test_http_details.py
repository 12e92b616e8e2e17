"""HTTP for metrics: what is kept of an answer, and of an attempt that got less far."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from opsctl.facts.base import Connection
from opsctl.facts.http_details import HttpDetails
from opsctl.metrics import samples
from opsctl.probes.http import details
from opsctl.probes.http_exchange import Exchange

CALM = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
"""The machine may be busy."""


def test_an_answer_over_tls() -> None:
    answer = Exchange(
        connection=Connection(state="ok"),
        phases={"resolve": 0.25},
        status=200,
        version=11,
        tls_version="TLSv1.2",
        certificate_end="Jan  5 09:34:43 2018 GMT",
    )
    assert details(answer) == HttpDetails(
        lookup_seconds=0.25,
        encrypted=True,
        version=1.1,
        tls_version="TLS 1.2",
        certificate_expiry=1515144883.0,
    )


def test_a_name_that_does_not_resolve() -> None:
    assert details(Exchange(connection=Connection(state="name-unresolved"))) == HttpDetails()


@CALM
@given(
    st.builds(
        Exchange,
        connection=st.just(Connection(state="ok")),
        version=st.none() | st.integers(),
        tls_version=st.text(max_size=10),
        certificate_end=st.text(max_size=30),
        phases=st.dictionaries(st.just("resolve"), st.floats(0, 10)),
    )
)
def test_no_answer_breaks_anything(answer: Exchange) -> None:
    list(samples(details(answer)))
