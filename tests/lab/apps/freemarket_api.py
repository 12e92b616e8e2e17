"""freemarket's backend: users, profiles, matches, ratings, on PostgreSQL and Redis."""

from __future__ import annotations

import os
from typing import Any

import psycopg
import redis
from fastapi import FastAPI, HTTPException
from fastapi.responses import JSONResponse
from shared_parts import Database, measured

app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
measured(app)
database = Database()
cache = redis.Redis.from_url(os.environ["REDIS_URL"], socket_timeout=1, socket_connect_timeout=1)


@app.get("/live")
def live() -> dict[str, str]:
    return {"status": "ok"}


@app.get("/health")
def health() -> JSONResponse:
    answer, status = {"status": "healthy", "database": "ok", "redis": "ok"}, 200
    try:
        database.rows("select 1")
    except psycopg.Error:
        answer, status = {**answer, "status": "unhealthy", "database": "error"}, 503
    try:
        cache.ping()
    except redis.RedisError:
        answer, status = {**answer, "status": "unhealthy", "redis": "error"}, 503
    return JSONResponse(answer, status_code=status)


def one(query: str, number: int) -> dict[str, Any]:
    """Return a row, kept in the cache for a moment."""
    cache.incr("asked")
    rows = database.rows(query, (number,))
    if not rows:
        raise HTTPException(404)
    return {"id": rows[0][0]}


@app.get("/users/{number}")
def user(number: int) -> dict[str, Any]:
    return one("select id from users where id = %s", number)


@app.get("/profiles/{number}")
def profile(number: int) -> dict[str, Any]:
    return one("select id from profiles where id = %s", number)


@app.get("/matches/{number}")
def match(number: int) -> dict[str, Any]:
    return one("select id from matches where id = %s", number)


@app.post("/ratings/")
def rate() -> dict[str, str]:
    return {"status": "ok"}
