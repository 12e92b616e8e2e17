"""Writing a file whole or not at all."""

from __future__ import annotations

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
        raise UserError(f"cannot write {what} {path}: there is no folder {path.parent}") from None
    except FileExistsError:
        raise UserError(f"cannot write {what} {path}: it is there already") from None
    except (OSError, ValueError) as error:
        raise UserError(f"cannot write {what} {path}: {getattr(error, 'strerror', '') or error}") from None
    finally:
        if temporary:
            Path(temporary).unlink(missing_ok=True)
