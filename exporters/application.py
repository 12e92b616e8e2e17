"""What is at which path: the pages of the exporters, `/probe`, the exporter itself, a list of them."""

from __future__ import annotations

import functools
import math
import sys
import threading
import time
from typing import TYPE_CHECKING

from exporters.exposition import CONTENT_TYPE, LabelTexts, Page
from exporters.flights import GRACE_SECONDS
from exporters.pages import PAGES, KindPage, page_of
from exporters.probing import MODULES, Prober
from exporters.process import process_facts
from exporters.requests import Answer, BadRequest, Request, line
from exporters.self_facts import ExporterFacts, PathFacts
from exporters.verdicts import Verdicts
from opsctl import __version__

if TYPE_CHECKING:
    from collections.abc import Callable

    from exporters.looking import Lookout
    from exporters.relief import Work

_PYTHON = ".".join(map(str, sys.version_info[:3]))
OWN_SECONDS = 9.0
"""The longest that a page may take, whatever the scraper allows."""
LEAST_SECONDS = 0.2
AT_ONCE, PROBES_AT_ONCE = 4, 12
"""How many scrapes of one path are served at once; further ones are told to come again."""


Pages = dict[str, "Callable[[Request, float], Page]"]
"""Path -> what looks and returns its page."""


class _Path:
    """One path: how many ask for it now, and what is counted of it."""

    def __init__(self) -> None:
        self.now = self.scrapes = self.refused = 0
        self.seconds: float | None = None
        self.series: int | None = None


class _Scrape:
    """One scrape; counted once, whoever of two threads answers it.

    Args:
        application: whose pages are asked for.
        request: what is asked for.
        seconds: for how long the first of two threads is waited for.
        allowed: how long the answer may take; read from the request where it is not known yet.
    """

    def __init__(
        self, application: Application, request: Request, seconds: float = 0.0, allowed: float | None = None
    ) -> None:
        self._application, self._request, self.seconds = application, request, seconds
        self._allowed = allowed
        self._began = time.monotonic()
        self._entered = False
        self._series: int | None = None

    def first(self) -> Answer:
        return self.answer(self._application.pages_here)

    def instead(self) -> Answer:
        return self._answer(self._application.pages)

    def answer(self, pages: Pages) -> Answer:
        """Return the page, or that there are too many scrapes of it."""
        self._entered = self._application.enter(self._request.path)
        if not self._entered:
            return line(503, "too many scrapes of this path at once", Retry_After="1")
        return self._answer(pages)

    def end(self) -> None:
        if self._entered:
            self._application.leave(self._request.path, time.monotonic() - self._began, self._series)

    def _answer(self, pages: Pages) -> Answer:
        try:
            allowed = self._allowed or self._application.seconds_for(self._request)
            until = self._began + allowed  # whoever answers instead has no more time than the first had
            page = pages[self._request.path](self._request, until)
        except BadRequest as error:
            return line(error.status, error.words)
        self._series = page.series()
        return Answer(200, page.parts(), CONTENT_TYPE)


class Application:
    """Answers requests for one stack.

    Args:
        lookout: the stack and how to look at it.
        own_seconds: the longest that a page may take.
    """

    def __init__(self, lookout: Lookout, own_seconds: float = OWN_SECONDS) -> None:
        self._lookout, self._own_seconds = lookout, own_seconds
        self._texts = LabelTexts(lookout.redactor.text, lookout.redactor.count)
        self._verdicts = Verdicts(lookout)
        self._prober = Prober(lookout)
        self._lock = threading.Lock()
        kind_pages = {name: KindPage(lookout, name) for name in PAGES}
        self.pages: Pages = {
            **{f"/metrics/{name}": self._kind(page, here=False) for name, page in kind_pages.items()},
            "/metrics/findings": self._findings,
            "/probe": self._probe(here=False),
            "/metrics": self._itself,
        }
        self.pages_here: Pages = {
            f"/metrics/{name}": self._kind(page, here=True)
            for name, page in kind_pages.items()
            if page.is_of_one
        }
        self.pages_here["/probe"] = self._probe(here=True)
        self._paths = {path: _Path() for path in self.pages}
        self.connections: Callable[[], int] = int

    @property
    def paths(self) -> frozenset[str]:
        """The paths whose pages are metrics."""
        return frozenset(self.pages)

    def answer(self, request: Request) -> Answer:
        """Return the answer to a request; whatever goes wrong is one line, too."""
        if request.path not in self.pages and request.path not in ("/", "/-/healthy"):
            return line(404, "nothing is here; / lists what there is")
        if request.method not in ("GET", "HEAD"):
            return line(405, "GET and HEAD are answered here", Allow="GET, HEAD")
        if request.path == "/-/healthy":
            return line(200, "opsctl exporter is healthy")
        if request.path == "/":
            return Answer(200, self._landing(), "text/html; charset=utf-8")
        scrape = _Scrape(self, request)
        try:
            return scrape.answer(self.pages)
        finally:
            scrape.end()

    def work(self, request: Request) -> Work | None:
        """Return a request as work whose first answer is looked for by the thread that asks, and may hang.

        None where `answer` is called for: several targets, or too little time for another thread to answer.
        """
        if request.path not in self.pages_here or request.method not in ("GET", "HEAD"):
            return None
        seconds = self._lookout.probe_seconds + GRACE_SECONDS
        try:
            allowed = self.seconds_for(request)
        except BadRequest:
            return None
        return _Scrape(self, request, seconds, allowed) if allowed > seconds + LEAST_SECONDS else None

    def seconds_for(self, request: Request) -> float:
        """Return how long an answer may take.

        Raises:
            BadRequest: the scraper's header is no number.
        """
        return seconds_for(request, self._own_seconds)

    def enter(self, name: str) -> bool:
        """Count a scrape of a path; return False where there are too many at once."""
        path = self._paths[name]
        with self._lock:
            if path.now >= (PROBES_AT_ONCE if name == "/probe" else AT_ONCE):
                path.refused += 1
                return False
            path.now += 1
            path.scrapes += 1
            return True

    def leave(self, name: str, seconds: float, series: int | None) -> None:
        """Count a scrape that was entered as done."""
        path = self._paths[name]
        with self._lock:
            path.now -= 1
            path.seconds, path.series = seconds, path.series if series is None else series

    def _kind(self, page: KindPage, here: bool) -> Callable[[Request, float], Page]:
        return lambda _request, until: page.now(until, self._texts, here)

    def _findings(self, _request: Request, until: float) -> Page:
        facts = self._verdicts.facts(until)
        page = Page(self._texts)
        page.add(facts)
        return page

    def _probe(self, here: bool) -> Callable[[Request, float], Page]:
        return lambda request, until: self._prober.page(
            request.one("target"), request.one("module"), until, self._texts, here
        )

    def _itself(self, _request: Request, _until: float) -> Page:
        page = Page(self._texts)
        page.add(
            ExporterFacts(
                version=__version__,
                python=_PYTHON,
                process=process_facts(),
                lost_threads=self._lookout.flights.lost,
                connections=self.connections(),
                paths=[
                    PathFacts(
                        path=name,
                        scrapes=path.scrapes,
                        refused=path.refused,
                        seconds=path.seconds,
                        series=path.series,
                    )
                    for name, path in self._paths.items()
                ],
                collectors=self._lookout.collectors(page_of),
            )
        )
        return page

    def _landing(self) -> bytes:
        import html  # rarely asked for, and it brings a long table

        name = html.escape(self._lookout.stack.name)
        there = {item.target.kind for item in self._lookout.assignments}
        about = {f"/metrics/{page}": words for page, (kinds, words) in PAGES.items() if there & {*kinds}}
        about |= {
            "/metrics/findings": "the verdicts of opsctl",
            "/metrics": "this exporter itself",
            "/-/healthy": "whether it runs",
        }
        rows = "".join(f'<li><a href="{path}">{path}</a> {words}</li>' for path, words in about.items())
        return (
            f"<!doctype html><html lang=en><meta charset=utf-8><title>opsctl exporter</title>"
            f"<h1>opsctl exporter: {name}</h1><ul>{rows}"
            f"<li>/probe?module=&amp;target= one target of the stack ({', '.join(MODULES)})</li></ul>"
            f"<p>opsctl {__version__}</p></html>\n"
        ).encode("utf-8", "replace")


def seconds_for(request: Request, own: float) -> float:
    """Return how long an answer may take: our own limit, or half a second less than the scraper waits.

    Raises:
        BadRequest: the scraper's header is no number.
    """
    text = request.headers.get("x-prometheus-scrape-timeout-seconds", "")
    return _seconds_for(text, own) if text else own


@functools.lru_cache(maxsize=64)  # a scraper says the same again and again
def _seconds_for(text: str, own: float) -> float:
    try:
        waits = float(text)
    except ValueError:
        waits = math.nan
    if not waits > 0:
        raise BadRequest(400, "X-Prometheus-Scrape-Timeout-Seconds is no number of seconds")
    return min(own, max(waits - 0.5, min(waits / 2, LEAST_SECONDS)))
