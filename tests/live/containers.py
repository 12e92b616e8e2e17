"""Compose projects to break, and stacks that describe them."""

from __future__ import annotations

import contextlib
import os
import pwd
from collections.abc import Iterator
from typing import Any

import yaml

from opsctl.diagnose import diagnose
from opsctl.engine import collect
from opsctl.model import Diagnosis, Finding, Target
from opsctl.stack.reader import parse
from opsctl.stack.stack import Stack
from tests.servers.base import wait_until
from tests.servers.docker import Project

SLEEP = {"command": ["sleep", "infinity"]}


def stack_of(project: Project, services: dict[str, Any] | None = None, **top: Any) -> Stack:
    """Return the stack of a project; every Compose service is a service unless `services` says otherwise."""
    described = yaml.safe_load(project.file.read_text())["services"]
    full = {name: {"container": name} | (services or {}).get(name, {}) for name in described}
    text = yaml.safe_dump(
        {
            "name": project.name,
            "compose": {
                "project": project.name,
                "file": str(project.file),
                "docker_host": project.engine.host,
            },
            "services": full,
            **top,
        }
    )
    return parse(text.encode(), "test", project.folder)


def of_docker(target: Target) -> bool:
    """Leave the machine itself out: the tests' neighbours keep it busy."""
    return target.kind in ("docker", "container")


def look(stack: Stack, deadline: float = 10) -> Diagnosis:
    """Return the diagnosis of what is in containers."""
    return diagnose(collect(stack, deadline=deadline, wanted=of_docker))


def first(stack: Stack) -> Finding:
    """Return the first root cause."""
    diagnosis = look(stack)
    assert diagnosis.root_causes, [f"{item.id} {item.status} {item.summary}" for item in diagnosis.findings]
    return diagnosis.root_causes[0].finding


def failing(stack: Stack) -> list[str]:
    """Return what is wrong, in words."""
    return [f"{item.id}: {item.summary}" for item in look(stack).findings if item.status.failing]


def settles(stack: Stack, seconds: float = 30) -> None:
    """Wait until nothing is wrong any more."""
    left: list[str] = []

    def quiet() -> bool:
        left[:] = failing(stack)
        return not left

    try:
        wait_until(quiet, "the stack", seconds)
    except RuntimeError:
        raise AssertionError(f"still failing: {left}") from None


def becomes(stack: Stack, slug: str, seconds: float = 30) -> Finding:
    """Wait until a finding is the first root cause, and return it."""
    seen: list[Finding] = []

    def there() -> bool:
        causes = look(stack).root_causes
        seen[:] = [item.finding for item in causes]
        return bool(seen) and seen[0].id == slug

    try:
        wait_until(there, slug, seconds)
    except RuntimeError:
        raise AssertionError(f"not {slug}: {[f'{item.id} {item.summary}' for item in seen]}") from None
    return seen[0]


@contextlib.contextmanager
def as_nobody() -> Iterator[None]:
    """Have no rights for a while; everything must have been imported before."""
    account, groups = pwd.getpwnam("nobody"), os.getgroups()
    os.setgroups([])
    os.setegid(account.pw_gid)
    os.seteuid(account.pw_uid)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)
        os.setgroups(groups)
