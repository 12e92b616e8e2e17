"""A small real API on PostgreSQL and Redis, with faults that can be switched on.

It stands alone (FastAPI, psycopg, redis; nothing of this project), so it can be copied into a
container or started by a unit: `uvicorn main:app`. Environment:

- `DATABASE_URL`, `REDIS_URL`: what it leans on; each is left out of /health where not set
- `API_FAULT`: a fault as JSON from the start, the same as `PUT /_fault` takes
- `API_FAULTS=1`: opens `/_fault`, from loopback only

A fault: `{"status": 500, "seconds": 2.5, "body": {...}, "redirect": true, "hide_metrics": true,
"paths": ["/health"]}`; each key on its own or together; without `paths` it hits every path.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import time
from collections import Counter
from typing import Any

import psycopg
import redis
from fastapi import FastAPI, HTTPException, Request, Response
from fastapi.responses import JSONResponse, PlainTextResponse

log = logging.getLogger("uvicorn.error")
app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
requests: Counter[tuple[str, str, int]] = Counter()
seconds: dict[str, float] = {}
state: dict[str, Any] = {"fault": json.loads(os.environ.get("API_FAULT") or "{}")}

CONNECT_SECONDS = 2


def connect() -> psycopg.Connection[Any]:
    """Open a database connection, as a small application without a pool does."""
    return psycopg.connect(
        os.environ["DATABASE_URL"],
        connect_timeout=CONNECT_SECONDS,
        application_name=os.environ.get("API_NAME", "api"),
    )


def cache() -> redis.Redis:
    """Return a Redis client with short time-outs."""
    return redis.Redis.from_url(
        os.environ["REDIS_URL"], socket_timeout=CONNECT_SECONDS, socket_connect_timeout=CONNECT_SECONDS
    )


@app.middleware("http")
async def faults(request: Request, call_next: Any) -> Response:
    """Apply the fault in force, and count."""
    path, began = request.url.path, time.monotonic()
    response = await faulty(request, call_next, path)
    requests[request.method, path if response.status_code != 404 else "-", response.status_code] += 1
    seconds[path] = seconds.get(path, 0.0) + time.monotonic() - began
    return response


async def faulty(request: Request, call_next: Any, path: str) -> Response:
    """Return what the fault makes of a request, or the true answer."""
    fault = state["fault"]
    if path == "/_fault" or (fault.get("paths") and path not in fault["paths"]):
        return await call_next(request)
    if fault.get("seconds"):
        await asyncio.sleep(float(fault["seconds"]))
    if fault.get("redirect"):
        return Response(status_code=302, headers={"Location": path})
    if fault.get("raise"):
        log.error("Exception in ASGI application\nRuntimeError: %s", fault["raise"])
        return PlainTextResponse("Internal Server Error", status_code=500)
    if "status" in fault or "body" in fault:
        status = int(fault.get("status", 200))
        headers = {"Retry-After": "30"} if status == 429 else {}
        body = fault.get("body", {"detail": f"fault {status}"})
        return JSONResponse(body, status_code=status, headers=headers)
    return await call_next(request)


@app.get("/")
def root() -> dict[str, str]:
    """Say hello."""
    return {"service": os.environ.get("API_NAME", "api")}


@app.get("/health")
def health() -> JSONResponse:
    """Ask each dependency; 503 and its name where one does not answer."""
    answer: dict[str, Any] = {"status": "ok"}
    for name, variable, ask in (
        ("database", "DATABASE_URL", ask_database),
        ("redis", "REDIS_URL", ask_redis),
    ):
        if not os.environ.get(variable):
            continue
        try:
            ask()
            answer[name] = "ok"
        except (psycopg.Error, redis.RedisError, OSError) as error:
            words = " ".join(str(error).split())[:200]
            log.error("health: %s: %s: %s", name, type(error).__name__, words)
            answer |= {name: "error", "status": "error"}
    return JSONResponse(answer, status_code=200 if answer["status"] == "ok" else 503)


def ask_database() -> None:
    """Run the smallest query."""
    with connect() as connection:
        connection.execute("select 1")


def ask_redis() -> None:
    """PING."""
    with cache() as client:
        client.ping()


@app.get("/items")
def items() -> list[dict[str, Any]]:
    """List items; a missing table is made, as a first migration would."""
    if os.environ.get("REDIS_URL"):
        with cache() as client:
            client.incr("api:items:asked")
    if not os.environ.get("DATABASE_URL"):
        return []
    with connect() as connection:
        connection.execute("create table if not exists items (id serial primary key, name text not null)")
        rows = connection.execute("select id, name from items order by id limit 100").fetchall()
    return [{"id": row[0], "name": row[1]} for row in rows]


@app.get("/metrics")
def metrics() -> PlainTextResponse:
    """Request counts and times in the Prometheus text format."""
    lines: list[str] = []
    if not state["fault"].get("hide_metrics"):
        lines.append("# TYPE http_requests_total counter")
        for (method, path, status), count in sorted(requests.items()):
            lines.append(
                f'http_requests_total{{method="{method}",handler="{path}",status="{status}"}} {count}'
            )
        lines.append("# TYPE http_request_duration_seconds_sum counter")
        lines += [
            f'http_request_duration_seconds_sum{{handler="{path}"}} {value:.6f}'
            for path, value in sorted(seconds.items())
        ]
    lines.append("# TYPE process_start_time_seconds gauge")
    lines.append(f"process_start_time_seconds {started:.3f}")
    return PlainTextResponse("\n".join(lines) + "\n", media_type="text/plain; version=0.0.4")


started = time.time()


@app.put("/_fault")
async def set_fault(request: Request) -> dict[str, Any]:
    """Replace the fault in force; `{}` switches it off."""
    if os.environ.get("API_FAULTS") != "1" or not request.client or request.client.host != "127.0.0.1":
        raise HTTPException(404)
    state["fault"] = await request.json()
    return dict(state["fault"])
