"""The pages: which kinds a path shows, under which labels, and what it says of a target that said nothing."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from exporters.exposition import LabelTexts, Page
from opsctl.facts import facts_class
from opsctl.metrics import declaration
from opsctl.model import HOST_SERVICE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from exporters.looking import Lookout
    from opsctl.facts.base import Metric
    from opsctl.model import Reading, Target

PAGES: dict[str, tuple[tuple[str, ...], str]] = {
    "node": (("host", "network"), "the machine"),
    "postgres": (("postgres",), "PostgreSQL"),
    "redis": (("redis",), "Redis"),
    "nginx": (("nginx",), "nginx"),
    "php": (("php",), "PHP-FPM"),
    "container": (("docker", "container"), "the Docker engine and the containers of the stack"),
    "systemd": (("systemd",), "the units of the stack"),
    "logs": (("logs",), "errors in the logs of the stack"),
    "data": (("data",), "named SQL queries of the stack file"),
    "telegram": (("telegram",), "the bots of the stack and their webhooks"),
    "config": (("config",), "the env files of the services: what is set, never to what"),
    "static": (("static",), "pages that are built beforehand"),
    "monitoring": (("monitoring",), "the stack's own Prometheus and Alertmanager"),
}
"""Name of the page -> (kinds, what it is about)."""

PROBED = ("http", "tls", "telegram")
"""Kinds that `/probe` looks at, one target at a time."""

SERVER_LABELS = {
    **dict.fromkeys(("postgres", "redis", "nginx", "php", "monitoring"), "server"),
    "logs": "log",
    "telegram": "bot",
    "static": "build",
}
"""Kinds of which a stack may have several, and the label that then tells them apart."""


def page_of(kind: str) -> str:
    """Return the name of the page that shows a kind; `probe` where none but that does.

    Raises:
        LookupError: no page shows it.
    """
    for name, (kinds, _) in PAGES.items():
        if kind in kinds:
            return name
    if kind in PROBED:
        return "probe"
    raise LookupError(f"no page shows the kind {kind!r}")


def paths_of(kind: str) -> tuple[str, ...]:
    """Return the paths that show a kind."""
    own = tuple(f"/metrics/{name}" for name, (kinds, _) in PAGES.items() if kind in kinds)
    return (*own, "/probe") if kind in PROBED else own


@functools.cache
def up_metric(kind: str) -> Metric | None:
    """Return the metric that says whether a target of a kind is up, where the kind has one."""
    numbers = declaration(facts_class(kind)).numbers
    return next((number.metric for number in numbers if number.field == "up"), None)


def labels_of(target: Target, several: bool) -> dict[str, str]:
    """Return the labels of all that a target's facts show.

    The machine itself has none. `several` says that the page shows more than one server of the
    kind: they are then told apart as exporters of several targets do it.
    """
    labels: dict[str, str] = {}
    if target.service != HOST_SERVICE:
        labels["service"] = target.service
    label = SERVER_LABELS.get(target.kind)
    if label and several:
        labels[label] = target.name or target.address
    return labels


def write(page: Page, readings: list[Reading]) -> None:
    """Write readings to a page; a target that said nothing is down there."""
    counts: dict[str, int] = {}
    for reading in readings:
        counts[reading.target.kind] = counts.get(reading.target.kind, 0) + 1
    for reading in readings:
        labels = labels_of(reading.target, counts[reading.target.kind] > 1)
        if reading.facts is not None:
            page.add(reading.facts, labels)
        else:
            _down(page, reading, labels)


def _down(page: Page, reading: Reading, labels: Mapping[str, str]) -> None:
    metric = up_metric(reading.target.kind)
    if metric is not None:
        page.add_metric(metric, {**labels, **metric.labels}, 0)


def kind_page(lookout: Lookout, name: str, until: float, texts: LabelTexts, here: bool = False) -> Page:
    """Look at what a page shows and return it; `here` says that the calling thread may hang."""
    readings = lookout.readings(lookout.of_kinds(PAGES[name][0]), until, here)
    page = Page(texts)  # after looking: what came to be known as secret on the way is left out
    write(page, readings)
    return page
