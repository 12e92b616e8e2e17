"""A Bot API server of our own: getMe, getUpdates with its conflict of two pollers, getWebhookInfo, sendMessage.

`PUT /_state` changes how it behaves: `{"pending": 5, "refuse": true, "silent": true,
"webhook": {...}}`. Tokens other than `TELEGRAM_TOKENS` (comma-separated) are answered with 401.
"""  # noqa: E501

from __future__ import annotations

import json
import os
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

TOKENS = set(filter(None, os.environ.get("TELEGRAM_TOKENS", "").split(",")))
state: dict[str, Any] = {}
pollers: dict[str, int] = {}
lock = threading.Lock()


class BotApi(BaseHTTPRequestHandler):
    """One request."""

    protocol_version = "HTTP/1.1"
    timeout = 75  # longer than any client rests: a request on a connection just closed would fail

    def log_message(self, format: str, *arguments: object) -> None:
        """Say nothing."""

    def answer(self, status: int, value: dict[str, Any]) -> None:
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def good(self, result: object) -> None:
        self.answer(200, {"ok": True, "result": result})

    def bad(self, code: int, words: str) -> None:
        self.answer(code, {"ok": False, "error_code": code, "description": words})

    def body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def do_PUT(self) -> None:
        value = json.loads(self.body() or b"{}")
        state.clear()
        state.update(value)
        self.good(True)

    def do_GET(self) -> None:
        self.do_POST()

    def do_POST(self) -> None:
        self.body()
        parts = self.path.partition("?")[0].split("/")
        token = parts[1].removeprefix("bot") if len(parts) > 2 else ""
        if state.get("silent"):
            time.sleep(min(float(state["silent"]), 20))
        if state.get("refuse"):
            return self.bad(502, "Bad Gateway")
        if not token or token not in TOKENS:
            return self.bad(401, "Unauthorized")
        method = parts[2].lower() if len(parts) > 2 else ""
        if method == "getme":
            return self.good({"id": 1, "is_bot": True, "first_name": "lab", "username": "lab_bot"})
        if method == "getwebhookinfo":
            info = {
                "url": "",
                "has_custom_certificate": False,
                "pending_update_count": state.get("pending", 0),
            }
            return self.good({**info, **state.get("webhook", {})})
        if method == "getupdates":
            return self.updates(token)
        if method == "sendmessage":
            return self.good(
                {"message_id": 1, "date": int(time.time()), "chat": {"id": 1, "type": "private"}}
            )
        return self.good(True)

    def updates(self, token: str) -> None:
        words = "Conflict: terminated by other getUpdates request; make sure that only one bot instance is running"  # noqa: E501
        if state.get("webhook", {}).get("url"):
            return self.bad(409, "Conflict: can't use getUpdates method while webhook is active")
        with lock:
            pollers[token] = mine = pollers.get(token, 0) + 1
        time.sleep(1.0)
        if pollers[token] != mine:  # somebody else has asked since
            return self.bad(409, words)
        return self.good([])


if __name__ == "__main__":
    ThreadingHTTPServer(("0.0.0.0", int(sys.argv[1])), BotApi).serve_forever()
