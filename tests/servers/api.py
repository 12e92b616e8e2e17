"""The API of `api_app/main.py` as a private server: uvicorn on a free loopback port."""

from __future__ import annotations

import json
import sys
import urllib.request
from pathlib import Path
from typing import Any

from tests.servers.base import Server, free_port, listens

APP = Path(__file__).parent / "api_app"


class ApiServer(Server):
    """FastAPI under uvicorn; `fault(status=500)` breaks it, `fault()` mends it."""

    def __init__(
        self,
        database_url: str = "",
        redis_url: str = "",
        port: int | None = None,
        name: str = "api",
        **variables: str,
    ) -> None:
        super().__init__(name)
        self.port = port or free_port()
        self.variables = {
            "DATABASE_URL": database_url,
            "REDIS_URL": redis_url,
            "API_FAULTS": "1",
            "API_NAME": name,
            **variables,
        }

    def argv(self) -> list[str]:
        return [
            *(sys.executable, "-m", "uvicorn", "main:app", "--app-dir", str(APP)),
            *("--host", "127.0.0.1", "--port", str(self.port), "--no-use-colors"),
            *("--http", "h11", "--loop", "asyncio", "--timeout-graceful-shutdown", "1"),
        ]

    def environment(self) -> dict[str, str]:
        return {"PYTHONUNBUFFERED": "1", "PYTHONDONTWRITEBYTECODE": "1", **self.variables}

    def ready(self) -> bool:
        return listens(self.port)

    def url(self, path: str = "/health") -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    def fault(self, **fault: Any) -> None:
        """Replace the fault in force (see `api_app/main.py`); without arguments, switch it off."""
        request = urllib.request.Request(
            self.url("/_fault"),
            data=json.dumps(fault).encode(),
            headers={"Content-Type": "application/json"},
            method="PUT",
        )
        with urllib.request.urlopen(request, timeout=10) as answer:
            answer.read()
