"""Starting up is cheap: only click, and of our own the few modules that say what there is."""

from __future__ import annotations

import subprocess
import sys

import pytest

OURS = {
    "opsctl",
    "opsctl.cli",
    "opsctl.cli.main",
    "opsctl.cli.failure",
    "opsctl.cli.messages",
    "opsctl.errors",
    "opsctl.__main__",
}
HEAVY = {
    "msgspec",
    "yaml",
    "psutil",
    "psycopg",
    "redis",
    "docker",
    "requests",
    "rich",
    "tabulate",
    "cryptography",
}
HEAVY |= {"prometheus_client", "asyncio", "ssl", "http.client", "concurrent.futures", "logging", "subprocess"}


def modules_after(*arguments: str) -> set[str]:
    """Return the modules that a command line has imported at its end."""
    program = (
        "import sys, runpy\n"
        "import os\nos._exit = sys.exit  # the list is printed afterwards\n"
        f"sys.argv = ['opsctl', *{list(arguments)!r}]\n"
        "try:\n    runpy.run_module('opsctl', run_name='__main__')\n"
        "except SystemExit:\n    pass\n"
        "sys.stderr.write('MODULES ' + ' '.join(sys.modules))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )
    return set(done.stderr.partition("MODULES ")[2].split())


@pytest.mark.parametrize("arguments", [("--help",), ("--version",), ()])
def test_help_imports_click_and_nothing_else(arguments: tuple[str, ...]) -> None:
    found = modules_after(*arguments)
    assert {name for name in found if name.startswith("opsctl")} <= OURS
    assert not found & HEAVY
    foreign = {name.partition(".")[0] for name in found} - set(sys.stdlib_module_names) - {"opsctl", "click"}
    assert {name for name in foreign if not name.startswith("_")} <= {"sitecustomize", "mpl_toolkits"}


@pytest.mark.parametrize("name", ["diagnose", "health", "stack", "runbook", "metrics", "completion"])
def test_the_help_of_a_command_imports_no_adapter(name: str) -> None:
    found = modules_after(name, "--help")
    assert not found & (HEAVY - {"logging", "subprocess"})


def test_checks_do_no_input_or_output() -> None:
    program = (
        "import sys\nfrom opsctl.checks import all_checks\nall_checks()\n"
        "print('\\n'.join(name for name in sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )
    found = set(done.stdout.split())
    assert not found & {"docker", "redis", "psycopg", "requests", "psutil", "subprocess"}
    assert not {name for name in found if name.startswith("opsctl.probes.")}


def test_the_redis_probe_needs_no_library() -> None:
    program = "import sys, opsctl.probes.redis\nprint('\\n'.join(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )
    found = set(done.stdout.split())
    assert "opsctl.probes.redis_client" in found
    assert not found & {"redis", "asyncio"}
