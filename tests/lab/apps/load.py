"""A light load: asks the given addresses in turn, a few a second, for a bounded time. Standard library only."""  # noqa: E501

from __future__ import annotations

import contextlib
import http.client
import ssl
import sys
import time
from urllib.parse import urlsplit

MAX_SECONDS = 3600
PAUSE_SECONDS = 0.25
TRUSTING = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
TRUSTING.check_hostname, TRUSTING.verify_mode = False, ssl.CERT_NONE


def ask(url: str) -> None:
    """Ask one address; how it answers is nobody's business here."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    if parts.scheme == "https":
        client: http.client.HTTPConnection = http.client.HTTPSConnection(
            host, parts.port, timeout=3, context=TRUSTING
        )
    else:
        client = http.client.HTTPConnection(host, parts.port, timeout=3)
    with contextlib.suppress(OSError, http.client.HTTPException):
        client.request("GET", parts.path or "/", headers={"User-Agent": "Mozilla/5.0 (lab)"})
        client.getresponse().read()
    client.close()


if __name__ == "__main__":
    ends = time.monotonic() + MAX_SECONDS
    while time.monotonic() < ends:
        for address in sys.argv[1:]:
            ask(address)
            time.sleep(PAUSE_SECONDS)
