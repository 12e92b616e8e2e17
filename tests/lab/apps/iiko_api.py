"""iiko-base's backend: the menu and the users, on PostgreSQL."""

from __future__ import annotations

from typing import Any

import psycopg
from fastapi import FastAPI, HTTPException
from fastapi.responses import JSONResponse
from shared_parts import Database, measured

app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
measured(app)
database = Database()


@app.get("/")
def root() -> dict[str, str]:
    return {"service": "iiko-base"}


@app.get("/health")
def health() -> JSONResponse:
    try:
        database.rows("select 1")
    except psycopg.Error:
        return JSONResponse({"status": "error", "database": "error"}, status_code=503)
    return JSONResponse({"status": "healthy", "database": "ok"})


@app.get("/api/v1/menu")
def menu() -> list[dict[str, Any]]:
    rows = database.rows("select id, name, price::float from menu_items order by id limit 50")
    return [{"id": row[0], "name": row[1], "price": row[2]} for row in rows]


@app.get("/api/v1/menu/{item}")
def menu_item(item: int) -> dict[str, Any]:
    rows = database.rows("select id, name from menu_items where id = %s", (item,))
    if not rows:
        raise HTTPException(404)
    return {"id": rows[0][0], "name": rows[0][1]}


@app.get("/api/v1/users")
def users() -> None:
    """Want a login, as the true one does."""
    raise HTTPException(401)
