"""A file system whose server can be stopped: whoever asks it then waits, as with a dead NFS server.

`python -m tests.servers.stale FOLDER PIDFILE` mounts it in the mount namespace that it is started in
and returns; the server lives on and ends with the mount. Only the FUSE requests that `statvfs` and
`stat` cause are answered.
"""

from __future__ import annotations

import ctypes
import os
import signal
import struct
import sys
from pathlib import Path

LOOKUP_NONE = 38  # ENOSYS
GETATTR, STATFS, INIT = 3, 17, 26
WITHOUT_ANSWER = (2, 36, 42)  # FORGET, INTERRUPT, BATCH_FORGET
BLOCK = 4096


def unavailable() -> str:
    """Return in one line why none can be mounted here; empty where one can."""
    if os.geteuid() != 0:
        return "mounting needs root"
    return "" if os.access("/dev/fuse", os.R_OK | os.W_OK) else "there is no /dev/fuse here"


def mount(folder: str) -> int:
    """Mount it on a folder and return the descriptor that the kernel asks through."""
    library = ctypes.CDLL(None, use_errno=True)
    descriptor = os.open("/dev/fuse", os.O_RDWR)
    options = f"fd={descriptor},rootmode=40000,user_id=0,group_id=0,allow_other".encode()
    if library.mount(b"stale", folder.encode(), b"fuse", 0, options) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), folder)
    return descriptor


def body_of(operation: int) -> bytes | None:
    """Return the answer to a request; None where it is not known here."""
    if operation == INIT:  # version 7.31, what is written at once, the rest zero
        return struct.pack("<IIIIHHII", 7, 31, 65536, 0, 16, 12, 65536, 1) + bytes(32)
    if operation == STATFS:
        return struct.pack("<QQQQQIIII", 1000, 500, 500, 100, 50, BLOCK, 255, BLOCK, 0) + bytes(24)
    if operation == GETATTR:
        folder = struct.pack("<QQQQQQ10I", 1, 0, 0, 0, 0, 0, 0, 0, 0, 0o40755, 2, 0, 0, 0, BLOCK, 0)
        return struct.pack("<QII", 0, 0, 0) + folder
    return None


def serve(descriptor: int) -> None:
    """Answer until the file system is unmounted."""
    while True:
        try:
            request = os.read(descriptor, 1 << 17)
        except OSError:
            return
        _, operation, unique, _ = struct.unpack_from("<IIQQ", request)
        if operation in WITHOUT_ANSWER:
            continue
        body = body_of(operation)
        error = 0 if body is not None else -LOOKUP_NONE
        body = body or b""
        os.write(descriptor, struct.pack("<IiQ", 16 + len(body), error, unique) + body)


def main() -> None:
    """Mount, leave the server behind, and write down its process id."""
    folder, file = sys.argv[1:3]
    descriptor = mount(folder)
    pid = os.fork()
    if pid:
        Path(file).write_text(str(pid))
        os._exit(0)
    os.setsid()
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    serve(descriptor)


if __name__ == "__main__":
    main()
