"""How a run ends: exit codes, one clear message, a traceback only with --debug."""

from __future__ import annotations

import contextlib
import enum
import os
import sys
from typing import TYPE_CHECKING, Any

import click

from opsctl.cli.messages import tell
from opsctl.errors import UserError, shown_path

if TYPE_CHECKING:
    from collections.abc import Callable

    from opsctl.model import Status


class ExitCode(enum.IntEnum):
    """Nagios' plugin codes, and the shell's code for Ctrl-C."""

    OK = 0
    WARNING = 1
    CRITICAL = 2
    UNKNOWN = 3
    INTERRUPTED = 130


def exit_code(status: Status) -> ExitCode:
    """Return the exit code of a status; `blocked` counts as unknown."""
    return {"ok": ExitCode.OK, "warning": ExitCode.WARNING, "critical": ExitCode.CRITICAL}.get(
        status.value, ExitCode.UNKNOWN
    )


def guarded(run: Callable[[], Any]) -> int:
    """Run a command line; return its exit code whatever happens."""
    debug = "--debug" in sys.argv or bool(os.environ.get("OPSCTL_DEBUG"))
    try:
        result = run()
        if sys.stdout is not None:
            sys.stdout.flush()
        return int(result) if isinstance(result, int) else ExitCode.OK
    except click.exceptions.Exit as end:
        return end.exit_code
    except (click.Abort, KeyboardInterrupt):
        _stop_children()
        tell("interrupted")
        return ExitCode.INTERRUPTED
    except click.ClickException as error:
        with contextlib.suppress(OSError, ValueError):
            error.show()
        return ExitCode.UNKNOWN
    except UserError as error:
        if debug:
            return _traceback()
        tell(f"opsctl: {error}")
        return ExitCode.UNKNOWN
    except BrokenPipeError:
        _give_up_stdout()
        return ExitCode.OK
    except OSError as error:
        if debug:
            return _traceback()
        words = error.strerror or str(error)
        if error.filename:
            tell(f"opsctl: {words}: {shown_path(str(error.filename))}")
        else:  # no file is named: it was stdout that could not be written
            _give_up_stdout()
            tell(f"opsctl: cannot write to stdout: {words}")
        return ExitCode.UNKNOWN
    except Exception as error:  # noqa: BLE001 - the last net: one line instead of a traceback
        if debug:
            return _traceback()
        words = f"{type(error).__name__}: {error}".splitlines()[0][:300]
        tell(f"opsctl: a fault in opsctl itself ({words}); run again with --debug and report it")
        return ExitCode.UNKNOWN


def _traceback() -> ExitCode:
    """Show where it happened, without secrets."""
    import traceback

    from opsctl.redact import Redactor

    tell(Redactor().text(traceback.format_exc()), newline=False)
    return ExitCode.UNKNOWN


def _give_up_stdout() -> None:
    """Let what is still buffered for stdout go nowhere, so that the exit does not fail on it again."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _stop_children() -> None:
    from opsctl import system

    system.kill_all()
