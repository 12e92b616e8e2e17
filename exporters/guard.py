"""TLS and passwords as the web configuration says now: its files are read again when they change."""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
import secrets
import sys
import threading
import time
from typing import TYPE_CHECKING

from exporters.requests import Answer, Request, line
from exporters.web_config import MOST_BYTES, WebConfig, parse, tls_context
from opsctl.errors import UserError, shown_path
from opsctl.files import read_regular

if TYPE_CHECKING:
    import ssl
    from pathlib import Path

LOOK_AGAIN_SECONDS = 1.0
_REMEMBERED = 100


class Passwords:
    """Checks basic authentication; a right password costs its bcrypt only once."""

    def __init__(self, users: dict[str, str]) -> None:
        import bcrypt  # only where there are users

        self._check = bcrypt.checkpw
        self._nobodys = bcrypt.hashpw(secrets.token_bytes(16), bcrypt.gensalt(10)).decode("ascii")
        """What users are held against that do not exist: to tell them apart takes as long."""
        self._users = users
        self._salt = secrets.token_bytes(16)
        self._right: set[bytes] = set()
        self._lock = threading.Lock()

    def right(self, header: str) -> bool:
        """Return whether an Authorization header names a user and the user's password."""
        scheme, _, encoded = header.partition(" ")
        if scheme.lower() != "basic":
            return False
        try:
            user, colon, password = base64.b64decode(encoded.strip(), validate=True).partition(b":")
        except (binascii.Error, ValueError):
            return False
        if not colon or len(password) > 72:  # bcrypt reads no more than that
            return False
        hashed = self._users.get(user.decode("utf-8", "replace"))
        known = hashlib.sha256(b"\0".join((self._salt, user, password))).digest()
        if known in self._right:
            return True
        with self._lock:  # one at a time: it is meant to be slow
            try:
                right = self._check(password, (hashed or self._nobodys).encode("ascii"))
            except ValueError:
                right = False
        if not right or hashed is None:
            return False
        if len(self._right) >= _REMEMBERED:
            self._right.clear()
        self._right.add(known)
        return True


class FileGuard:
    """What `--web.config.file` says. A change for the worse is told once and the old settings stay.

    Raises:
        UserError: the file or one that it names is not usable, or bcrypt is needed and not there.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._looked = time.monotonic()
        self._seen: tuple[object, ...] = ()
        self._load()

    def context(self) -> ssl.SSLContext | None:
        """Return the TLS settings in force; None for plain HTTP."""
        self._refresh()
        return self._context

    def refusal(self, request: Request) -> Answer | None:
        """Return 401 for whoever gives no right password, where passwords are asked for."""
        self._refresh()
        if self._passwords is None or self._passwords.right(request.headers.get("authorization", "")):
            return None
        return line(401, "Unauthorized", WWW_Authenticate='Basic realm="opsctl exporter"')

    def headers(self) -> dict[str, str]:
        """Return the headers of every answer."""
        return self._config.http_server_config.headers

    @property
    def protected(self) -> bool:
        """Whether a stranger is kept out: by a password or by a certificate."""
        tls = self._config.tls_server_config
        verified = tls is not None and tls.client_auth_type == "RequireAndVerifyClientCert"
        return self._passwords is not None or verified

    def _load(self) -> None:
        own = _stamp(self._path)  # before it is read: what is written meanwhile is seen the next time
        config = self._read()
        seen = (own, *self._tls_stamps(config))
        tls = config.tls_server_config
        context = tls_context(tls, self._path.parent) if tls else None
        passwords = None
        if config.basic_auth_users:
            try:
                passwords = Passwords(config.basic_auth_users)
            except ImportError:
                raise UserError(
                    f"{shown_path(str(self._path))}: basic_auth_users needs the package bcrypt: "
                    "install opsctl with its extra [exporter]"
                ) from None
        self._config, self._context, self._passwords = config, context, passwords
        self._seen = seen

    def _read(self) -> WebConfig:
        shown = shown_path(str(self._path))
        try:
            data = read_regular(self._path, MOST_BYTES)
        except OSError as error:
            raise UserError(f"cannot read {shown}: {error.strerror or error}") from None
        if self._seen and not data.strip():  # an editor is about to write it
            raise UserError(f"{shown} is empty; to serve without passwords, start with such a file")
        return parse(data, shown)

    def _tls_stamps(self, config: WebConfig) -> tuple[object, ...]:
        tls = config.tls_server_config
        named = (tls.cert_file, tls.key_file, tls.client_ca_file) if tls is not None else ()
        return tuple(_stamp(self._path.parent / name) for name in named if name)

    def _refresh(self) -> None:
        if time.monotonic() - self._looked < LOOK_AGAIN_SECONDS or not self._lock.acquire(blocking=False):
            return
        try:
            self._looked = time.monotonic()
            stamps = (_stamp(self._path), *self._tls_stamps(self._config))
            if stamps == self._seen:
                return
            self._seen = stamps
            self._load()
        except UserError as error:
            sys.stderr.write(f"opsctl exporter: the web configuration stays as it was: {error}\n")
        finally:
            self._lock.release()


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        found = os.stat(path)  # noqa: PTH116 - three numbers of one call
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
