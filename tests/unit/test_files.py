"""Reading a file without waiting for anybody."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from opsctl.files import read_regular

if TYPE_CHECKING:
    from pathlib import Path


def test_a_regular_file_is_read_up_to_the_limit(tmp_path: Path) -> None:
    path = tmp_path / "env"
    path.write_bytes(b"NAME=value\n")
    link = tmp_path / "link"
    link.symlink_to(path)
    assert read_regular(path, 1000) == b"NAME=value\n"
    assert read_regular(link, 4) == b"NAME"
    assert read_regular(path, 0) == b""


def test_a_pipe_or_a_folder_is_refused_at_once(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for path in (pipe, tmp_path):
        with pytest.raises(OSError, match="not a regular file") as caught:
            read_regular(path, 10)
        assert caught.value.strerror == "not a regular file"


def test_an_absent_file_keeps_its_own_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_regular(tmp_path / "none", 10)
