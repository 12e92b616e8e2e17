"""rostferrum's application: product pages and the lead form, on PostgreSQL and Redis."""

from __future__ import annotations

import os

import redis
from fastapi import FastAPI, HTTPException
from fastapi.responses import HTMLResponse
from shared_parts import Database, measured

app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
measured(app)
database = Database()
cache = redis.Redis.from_url(
    os.environ.get("REDIS_URL", "redis://127.0.0.1:6379/0"), socket_timeout=1, socket_connect_timeout=1
)


@app.get("/product/{slug}/")
def product(slug: str) -> HTMLResponse:
    """Serve a product page; pages are kept in the cache for a moment."""
    key = f"page:{slug}"
    page = cache.get(key)
    if page is None:
        rows = database.rows("select title, price from products where slug = %s", (slug,))
        if not rows:
            raise HTTPException(404)
        page = f"<!doctype html><title>{rows[0][0]}</title><p>{rows[0][1]}".encode()
        cache.set(key, page, px=200)
    return HTMLResponse(page)


@app.post("/api/lead")
def lead(name: str = "", phone: str = "") -> dict[str, str]:
    database.rows("insert into leads (name, phone) values (%s, %s)", (name, phone))
    return {"status": "ok"}
