"""The pages: which kinds a path shows, under which labels, and what it says of a target that said nothing."""

from __future__ import annotations

import functools
from collections import Counter
from typing import TYPE_CHECKING

from exporters.exposition import Labels, LabelTexts, Page
from opsctl.facts import facts_class
from opsctl.metrics import declaration
from opsctl.model import HOST_SERVICE

if TYPE_CHECKING:
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


def labels_of(targets: list[Target]) -> list[Labels]:
    """Return the labels of all that each target's facts show on a page of these targets.

    The machine itself has none. Where the page shows more than one server of a kind, they are told
    apart as exporters of several targets do it.
    """
    counts = Counter(target.kind for target in targets)
    found: list[Labels] = []
    for target in targets:
        labels: dict[str, str] = {}
        if target.service != HOST_SERVICE:
            labels["service"] = target.service
        label = SERVER_LABELS.get(target.kind)
        if label and counts[target.kind] > 1:
            labels[label] = target.name or target.address
        found.append(Labels(labels))
    return found


def write(page: Page, readings: list[Reading], labels: list[Labels]) -> None:
    """Write readings to a page, each under its labels; a target that said nothing is down there."""
    for reading, own in zip(readings, labels, strict=True):
        if reading.facts is not None:
            page.add(reading.facts, own)
        elif (metric := up_metric(reading.target.kind)) is not None:
            page.add_metric(metric, {**own.texts, **metric.labels}, 0)


class KindPage:
    """The page of some kinds: what it shows and under which labels is laid out once.

    Args:
        lookout: the stack and how to look at it.
        name: of the page, in `PAGES`.
    """

    def __init__(self, lookout: Lookout, name: str) -> None:
        self._lookout = lookout
        self._chosen = lookout.of_kinds(PAGES[name][0])
        self._labels = labels_of([item.target for item in self._chosen])

    @property
    def is_of_one(self) -> bool:
        """Whether it shows one target."""
        return len(self._chosen) == 1

    def now(self, until: float, texts: LabelTexts, here: bool = False) -> Page:
        """Look at what the page shows and return it; `here` says that the calling thread may hang."""
        readings = self._lookout.readings(self._chosen, until, here)
        page = Page(texts)  # after looking: what came to be known as secret on the way is left out
        write(page, readings, self._labels)
        return page
