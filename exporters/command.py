"""`opsctl exporter`: serve the metrics of a stack to Prometheus."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from opsctl.cli.options import Seconds, debug_option, stack_option

if TYPE_CHECKING:
    from exporters.guard import FileGuard


class Address(click.ParamType):  # type: ignore[type-arg]
    """HOST:PORT; an empty host is every address of this machine, as in other exporters."""

    name = "address"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, int]:
        """Return host and port."""
        if isinstance(value, tuple):
            return value
        host, colon, port = str(value).strip().rpartition(":")
        bracketed = host.startswith("[") and host.endswith("]")
        if not colon or not port.isdecimal() or int(port) > 65535 or (":" in host and not bracketed):
            self.fail(f"{str(value)[:80]!r} is not HOST:PORT.", param, ctx)
        return host.strip("[]"), int(port)


@click.command("exporter")
@stack_option
@click.option(
    "--listen",
    type=Address(),
    metavar="HOST:PORT",
    default="127.0.0.1:9779",
    show_default=True,
    envvar="OPSCTL_LISTEN",
    help="Where to serve. Port 0 takes a free one.",
)
@click.option(
    "--web.config.file",
    "web_config",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="TLS, basic authentication and headers, in the syntax of the Prometheus exporters.",
)
@click.option(
    "--timeout",
    type=Seconds(),
    default=9.0,
    show_default=True,
    metavar="SECONDS",
    envvar="OPSCTL_TIMEOUT",
    help="The longest that one page may take; half a second less than the scraper waits, if that is shorter.",
)
@click.option(
    "--state-directory",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    metavar="DIR",
    envvar="STATE_DIRECTORY",
    help="Where to keep how far logs were read and what was counted, for the next start.",
)
@debug_option
def command(
    stack_name: str | None,
    listen: tuple[str, int],
    web_config: Path | None,
    timeout: float,
    state_directory: Path | None,
    debug: bool,
) -> None:
    """Serve the metrics of the stack to Prometheus.

    One path per exporter: /metrics/node, /metrics/postgres, /metrics/redis, /metrics/nginx,
    /metrics/php, /metrics/container, /metrics/systemd, /metrics/logs, /metrics/data,
    /metrics/telegram, /metrics/config, /metrics/static, /metrics/monitoring, /metrics/findings;
    /probe?target=&module= for single targets of the stack, /metrics for the exporter itself.
    """
    import gc
    import logging
    import signal

    from exporters.application import Application
    from exporters.following import follow_logs
    from exporters.looking import Lookout
    from exporters.process import keep_one_heap
    from exporters.server import Server
    from opsctl.cli.looking import load_stack
    from opsctl.cli.messages import tell
    from opsctl.errors import UserError
    from opsctl.starvation import read_ahead

    keep_one_heap()
    # a lost connection is a fact, and on the page; its driver need not say it once more
    logging.getLogger("psycopg").setLevel(logging.CRITICAL)
    lookout = Lookout(load_stack(stack_name))
    following = lookout.following = follow_logs(lookout, state_directory)
    guard = _guard(web_config)
    application = Application(lookout, timeout)
    try:
        server = Server(listen, application.answer, guard, lookout.redactor, application.work, read_ahead)
    except OSError as error:
        raise UserError(
            f"cannot listen on {listen[0]}:{listen[1]}: {error.strerror or error}; name another with --listen"
        ) from None
    application.connections = server.connections
    signal.signal(signal.SIGTERM, lambda *_: server.stop())
    signal.signal(signal.SIGINT, lambda *_: server.stop())
    scheme = "https" if guard is not None and guard.context() is not None else "http"
    host = f"[{listen[0]}]" if ":" in listen[0] else listen[0] or "0.0.0.0"  # noqa: S104 - only shown
    tell(f"opsctl: serving the metrics of {lookout.stack.name} on {scheme}://{host}:{server.port}/")
    if not _private(listen[0]) and not (guard is not None and guard.protected):
        tell("opsctl: everybody who reaches this address can read them; --web.config.file sets a password")
    gc.enable()  # the command line switches it off for its short runs
    gc.collect()
    gc.freeze()  # what is there now stays: no need to look through it again and again
    following.start()
    server.run()
    following.stop()
    if following.problem:
        tell(f"opsctl: {following.problem}")


def _guard(web_config: Path | None) -> FileGuard | None:
    if web_config is None:
        return None
    from exporters.guard import FileGuard  # libraries that nobody needs without passwords and TLS

    return FileGuard(web_config.absolute())


def _private(host: str) -> bool:
    return host in ("localhost", "::1") or host.startswith("127.")
