"""Asks the Bot API about a bot: getMe and getWebhookInfo.

Never getUpdates: it would take updates away from the running bot and end its own request with a
409 (core.telegram.org/bots/api, getUpdates). The token is part of the URL, so no text of an
exception is passed on as it is, redirects are not followed, and the HTTP library's log lines are
held back.
"""

from __future__ import annotations

import ipaddress
import logging
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from opsctl.facts.base import Connection, FactProblem
from opsctl.facts.telegram import TelegramFacts
from opsctl.probes.base import ProbeError
from opsctl.probes.connection import connection_state
from opsctl.probes.telegram_parsing import TOKEN, Answer, parse_answer, webhook_values, without_token
from opsctl.secrets import MissingSecret
from opsctl.stack.specs import TelegramSpec

if TYPE_CHECKING:
    from opsctl.probes.base import ProbeContext

USUAL_VARIABLES = ("TELEGRAM_BOT_TOKEN", "BOT_TOKEN")
"""Looked for where the stack file names neither `token_env` nor `token_file`."""
_LOGGERS = (
    "requests",
    "urllib3",
    "urllib3.connection",
    "urllib3.connectionpool",
    "urllib3.poolmanager",
    "urllib3.util.retry",
)
"""Those that may write URLs; a filter is not handed down from `urllib3` to what is below it."""
MAX_BODY = 64 * 1024

_WORDS = {
    "refused": "Connection refused",
    "timeout": "no answer in time",
    "name-unresolved": "its name does not resolve",
    "unreachable": "no route to it",
    "closed": "it closed the connection",
    "tls": "the TLS handshake failed",
    "protocol": "no proper HTTP answer",
}


def probe(context: ProbeContext) -> TelegramFacts:
    """Return what the Bot API says of a bot; a missing or refused token is a fact as well."""
    spec = context.spec
    assert isinstance(spec, TelegramSpec)
    base: dict[str, Any] = {
        "address": context.redactor.text(spec.api_url)[:300],
        "mode": spec.mode,
        "replicas": context.service.replicas,
        "token_source": spec.token_file or spec.token_env or " or ".join(USUAL_VARIABLES),
    }
    token = _token(context, spec)
    if not token:
        detail = f"{base['token_source']} is empty" if token == "" else f"{base['token_source']} is not set"
        return TelegramFacts(up=False, connection=Connection(state="missing", detail=detail), **base)
    if not TOKEN.fullmatch(token):
        # not sent anywhere: it may be another secret, and a line end in it would break the request
        detail = "what is set does not look like a token (digits, a colon, a key)"
        return TelegramFacts(up=False, connection=Connection(state="auth-failed", detail=detail), **base)
    base["same_token"] = _others_with(context, token) if spec.mode == "polling" else []
    base["pollers"] = base["replicas"] + len(base["same_token"]) if spec.mode == "polling" else 0
    return _ask(context, spec, token, base)


def _ask(context: ProbeContext, spec: TelegramSpec, token: str, base: dict[str, Any]) -> TelegramFacts:
    with _Api(spec.api_url, token) as api:
        began = time.monotonic()
        me = api.call("getMe", context.left * 0.55)
        seconds = round(time.monotonic() - began, 4)
        if isinstance(me, Connection):
            return TelegramFacts(up=False, connection=me, **base)
        base["answer_seconds"] = seconds
        if isinstance(me.result, dict):
            base["username"] = without_token(str(me.result.get("username", "")), token)[:64]
        problems: list[FactProblem] = []
        info = api.call("getWebhookInfo", context.left * 0.8)
        if isinstance(info, Connection):
            problems.append(
                FactProblem(part="getWebhookInfo", code="refused", message=f"getWebhookInfo: {info.detail}")
            )
        else:
            found = webhook_values(info.result)
            found["last_error"] = without_token(found.get("last_error", ""), token)
            base |= found
    connection = Connection(state="ok", address=base["address"], seconds=seconds)
    return TelegramFacts(connection=connection, problems=problems, **base)


def _token(context: ProbeContext, spec: TelegramSpec) -> str | None:
    """Return the token, empty or None where the service really has none.

    Raises:
        ProbeError: nothing can be said, because no file could be read that would hold it.
    """
    reasons: list[str] = []
    for variable in [spec.token_env] if spec.token_env or spec.token_file else USUAL_VARIABLES:
        try:
            value = context.secrets.resolve(context.service, variable, spec.token_file)
        except MissingSecret as missing:
            reasons.append(str(missing))
        else:
            return value.strip() if value is not None else None
    if _could_look(context, spec):
        return None
    raise ProbeError(
        "missing", reasons[0], "let opsctl read the service's env file, or set the variable for opsctl"
    )


def _could_look(context: ProbeContext, spec: TelegramSpec) -> bool:
    """Return whether the place where the token should be was really seen."""
    if spec.token_file:
        path = context.stack.path(spec.token_file)
        try:
            path.stat()
        except FileNotFoundError:
            return True
        except OSError:
            return False
        return False  # it is there and could not be read
    if context.service.env is not None:
        path = context.stack.path(context.service.env.file)
        try:
            with path.open("rb"):
                return True
        except OSError:
            return False
    # without an env file of its own, a service that opsctl does not start may have it from elsewhere
    return not (context.service.container or context.service.unit)


def _others_with(context: ProbeContext, token: str) -> list[str]:
    """Return the other services of the stack whose bot polls with the same token."""
    found: list[str] = []
    for name, service in context.stack.spec.services.items():
        if name == context.target.service:
            continue
        for spec in service.telegram:
            if spec.mode != "polling" or not (spec.token_env or spec.token_file):
                continue
            try:
                if context.secrets.resolve(service, spec.token_env, spec.token_file) == token:
                    found.append(name)
            except MissingSecret:
                continue
    return found[:20]


class _Api:
    """One session with the Bot API; nothing that it returns or logs holds the token."""

    def __init__(self, url: str, token: str) -> None:
        import requests

        self._base, self._token = url.rstrip("/"), token
        self._session = requests.Session()
        if _is_loopback(url):
            self._session.trust_env = False  # no proxy on the way to ourselves
        self._loggers = [logging.getLogger(name) for name in _LOGGERS]

    def __enter__(self) -> _Api:
        for logger in self._loggers:
            logger.addFilter(self._without_token)
        return self

    def __exit__(self, *_: object) -> None:
        self._session.close()
        for logger in self._loggers:
            logger.removeFilter(self._without_token)

    def _without_token(self, record: logging.LogRecord) -> bool:
        return self._token not in record.getMessage()

    def call(self, method: str, seconds: float) -> Answer | Connection:
        """Return the answer to a call, or how it failed."""
        import requests

        ends = time.monotonic() + seconds
        try:
            with self._session.get(
                f"{self._base}/bot{self._token}/{method}",
                timeout=seconds,
                allow_redirects=False,  # the address of a redirect would get the token
                stream=True,
                headers={"User-Agent": "opsctl", "Accept": "application/json"},
            ) as response:
                body = _body(response, ends)
                return self._judge(response.status_code, body)
        except requests.exceptions.InvalidURL:
            state, words = "protocol", "api_url is not a URL"
        except requests.exceptions.MissingSchema:
            state, words = "protocol", "api_url is not a URL"
        except (requests.exceptions.Timeout, TimeoutError):
            state, words = "timeout", _WORDS["timeout"]
        except (requests.exceptions.RequestException, OSError) as error:
            state = connection_state(_innermost(error))
            words = _WORDS.get(state, state)
        return Connection(state=state, detail=words, address=self._base)

    def _judge(self, code: int, body: bytes) -> Answer | Connection:
        answer = parse_answer(body)
        if answer is not None and answer.ok and code == 200:
            return answer
        said = answer.description if answer is not None else ""
        words = without_token(f"{code} {said}".strip(), self._token)[:300]
        refused = code in (401, 404) and answer is not None
        return Connection(state="auth-failed" if refused else "protocol", detail=words, address=self._base)


def _body(response: Any, ends: float) -> bytes:
    """Read a bounded body in bounded time."""
    body = bytearray()
    for chunk in response.iter_content(1):  # a larger piece would be waited for, however long it takes
        body += chunk
        if len(body) > MAX_BODY:
            break
        if time.monotonic() > ends:
            raise TimeoutError
    return bytes(body)


def _innermost(error: BaseException) -> BaseException:
    """Return the system's own error below the library's, whose text holds the URL."""
    seen: set[int] = set()
    current: Any = error
    while id(current) not in seen:
        seen.add(id(current))
        inner = getattr(current, "reason", None)
        if not isinstance(inner, BaseException):
            inner = current.__cause__ or current.__context__
        if not isinstance(inner, BaseException):
            inner = next((each for each in current.args if isinstance(each, BaseException)), None)
        if inner is None:
            break
        current = inner
    result: BaseException = current
    return result


def _is_loopback(url: str) -> bool:
    try:
        host = urlsplit(url).hostname or ""
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
