"""`make demo`: a small real stack, healthy, then broken two ways; opsctl names each cause.

Private servers on free loopback ports in temporary folders; all are stopped at the end.
"""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

sys.path.insert(0, str(Path(__file__).parent.parent))

from tests.servers.small_stack import SmallStack

OPSCTL = Path(sys.executable).with_name("opsctl")


def say(text: str) -> None:
    """Print a line of the demo's own, at once."""
    print(f"\n=== {text}", flush=True)


def opsctl(small: SmallStack, *arguments: str, expect: int) -> None:
    """Run opsctl as a person would and show what it says."""
    print(f"$ {shlex.join(['opsctl', *arguments])}", flush=True)
    done = subprocess.run([OPSCTL, *arguments, "--stack", small.file], cwd=small.folder, check=False)
    if done.returncode != expect:
        raise SystemExit(f"demo: expected exit code {expect}, got {done.returncode}")


def main() -> None:
    """Start, show, break, diagnose, mend, stop."""
    say("starting PostgreSQL, Redis, an API that uses both, and nginx in front")
    with SmallStack() as small:
        for server in small.servers:
            print(f"    {server.name:<10} 127.0.0.1:{server.port}", flush=True)
        say("healthy")
        opsctl(small, "diagnose", expect=0)
        breakages: list[tuple[str, Callable[[], object], Callable[[], object], str, str]] = [
            ("PostgreSQL is killed", small.postgres.crash, small.postgres.start, "postgres/down", "db"),
            ("Redis is frozen (SIGSTOP)", small.redis.freeze, small.redis.thaw, "redis/hung", "redis"),
        ]
        for title, inject, undo, slug, service in breakages:
            say(f"breaking it: {title}")
            inject()
            opsctl(small, "diagnose", expect=2)
            say(f"mending it, and proving it with `opsctl verify {slug}`")
            undo()
            opsctl(small, "verify", slug, "--target", service, expect=0)
    say("stopped everything that was started")


if __name__ == "__main__":
    main()
