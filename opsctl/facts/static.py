"""What is known of pages that are built beforehand: the build, what it holds, and what is served of it."""

from __future__ import annotations

from opsctl.facts.base import Annotated, Facts, Label, Record, gauge


class Page(Record, frozen=True, kw_only=True):
    """One page that the stack file says the build holds."""

    page: Annotated[str, Label("page")]
    exists: Annotated[
        bool | None, gauge("opsctl_static_page_exists", "1 if the build holds its file, and not empty")
    ] = None
    changed_at: Annotated[
        float | None,
        gauge("opsctl_static_page_change_timestamp_seconds", "Last change of its file", unit="seconds"),
    ] = None
    served_status: Annotated[
        int | None, gauge("opsctl_static_page_http_status_code", "Status code with which it is served")
    ] = None
    served_changed_at: Annotated[
        float | None,
        gauge(
            "opsctl_static_page_served_change_timestamp_seconds",
            "Last-Modified of the page as it is served",
            unit="seconds",
        ),
    ] = None
    file: str = ""
    reason: str = ""
    """Why the file does not count: missing, empty, a folder without index.html."""


class PageCount(Record, frozen=True, kw_only=True):
    """How many pages of one pattern the build holds."""

    pattern: Annotated[str, Label("pattern")]
    found: Annotated[
        int | None, gauge("opsctl_static_pages", "Pages of the pattern that the build holds")
    ] = None
    wanted: Annotated[
        int, gauge("opsctl_static_pages_wanted", "Pages of the pattern that there must be at least")
    ] = 1
    without_index: list[str] = []


class StaticFacts(Facts, frozen=True, kw_only=True, tag="static"):
    """One build at one moment. `up` is whether its folder can be entered; None is "not read"."""

    up: Annotated[bool, gauge("opsctl_static_up", "1 if the folder of the build is there")] = True
    root: str = ""
    reason: str = ""
    url: str = ""
    pages: list[Page] = []
    counts: list[PageCount] = []
    built_at: Annotated[
        float | None,
        gauge("opsctl_static_build_timestamp_seconds", "Newest file of the build", unit="seconds"),
    ] = None
    built_file: str = ""
    source_changed_at: Annotated[
        float | None,
        gauge(
            "opsctl_static_source_change_timestamp_seconds",
            "Newest file that the build is made from",
            unit="seconds",
        ),
    ] = None
    source_file: str = ""
    max_age: Annotated[
        float | None,
        gauge("opsctl_static_max_age_seconds", "Age of the build that the stack file allows", unit="seconds"),
    ] = None
