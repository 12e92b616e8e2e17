"""flurai's backend: products and orders, on a PostgreSQL with read replicas and on Redis.

Logs JSON in production, refuses to start without its variables, and keeps a pool of 50 + 100.
"""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg
import psycopg_pool
import redis
from fastapi import FastAPI, HTTPException, Request
from fastapi.responses import JSONResponse
from prometheus_client import Counter, Gauge
from shared_parts import Database, log_as_json, measured

REQUIRED = (
    *("BOT_TOKEN", "MINI_APP_URL", "DB_USER", "DB_PASSWORD", "DB_NAME", "DB_HOST", "DB_PORT"),
    *("REDIS_HOST", "REDIS_PORT", "ADMIN_LOGIN", "ADMIN_PASSWORD", "ADMIN_SECRET", "JWT_SECRET"),
    *("ALLOWED_ORIGINS", "ENVIRONMENT", "LOG_LEVEL"),
)
BUG = Path("/run/lab-bug")
ORDERS = Counter("flurai_orders_total", "Orders taken")
PRODUCTS = Gauge("flurai_products", "Products on offer, as last read")
DATABASE_ERRORS = Counter("flurai_database_errors_total", "Statements that failed")
CACHE_HITS = Counter("flurai_cache_requests_total", "Questions to the reference data cache", ["result"])

if os.environ.get("ENVIRONMENT") == "production":
    log_as_json()
log = logging.getLogger("flurai")
missing = [name for name in REQUIRED if not os.environ.get(name)]
if missing:
    log.critical("settings are not complete: %s required", ", ".join(missing))
    sys.exit(1)


def address(hosts: str) -> str:
    """Return the database's address on these hosts."""
    user, password = os.environ["DB_USER"], quote(os.environ["DB_PASSWORD"], safe="")
    port = os.environ["DB_PORT"]
    servers = ",".join(f"{host}:{port}" for host in hosts.split(","))
    return f"postgresql://{user}:{password}@{servers}/{os.environ['DB_NAME']}"


app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
measured(app)
kept = int(os.environ.get("POOL_KEPT", "1"))
database = Database(address(os.environ["DB_HOST"]), size=50 + 100, kept=kept)
readers = os.environ.get("DB_READ_HOSTS", os.environ["DB_HOST"])
catalogue = Database(f"{address(readers)}?load_balance_hosts=random", size=50 + 100)
cache = redis.Redis(
    host=os.environ["REDIS_HOST"],
    port=int(os.environ["REDIS_PORT"]),
    socket_timeout=1,
    socket_connect_timeout=1,
)


@app.exception_handler(psycopg.Error)
@app.exception_handler(psycopg_pool.PoolTimeout)
def database_failed(request: Request, error: Exception) -> JSONResponse:
    DATABASE_ERRORS.inc()
    log.error("database error in %s: %s", request.url.path, error)
    return JSONResponse({"detail": "database error"}, status_code=500)


@app.exception_handler(redis.RedisError)
def cache_failed(request: Request, error: Exception) -> JSONResponse:
    log.error("redis error in %s: %s", request.url.path, error)
    return JSONResponse({"detail": "cache error"}, status_code=500)


@app.get("/health")
def health() -> JSONResponse:
    """Say how the database and Redis are: both are asked for something real."""
    answer, status = {"status": "healthy", "database": "connected", "redis": "connected"}, 200
    try:
        database.rows("select 1")
    except psycopg.Error as error:
        log.error("health: database: %s", error)
        answer, status = {**answer, "status": "unhealthy", "database": "disconnected"}, 503
    try:
        cache.set("health", "asked", ex=60)
    except redis.RedisError as error:
        log.error("health: redis: %s", error)
        answer, status = {**answer, "status": "unhealthy", "redis": "disconnected"}, 503
    return JSONResponse(answer, status_code=status)


@app.get("/api/v1/products")
def products() -> list[dict[str, Any]]:
    """Read from the replicas; the categories come from the cache."""
    if BUG.exists():  # an instance that was changed by hand
        raise ValueError("could not convert string to float: 'on request'")
    CACHE_HITS.labels("hit" if cache.get("categories") else "miss").inc()
    cache.set("categories", "roses,tulips", ex=60)
    rows = catalogue.rows("select id, title, price from products order by id limit 20")
    PRODUCTS.set(len(rows))
    return [{"id": row[0], "title": row[1], "price": row[2]} for row in rows]


@app.get("/api/v1/orders")
def orders() -> dict[str, int]:
    """Read from the primary, where orders are written."""
    return {"orders": database.rows("select count(*) from orders")[0][0]}


@app.post("/api/v1/orders")
def order() -> dict[str, int]:
    number = database.rows("insert into orders (product_id) values (1) returning id")[0][0]
    ORDERS.inc()
    return {"id": number}


@app.post("/api/v1/admin/login")
def login() -> None:
    raise HTTPException(401)
