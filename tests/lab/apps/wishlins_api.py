"""wishlins' backend: users and their wishes, on PostgreSQL alone."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from shared_parts import Database, leaks

app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
database = Database()
leaks()


@app.get("/")
def root() -> dict[str, str]:
    return {"service": "wishlins"}


@app.get("/live")
def live() -> dict[str, str]:
    """Say that the process answers; leans on nothing."""
    return {"status": "ok"}


@app.get("/api/v1/users")
def users() -> list[dict[str, Any]]:
    rows = database.rows("select id, name from users order by id limit 50")
    return [{"id": row[0], "name": row[1]} for row in rows]


@app.get("/api/v1/wishes/{user}")
def wishes(user: int) -> list[dict[str, Any]]:
    rows = database.rows("select id, title from wishes where user_id = %s order by id limit 50", (user,))
    return [{"id": row[0], "title": row[1]} for row in rows]
