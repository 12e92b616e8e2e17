"""File systems: who may have to wait for a server, and what becomes of one that has not come back."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from opsctl.probes import host_parsing as parsing
from opsctl.probes.host_statvfs import Asking, waiting_for_others

TABLE = (
    "24 1 8:1 / / rw - ext4 /dev/sda1 rw\n"
    "25 24 0:40 / /srv rw - nfs4 server:/srv rw\n"
    "26 25 8:2 / /srv/local rw - xfs /dev/sdb1 rw\n"
    "27 24 8:3 / /srv-local rw - xfs /dev/sdc1 rw\n"
    "28 24 0:41 / /mnt rw - fuse.sshfs host: rw\n"
)


def test_a_mount_waits_where_its_server_or_one_above_it_is_elsewhere() -> None:
    assert waiting_for_others(parsing.mounts(TABLE)) == {"/srv", "/srv/local", "/mnt"}


def test_a_root_that_is_elsewhere_does_not_make_all_others_slow() -> None:
    table = TABLE.replace("/ / rw - ext4 /dev/sda1", "/ / rw - nfs4 server:/root")
    assert "/srv-local" not in waiting_for_others(parsing.mounts(table))
    assert "/" in waiting_for_others(parsing.mounts(table))


def test_a_mount_that_hangs_is_not_asked_again_before_it_has_come_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # a server that hangs for real is in the live tests; here it is about when it is asked
    mount = parsing.Mount("0:1", "/", str(tmp_path), False, "nfs4", "server:/")
    asked, back = [], threading.Event()

    def hanging(path: str) -> str:
        asked.append(path)
        back.wait(60)
        return "gone"

    monkeypatch.setattr("opsctl.probes.host_statvfs._answer", hanging)
    asking, slow = Asking(), frozenset([mount.mountpoint])
    (first,) = asking.all([mount], 0.05, slow)
    assert first.device_error
    assert "no answer" in first.error
    (second,) = asking.all([mount], 60, slow)
    assert second.device_error
    assert len(asked) == 1
    back.set()
    for thread in asking._hanging.values():
        thread.join(60)
    monkeypatch.undo()
    (third,) = asking.all([mount], 60, slow)
    assert not third.device_error
    assert third.size
