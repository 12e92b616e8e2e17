"""The state of the followed logs on a file system that is really full: the last whole one stays."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from opsctl.logs.following import STATE_FILE, Following, State
from opsctl.redact import Redactor
from tests.servers.filesystem import SmallFilesystem, unavailable

pytestmark = [pytest.mark.live, pytest.mark.skipif(bool(unavailable()), reason=unavailable())]

ERROR = "2026-11-21 04:00:00 ERROR redis: Connection refused\n"


def test_a_full_disk_costs_no_count_and_leaves_the_last_whole_state(tmp_path: Path) -> None:
    path = tmp_path / "app.log"
    path.touch()
    with SmallFilesystem() as disk:
        following = Following(Redactor(), disk.folder)
        log = following.log("app/logs", "plain")
        log.follow_file(str(path), lambda: path)
        following.save()
        before = (disk.folder / STATE_FILE).read_bytes()
        disk.fill()
        with path.open("a") as file:
            file.write(ERROR * 4)
        following.look()
        following.save()
        assert "cannot write the state of the logs" in following.problem
        assert (disk.folder / STATE_FILE).read_bytes() == before
        assert sorted(item.name for item in disk.folder.iterdir()) == ["filling", STATE_FILE]
        totals = log.totals()
        assert totals is not None
        assert totals.errors["connection"] == 4
        (disk.folder / "filling").unlink()
        with path.open("a") as file:
            file.write(ERROR)
        following.look()
        following.stop()
        assert following.problem == ""
        state = msgspec.json.decode((disk.folder / STATE_FILE).read_bytes(), type=State)
        assert list(state.logs) == ["app/logs"]
