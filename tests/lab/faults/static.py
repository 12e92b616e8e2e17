"""rostferrum's 650 category pages: what a build can lack while nginx and the application are well."""

from __future__ import annotations

from collections.abc import Iterator

from tests.lab.faults.base import fault
from tests.lab.stacks.base import System
from tests.lab.stacks.rostferrum import ROOT

DIST = f"{ROOT}/dist"
OTHERS = ["nginx/*", "systemd/*", "postgres/*", "redis/*"]


@fault(
    "rostferrum", expect=[("static/page-missing", "site")], shows=[("http/status", "site")], innocent=OTHERS
)
def page_not_in_the_build(lab: System) -> Iterator[None]:
    """One documented page is absent: nginx and its root are well, the build is not."""
    lab.sh(f"mv {DIST}/about /tmp/about")
    lab.see_load()
    yield
    lab.sh(f"mv /tmp/about {DIST}/about")


@fault("rostferrum", expect=[("static/page-missing", "site")], innocent=[*OTHERS, "http/*"])
def build_cut_short(lab: System) -> Iterator[None]:
    """The build ended after 400 of 650 categories; every page that is asked for is among them."""
    lab.sh(f"mkdir /tmp/categories; seq -f {DIST}/catalog/category-%g 400 649 | xargs mv -t /tmp/categories")
    yield
    lab.sh(f"mv -t {DIST}/catalog /tmp/categories/*; rmdir /tmp/categories")


@fault("rostferrum", expect=[("static/build-stale", "site")], innocent=[*OTHERS, "http/*"])
def template_changed_and_not_built(lab: System) -> Iterator[None]:
    """A template was changed an hour ago; the build is of yesterday."""
    lab.sh(f"find {DIST} -exec touch -d '-1 day' {{}} +; touch -d '-1 hour' {ROOT}/templates/page.html")
    yield
    lab.sh(f"find {DIST} -exec touch {{}} +")
