"""A Bot API of our own on loopback: getMe, getWebhookInfo and getUpdates, with faults to switch on."""

from __future__ import annotations

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

TOKEN = "123456789:AAcanary-Bot_Token-0123456789abcdefgh"


class FakeBotApi:
    """Knows one token; everything else about it can be set between calls.

    Attributes:
        webhook: what getWebhookInfo returns.
        fault: "" | "unavailable" (502) | "too-many" (429) | "hang" | "dribble" | "garbage" | "redirect".
        calls: names of the methods asked for so far, tokens left out.
    """

    def __init__(self, token: str = TOKEN) -> None:
        self.token = token
        self.webhook: dict[str, Any] = {"url": "", "has_custom_certificate": False, "pending_update_count": 0}
        self.fault = ""
        self.calls: list[str] = []
        self._over = threading.Event()
        api = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                api._answer(self)

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def failed_delivery(self, message: str, seconds_ago: float = 5, waiting: int = 3) -> None:
        """A webhook is set and its last delivery failed."""
        self.webhook = {
            "url": f"https://bot.example/hook/{self.token}",
            "pending_update_count": waiting,
            "last_error_date": int(time.time() - seconds_ago),
            "last_error_message": message,
        }

    def _answer(self, request: BaseHTTPRequestHandler) -> None:
        head, _, method = request.path.partition("/")[2].partition("/")
        self.calls.append(method)
        if self.fault == "hang":
            self._over.wait(30)
            return
        if self.fault == "garbage":
            self._send(request, 200, b"<html>captive portal, please log in</html>")
        elif self.fault == "redirect":
            request.send_response(302)
            request.send_header("Location", f"{self.url}/elsewhere")
            request.end_headers()
        elif self.fault == "dribble":
            request.send_response(200)
            request.end_headers()
            while not self._over.wait(0.1):
                try:
                    request.wfile.write(b" ")
                except OSError:
                    return
        elif self.fault == "unavailable":
            self._fail(request, 502, "Bad Gateway")
        elif self.fault == "too-many":
            self._fail(request, 429, "Too Many Requests: retry after 30")
        elif head != f"bot{self.token}":
            self._fail(request, 401, "Unauthorized")
        elif method == "getMe":
            self._give(request, {"id": 123456789, "is_bot": True, "username": "shop_bot"})
        elif method == "getWebhookInfo":
            self._give(request, self.webhook)
        elif method == "getUpdates" and self.webhook.get("url"):
            self._fail(request, 409, "Conflict: can't use getUpdates method while webhook is active")
        else:
            self._fail(request, 404, "Not Found")

    def _give(self, request: BaseHTTPRequestHandler, result: Any) -> None:
        self._send(request, 200, json.dumps({"ok": True, "result": result}).encode())

    def _fail(self, request: BaseHTTPRequestHandler, code: int, description: str) -> None:
        body = {"ok": False, "error_code": code, "description": description}
        self._send(request, code, json.dumps(body).encode())

    def _send(self, request: BaseHTTPRequestHandler, code: int, body: bytes) -> None:
        request.send_response(code)
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        request.wfile.write(body)

    def stop(self) -> None:
        self._over.set()
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join(10)
        self._server.server_close()

    def __enter__(self) -> FakeBotApi:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
