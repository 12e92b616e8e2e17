"""Where a cluster keeps its data, from Debian's configuration; and whose files lie on which disk."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from opsctl.explanations import Explanations
from opsctl.facts.container import ContainerFacts, Instance
from opsctl.facts.postgres import PostgresFacts
from opsctl.model import HOST_SERVICE, Problem, Snapshot
from opsctl.places import files_of_services
from opsctl.probes.container_parsing import mounts
from opsctl.probes.postgres_files import data_directory, placement
from opsctl.runbooks import all_runbooks
from tests.unit.findings import finding
from tests.unit.snapshots import snapshot


def cluster(folder: Path, name: str, text: str) -> None:
    path = folder / "15" / name
    path.mkdir(parents=True)
    (path / "postgresql.conf").write_text(text)


def test_the_cluster_of_a_port_is_found(tmp_path: Path) -> None:
    cluster(tmp_path, "main", "data_directory = '/data/main'\t\t# use data in another directory\n#port = 1\n")
    cluster(tmp_path, "second", "port = 5433 # (change requires restart)\ndata_directory '/data/second'\n")
    assert data_directory("127.0.0.1", "5432", tmp_path) == "/data/main"
    assert data_directory("", "5433", tmp_path) == "/data/second"
    assert data_directory("localhost", "5434", tmp_path) == ""
    assert data_directory("db.example", "5432", tmp_path) == ""
    assert data_directory("127.0.0.1", "5432", tmp_path / "none") == ""


def test_the_last_line_of_a_setting_counts() -> None:
    assert placement("port=1\nport = 2\nsupport = 3\n") == {"port": "2"}


@given(st.text(max_size=400))
def test_no_configuration_breaks_it(text: str) -> None:
    assert set(placement(text)) <= {"port", "data_directory"}


def test_only_folders_that_may_be_written_to_are_a_containers_files() -> None:
    listed = [
        {"Type": "volume", "Source": "/var/lib/docker/volumes/data/_data", "RW": True},
        {"Type": "bind", "Source": "/srv/site.conf", "RW": False},
        {"Type": "tmpfs", "Source": "", "RW": True},
        None,
    ]
    assert mounts(listed) == ["/var/lib/docker/volumes/data/_data"]
    assert mounts(None) == []


def look() -> Snapshot:
    instance = Instance(name="queue-1", image="q", id="1", mounts=["/volumes/queue"])
    return snapshot(
        {
            "db/postgres": PostgresFacts(up=False, data_directory="/data/main"),
            "queue/container": ContainerFacts(up=True, instances=[instance]),
            "db/systemd": Problem(code="timeout", message="no answer"),
        }
    )


def test_facts_tell_where_files_lie() -> None:
    assert files_of_services(look()) == {
        "db": frozenset({"/data/main"}),
        "queue": frozenset({"/volumes/queue"}),
    }


def test_a_full_disk_is_the_reason_of_those_whose_files_lie_on_it() -> None:
    taken = look()
    targets = {reading.target.id: reading.target for reading in taken.readings}
    explanations = Explanations(
        {}, targets, all_runbooks(), mounts=("/", "/data"), files=files_of_services(taken)
    )
    disk, root = (finding("host/disk-full", HOST_SERVICE, subject=mount) for mount in ("/data", "/"))
    assert explanations.can(disk, finding("postgres/down", "db"))
    assert explanations.can(disk, finding("systemd/failed", "db"))
    assert not explanations.can(disk, finding("container/exited", "queue"))
    assert explanations.can(root, finding("systemd/failed", "db"))
