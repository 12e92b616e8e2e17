"""Writing a file whole or not at all, and reading one without waiting for anybody."""

from __future__ import annotations

import errno
import os
import stat
import tempfile
from pathlib import Path

from opsctl.errors import UserError


def write_whole(path: Path, data: bytes, what: str, *, private: bool = True, replace: bool = True) -> None:
    """Write a file so that its name never stands for half of it.

    A device or pipe is written to as it is; a symbolic link keeps pointing where it points.

    Args:
        path: the file.
        data: its contents.
        what: what it is, for the error message.
        private: readable by its owner only.
        replace: whether a file of that name may be there already.

    Raises:
        UserError: it could not be written; nothing half-written is left.
    """
    temporary = ""
    try:
        path = path.resolve()
        if path.exists() and not stat.S_ISREG(path.stat().st_mode):
            if path.is_dir():
                raise UserError(f"cannot write {what} {path}: it is a folder")
            with path.open("wb", buffering=0) as device:
                device.write(data)
            return
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".opsctl-", delete=False) as file:
            temporary = file.name
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        if not private:
            mask = os.umask(0)
            os.umask(mask)
            Path(temporary).chmod(0o666 & ~mask)
        if replace:
            Path(temporary).replace(path)
        else:
            path.hardlink_to(temporary)  # fails where somebody was faster
            Path(temporary).unlink()
        temporary = ""
    except FileNotFoundError:
        if path.parent.is_dir():
            where = "nothing can be written there"
        else:
            where = (
                f"there is no folder {path.parent}" if path.is_absolute() else "the working folder is gone"
            )
        raise UserError(f"cannot write {what} {path}: {where}") from None
    except FileExistsError:
        raise UserError(f"cannot write {what} {path}: it is there already") from None
    except (OSError, ValueError) as error:
        raise UserError(f"cannot write {what} {path}: {getattr(error, 'strerror', '') or error}") from None
    finally:
        if temporary:
            Path(temporary).unlink(missing_ok=True)


def read_regular(path: Path, limit: int) -> bytes:
    """Return the beginning of a regular file. A pipe or a device is refused: reading it could hang.

    Args:
        path: the file; a symbolic link to one will do.
        limit: bytes that are read at most.

    Raises:
        OSError: it cannot be opened or read, or is no regular file; `strerror` says which.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "not a regular file", str(path))
        blocks: list[bytes] = []
        while limit > 0 and (block := os.read(descriptor, limit)):
            blocks.append(block)
            limit -= len(block)
        return b"".join(blocks)
    finally:
        os.close(descriptor)
