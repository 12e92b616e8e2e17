"""Env files of a real folder: each fault is the first root cause, and gone when undone."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from opsctl.diagnose import diagnose
from opsctl.engine import collect
from opsctl.model import HOST_SERVICE, Diagnosis, Status
from opsctl.stack.reader import parse
from tests.live.containers import as_nobody

pytestmark = pytest.mark.live

PASSWORD = "Zq7CANARYx9K2v"
GOOD = (
    f"DATABASE_URL=postgresql://app:{PASSWORD}@db/app\nDB_PASSWORD={PASSWORD}\nDEBUG=false\n"
    "ALLOWED_ORIGINS=https://shop.example\nENVIRONMENT=production\n"
)


class Settings:
    """A service with an env file."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / ".env"
        self.file.write_text(GOOD)
        env = "{file: .env, required: [DATABASE_URL], secret: [DB_PASSWORD]}"
        text = f"name: t\nservices: {{app: {{env: {env}}}}}\n"
        self.stack = parse(text.encode(), "test", folder)

    def look(self) -> Diagnosis:
        return diagnose(collect(self.stack, wanted=lambda target: target.service != HOST_SERVICE))

    def change(self, before: str, after: str) -> None:
        self.file.write_text(GOOD.replace(before, after))

    def mend(self) -> None:
        self.file.write_text(GOOD)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(tmp_path)


def causes(diagnosis: Diagnosis) -> list[str]:
    return [cause.finding.id for cause in diagnosis.root_causes]


def assert_healthy(settings: Settings) -> None:
    diagnosis = settings.look()
    assert [item.summary for item in diagnosis.findings if item.status is not Status.OK] == []


@pytest.mark.parametrize(
    ("before", "after", "slug"),
    [
        ("DATABASE_URL=", "DATABASE_UR=", "config/variable-missing"),
        (f"postgresql://app:{PASSWORD}@db/app", "", "config/variable-missing"),
        (f"DB_PASSWORD={PASSWORD}", "DB_PASSWORD=changeme", "config/placeholder-secret"),
        ("DEBUG=false", "DEBUG=1", "config/debug-enabled"),
        ("https://shop.example", "*", "config/cors-open"),
        ("ENVIRONMENT=production", "ENVIRONMENT=development", "config/not-production"),
    ],
)
def test_a_fault_is_named_and_gone_when_undone(
    settings: Settings, before: str, after: str, slug: str
) -> None:
    assert_healthy(settings)
    settings.change(before, after)
    diagnosis = settings.look()
    assert causes(diagnosis) == [slug]
    assert "CANARY" not in repr(diagnosis)
    settings.mend()
    assert_healthy(settings)


def test_the_whole_file_is_missing(settings: Settings) -> None:
    settings.file.unlink()
    diagnosis = settings.look()
    assert causes(diagnosis) == ["config/variable-missing"]
    others = {item.status for item in diagnosis.findings if item.id != "config/variable-missing"}
    assert others == {Status.BLOCKED}
    settings.mend()
    assert_healthy(settings)


def test_a_file_that_may_not_be_read_is_unknown(settings: Settings, tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root to give rights away")
    settings.look()
    for folder in (tmp_path, *tmp_path.parents):
        if folder.stat().st_uid == 0 and str(folder).startswith("/tmp/pytest"):
            folder.chmod(0o755)
    settings.file.chmod(0o600)
    with as_nobody():
        diagnosis = settings.look()
    assert {item.status for item in diagnosis.findings} == {Status.UNKNOWN}
    assert causes(diagnosis) == []
    assert any("root" in hint for hint in diagnosis.coverage.hints)


def test_values_are_in_no_snapshot(settings: Settings) -> None:
    taken = collect(settings.stack, wanted=lambda target: target.service != HOST_SERVICE)
    assert "CANARY" not in repr(taken)
