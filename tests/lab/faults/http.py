"""Pages and endpoints: what users see where nothing on the machine says more.

A bad release is the same application with a few lines on top of it (`tests/lab/changes.py`).
"""

from __future__ import annotations

from collections.abc import Iterator

from tests.lab.changes import asked_for, drop_in, edited, release
from tests.lab.faults.base import fault
from tests.lab.stacks.base import ComposeSystem, System

ON_SYSTEMD = ("rostferrum", "iiko-base")
BACKENDS = ("rostferrum", "iiko-base", "wishlins")
"""Systems whose stack file asks the backend itself as well as through nginx."""
SITE = "/etc/nginx/sites-enabled/site"
PAGE = {
    "rostferrum": "/product/{slug}/",
    "iiko-base": "/api/v1/menu",
    "wishlins": "/api/v1/users",
    "freemarket": "/users/{number}",
}
"""A page of the backend that the stack file asks."""


def page(lab: System) -> str:
    """The head of a function that takes the page's place."""
    return f'\nfrom fastapi.responses import JSONResponse\n\n@instead("{PAGE[lab.name]}")\n'


@fault(*ON_SYSTEMD, expect=[("http/refused", "backend")], shows=[("http/status", "api")])
def application_on_another_port(lab: System) -> Iterator[None]:
    """The unit is active and the application well, but not where everybody asks for it."""
    unit = lab.units["backend"]
    start = lab.sh(f"grep ^ExecStart= /etc/systemd/system/{unit}.service").strip()
    moved = start.replace("--port 8000", "--port 8010")
    with drop_in(lab, "backend", f"[Service]\nExecStart=\n{moved}\n"):
        lab.wait("curl -sf -m 2 -o /dev/null http://127.0.0.1:8010/metrics", seconds=90)
        lab.see_load()
        yield


@fault("wishlins", expect=[("http/refused", "backend")], shows=[("http/status", "api")])
def application_on_its_containers_loopback(lab: ComposeSystem) -> Iterator[None]:
    """It listens on 127.0.0.1 inside: its own health check is content, and the published port is dead."""
    with edited(lab, lab.file, "--host 0.0.0.0 --port 8000", "--host 127.0.0.1 --port 8000"):
        lab.recreate("backend")
        lab.wait_well("backend")
        lab.see_load()
        yield
    lab.recreate("backend")


@fault(
    *ON_SYSTEMD,
    expect=[("http/timeout", "backend")],
    shows=[("http/status|http/timeout", "api")],
    hangs=True,
)
def application_frozen(lab: System) -> Iterator[None]:
    """Active, as systemd sees it; connections are accepted and nobody answers."""
    lab.sh("pkill -STOP -f '[_]api:app'")
    lab.see_load()
    yield
    lab.sh("pkill -CONT -f '[_]api:app'")


@fault(
    *ON_SYSTEMD,
    expect=[("http/timeout", "backend")],
    shows=[("http/status|http/timeout", "api")],
    hangs=True,
)
def packets_to_the_application_dropped(lab: System) -> Iterator[None]:
    """A firewall rule too many: what is sent to the port vanishes."""
    rule = "INPUT -p tcp --dport 8000 -j DROP"
    lab.sh(f"iptables -I {rule}")
    lab.see_load()
    yield
    lab.sh(f"iptables -D {rule}")


@fault(
    *BACKENDS,
    expect=[("http/slow", "backend")],
    shows=[("http/slow", "api")],
    innocent=["postgres/*"],
)
def release_that_waits(lab: System) -> Iterator[None]:
    """The page now asks something far away first; it is complete, and late."""
    code = page(lab) + "async def late():\n    import asyncio\n    await asyncio.sleep(1.4)\n    return []\n"
    with release(lab, code):
        yield


@fault(*BACKENDS, expect=[("http/status", "backend")], shows=[("http/status", "api")])
def release_that_answers_500(lab: System) -> Iterator[None]:
    """It catches its own exception and logs nothing: the answer is all that can be seen."""
    code = (
        page(lab) + "def broken():\n    return JSONResponse({'detail': 'internal error'}, status_code=500)\n"
    )
    with release(lab, code):
        lab.see_load()
        yield


@fault("freemarket", expect=[("http/too-many-requests", "api")])
@fault(
    "rostferrum",
    "iiko-base",
    expect=[("http/too-many-requests", "backend")],
    shows=[("http/too-many-requests", "api")],
)
def release_that_turns_everybody_away(lab: System) -> Iterator[None]:
    """The application's own rate limit takes the proxy for one client."""
    code = page(lab) + (
        "def full():\n    return JSONResponse({'detail': 'slow down'}, 429, {'Retry-After': '30'})\n"
    )
    with release(lab, code):
        lab.see_load()
        yield


@fault("iiko-base", expect=[("http/body", "backend")], shows=[("http/body", "api")], innocent=["postgres/*"])
def health_page_complains_with_200(lab: System) -> Iterator[None]:
    """It answers 200, and says in its body that what it needs is not there: a supplier outside the stack."""
    code = '@instead("/health")\ndef health():\n    return {"status": "degraded", "suppliers": "error"}\n'
    with release(lab, code):
        yield


@fault("freemarket", expect=[("http/body", "api")], innocent=["postgres/*", "redis/*"])
def health_page_behind_the_proxy_complains(lab: System) -> Iterator[None]:
    code = '@instead("/health")\ndef health():\n    return {"status": "ok", "search": "unavailable"}\n'
    with release(lab, code):
        yield


def loop(lab: System, location: str, then: str) -> Iterator[None]:
    """Have nginx on the host send a page round in a circle."""
    with edited(lab, SITE, location, f"{then} {location}"):
        lab.sh("systemctl restart nginx")
        lab.see_load()
        yield
    lab.sh("systemctl restart nginx")


@fault("rostferrum", expect=[("http/redirect-loop", "site")], innocent=["nginx/*"])
def page_redirects_to_itself(lab: System) -> Iterator[None]:
    yield from loop(lab, "location / {", "location = /about/ { return 301 /about/; }")


@fault("wishlins", expect=[("http/redirect-loop", "api")], innocent=["nginx/*"])
def slash_added_and_taken_away(lab: System) -> Iterator[None]:
    """nginx insists on a slash at the end, and another rule on none."""
    rules = (
        "rewrite ^/api/v1/users$ /api/v1/users/ permanent; rewrite ^/api/v1/users/$ /api/v1/users permanent;"
    )
    yield from loop(lab, "location / {", rules)


@fault("freemarket", expect=[("http/redirect-loop", "api")], innocent=["nginx/*"])
def proxy_behind_a_proxy_insists_on_https(lab: ComposeSystem) -> Iterator[None]:
    """It looks for X-Forwarded-Proto, which nobody sets any more."""
    path = "/srv/freemarket/nginx/site.conf"
    rule = (
        'location = /health { if ($http_x_forwarded_proto != "https") { return 301 https://$host/health; } }'
    )
    with edited(lab, path, "location / {", f"{rule} location / {{"):
        lab.inside("proxy", "nginx -s reload")
        lab.wait("curl -sk -o /dev/null -w '%{http_code}' https://freemarket.com/health | grep -q 301")
        yield
    lab.inside("proxy", "nginx -s reload")


METRICS = {"services__products__http__2__metrics": ["http_requests_total", "http_request_duration_seconds"]}


@fault("rostferrum", expect=[("http/metrics-missing", "backend")])
def instrumentation_lost_with_a_release(lab: System) -> Iterator[None]:
    """The stack file names the metrics that its dashboards need (`metrics:`); one has another name now."""
    code = "from shared_parts import REQUESTS\nfrom prometheus_client import REGISTRY\nREGISTRY.unregister(REQUESTS)\n"  # noqa: E501
    with asked_for(lab, **METRICS), release(lab, code):
        yield


@fault("rostferrum", expect=[("logs/application-errors", "backend")], shows=[("http/error-rate", "backend")])
def a_page_that_nobody_watches_fails(lab: System) -> Iterator[None]:
    """The lead form fails for everybody who sends it; the stack file only asks whether it is there."""
    code = (
        "app.router.routes[:] = [each for each in app.router.routes if each.path != '/api/lead']\n"
        "@app.post('/api/lead')\ndef lead():\n    raise RuntimeError('no mailbox configured')\n"
    )
    ask = (
        "for n in $(seq 300); do curl -s -o /dev/null -X POST http://127.0.0.1:8000/api/lead; sleep 0.1; done"
    )
    with asked_for(lab, **METRICS), release(lab, code):
        lab.sh(f"systemctl reset-failed lab-leads 2>/dev/null; systemd-run -q --unit=lab-leads sh -c '{ask}'")
        lab.sh("sleep 2")
        yield
        lab.sh("systemctl stop lab-leads", check=False)


@fault("rostferrum", expect=[("http/error-rate", "backend")], innocent=["postgres/*"])
def a_page_that_nobody_watches_fails_in_silence(lab: System) -> Iterator[None]:
    """The same, and the application swallows its exception: only its counters tell."""
    code = (
        "from fastapi.responses import JSONResponse\n"
        "app.router.routes[:] = [each for each in app.router.routes if each.path != '/api/lead']\n"
        "@app.post('/api/lead')\ndef lead():\n    return JSONResponse({}, status_code=500)\n"
    )
    ask = (
        "for n in $(seq 300); do curl -s -o /dev/null -X POST http://127.0.0.1:8000/api/lead; sleep 0.1; done"
    )
    quiet = "import logging\nlogging.getLogger('uvicorn.access').disabled = True\n"
    with asked_for(lab, **METRICS), release(lab, quiet + code):
        lab.sh(f"systemctl reset-failed lab-leads 2>/dev/null; systemd-run -q --unit=lab-leads sh -c '{ask}'")
        lab.sh("sleep 2")
        yield
        lab.sh("systemctl stop lab-leads", check=False)
