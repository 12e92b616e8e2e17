"""The only place that starts a process: bounded in time and output, its whole group killed after."""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import subprocess
import threading
import time
from dataclasses import dataclass

MAX_OUTPUT = 4 * 1024 * 1024

_running: dict[subprocess.Popen[bytes], Batch | None] = {}
_lock = threading.Lock()
_here = threading.local()


class Batch:
    """The processes of one collection. Once it has ended, none of its threads starts another."""

    def __init__(self) -> None:
        self.ended = False

    def join(self) -> None:
        """Count the processes that this thread starts from now on as the batch's."""
        _here.batch = self

    def leave(self) -> None:
        """Count what this thread starts from now on as nobody's."""
        if getattr(_here, "batch", None) is self:
            _here.batch = None

    def end(self) -> None:
        """Kill what still runs, and refuse whatever a thread left behind still wants to start."""
        with _lock:
            self.ended = True
            left = [process for process, batch in _running.items() if batch is self]
        for process in left:
            _kill(process)


@dataclass(frozen=True, slots=True)
class Result:
    """How a command ended. `missing` and `timed_out` are answers too, not exceptions."""

    code: int
    stdout: str
    stderr: str
    seconds: float
    missing: bool = False
    timed_out: bool = False

    @property
    def ok(self) -> bool:
        """True where the command ran and ended with 0."""
        return self.code == 0 and not self.missing and not self.timed_out


def run(argv: list[str], timeout: float, stdin: str = "") -> Result:
    """Run a command in the C locale and UTC, without a shell.

    Args:
        argv: the program and its arguments; never a secret among them.
        timeout: seconds after which its process group is killed.
        stdin: text for its standard input.
    """
    started = time.monotonic()
    batch: Batch | None = getattr(_here, "batch", None)
    if batch is not None and batch.ended:
        return Result(-1, "", f"{argv[0]}: not started, the time is over", 0.0, timed_out=True)
    environment = {**os.environ, "LC_ALL": "C.UTF-8", "TZ": "UTC", "SYSTEMD_PAGER": "", "PAGER": ""}
    try:
        process = subprocess.Popen(
            argv,
            stdin=subprocess.PIPE if stdin else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment,
            start_new_session=True,
        )
    except (FileNotFoundError, PermissionError, NotADirectoryError) as error:
        return Result(127, "", f"{argv[0]}: {error.strerror}", time.monotonic() - started, missing=True)
    except OSError as error:
        return Result(126, "", f"{argv[0]}: {error.strerror}", time.monotonic() - started)
    with _lock:
        _running[process] = batch
        late = batch is not None and batch.ended
    if late:
        _kill(process)
    try:
        out, err, timed_out = _converse(process, stdin.encode(), started + max(timeout, 0.01))
    finally:
        with _lock:
            _running.pop(process, None)
    return Result(
        -1 if process.returncode is None else process.returncode,
        out.decode("utf-8", "replace"),
        err.decode("utf-8", "replace"),
        time.monotonic() - started,
        timed_out=timed_out,
    )


def _converse(process: subprocess.Popen[bytes], text: bytes, ends: float) -> tuple[bytes, bytes, bool]:
    """Feed and read a process until it ends, says too much, or its time is over."""
    assert process.stdout is not None
    assert process.stderr is not None
    kept: dict[int, bytearray] = {process.stdout.fileno(): bytearray(), process.stderr.fileno(): bytearray()}
    timed_out = False
    with selectors.DefaultSelector() as selector:
        for stream in (process.stdout, process.stderr):
            os.set_blocking(stream.fileno(), False)
            selector.register(stream, selectors.EVENT_READ)
        if process.stdin is not None:
            os.set_blocking(process.stdin.fileno(), False)
            selector.register(process.stdin, selectors.EVENT_WRITE)
        while selector.get_map():
            left = ends - time.monotonic()
            timed_out = left <= 0
            if timed_out or any(len(part) >= MAX_OUTPUT for part in kept.values()):
                _kill(process)
                break
            for key, _ in selector.select(left):
                if key.fileobj is process.stdin:
                    text = _feed(selector, process, text)
                else:
                    part = os.read(key.fd, 65536)  # ready, so it does not block
                    kept[key.fd] += part
                    if not part:
                        selector.unregister(key.fileobj)
    out, err = (bytes(part[:MAX_OUTPUT]) for part in kept.values())
    for pipe in (process.stdin, process.stdout, process.stderr):
        if pipe is not None:
            with contextlib.suppress(OSError):
                pipe.close()
    try:
        process.wait(max(ends - time.monotonic(), 0.2))
    except subprocess.TimeoutExpired:  # closed its output and goes on, or sleeps uninterruptibly
        timed_out = True
        _kill(process)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(0.2)
    return out, err, timed_out


def _feed(selector: selectors.BaseSelector, process: subprocess.Popen[bytes], text: bytes) -> bytes:
    """Write what the pipe takes; close it when all is written or nobody reads."""
    assert process.stdin is not None
    try:
        text = text[os.write(process.stdin.fileno(), text) :]
    except BlockingIOError:
        return text
    except BrokenPipeError:
        text = b""
    if not text:
        selector.unregister(process.stdin)
        process.stdin.close()
    return text


def kill_all() -> None:
    """Kill everything that is still running; for Ctrl-C."""
    with _lock:
        left = list(_running)
    for process in left:
        _kill(process)


def _kill(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
