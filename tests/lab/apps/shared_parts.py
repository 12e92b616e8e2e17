"""What the stand-in applications share: a small database pool, a cache, metrics, log formats."""

from __future__ import annotations

import json
import logging
import os
import sys
import threading
import time
from pathlib import Path
from typing import Any

import psycopg
import psycopg_pool
from fastapi import FastAPI, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST, Counter, Histogram, generate_latest

REQUESTS = Counter("http_requests_total", "Requests", ["method", "handler", "status"])
SECONDS = Histogram("http_request_duration_seconds", "Time to answer", ["handler"])


class JsonLines(logging.Formatter):
    """One JSON object a line, as production logs of several of the systems are."""

    def format(self, record: logging.LogRecord) -> str:
        moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        line = {
            "timestamp": f"{moment}.{int(record.msecs):03d}Z",
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)[-1500:]
        return json.dumps(line)


def log_as_json() -> None:
    """Have everything, uvicorn's lines too, logged as JSON on standard output."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(JsonLines())
    logging.basicConfig(level=os.environ.get("LOG_LEVEL", "INFO"), handlers=[handler], force=True)
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [], True


def leaks(path: str = "/run/lab-leak") -> None:
    """Take more and more memory once the file is there, as an application with a leak does."""

    def take() -> None:
        taken: list[bytearray] = []
        while True:
            time.sleep(0.3)
            if Path(path).exists():
                taken.append(bytearray(b"x" * 30_000_000))

    threading.Thread(target=take, daemon=True).start()


class Database:
    """A pool of few connections, opened when first used."""

    PATIENCE = 1.0
    """Seconds to wait for a free one: less than any proxy waits for the answer, so that who is to blame
    is told by the application, and not by whoever happens to lose patience first."""

    def __init__(self, url: str | None = None, size: int = 3, kept: int = 1) -> None:
        self.url = url or os.environ["DATABASE_URL"]
        self.size = int(os.environ.get("POOL_SIZE", size))
        self.kept = kept
        self.name = os.environ.get("APP_NAME", "backend")
        self.pool: Any = None

    def rows(self, query: str, values: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
        """Run one statement and return its rows.

        Raises:
            psycopg.Error: what the database, or the way to it, says.
        """
        with self._connection() as connection:
            cursor = connection.execute(query, values)
            return list(cursor.fetchall()) if cursor.description else []

    def _connection(self) -> Any:
        if self.pool is None:
            options = {"connect_timeout": 2, "application_name": self.name}
            psycopg.connect(self.url, **options).close()  # its own words say more than the pool's time-out
            self.pool = psycopg_pool.ConnectionPool(
                self.url,
                kwargs=options,
                min_size=self.kept,
                max_size=self.size,
                timeout=self.PATIENCE,
                reconnect_timeout=1,
                open=True,
                check=psycopg_pool.ConnectionPool.check_connection,
            )
        try:
            return self.pool.connection()
        except psycopg_pool.PoolTimeout:
            self.close()
            raise

    def close(self) -> None:
        """Forget the pool, so that the next caller meets the database itself."""
        if self.pool is not None:
            pool, self.pool = self.pool, None
            pool.close(timeout=0.1)


def measured(app: FastAPI) -> None:
    """Count and time every request, and serve `/metrics`."""
    leaks()

    @app.middleware("http")
    async def measure(request: Request, call_next: Any) -> Response:
        began = time.monotonic()
        status = 500
        try:
            response: Response = await call_next(request)
            status = response.status_code
            return response
        finally:
            route = request.scope.get("route")
            handler = getattr(route, "path", "none")
            REQUESTS.labels(request.method, handler, str(status)).inc()
            SECONDS.labels(handler).observe(time.monotonic() - began)

    @app.get("/metrics")
    def metrics() -> Response:
        return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)
