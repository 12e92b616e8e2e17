"""A service's configuration: is all there that it needs, and is it fit for production."""

from __future__ import annotations

from typing import TYPE_CHECKING

from opsctl.checks.base import CheckContext, NotObserved, check
from opsctl.checks.wording import count_text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from opsctl.facts.config import ConfigFacts, Variable
    from opsctl.model import Finding

FILE = "the env file"


@check("config/variable-missing", needs="the env file", permission="to read the env file", reachability=True)
def variable_missing(facts: ConfigFacts, context: CheckContext) -> Iterator[Finding]:
    """A required variable is empty or absent, or the whole env file is not there."""
    if not facts.up:
        yield context.critical(
            f"the env file {facts.path} does not exist",
            value="missing",
            source=f"ls -l {facts.path}",
            fix="Put the env file back (from the deployment's secrets, a backup, or .env.example filled in) "
            "and start the service again.",
            commands=[f"ls -la {facts.path.rpartition('/')[0] or '/'}"],
        )
        return
    required = [item for item in facts.variables if item.required]
    missing = [item.name for item in required if not item.present]
    if missing or facts.missing:
        names = ", ".join(missing[:8]) + (" …" if len(missing) > 8 else "")
        number = len(missing) or facts.missing or 0
        yield context.critical(
            f"{count_text(number, 'required variable')} empty or absent in "
            f"{facts.path or FILE}: "
            f"{names or 'names not recorded'}",
            value=names,
            source=_grep(missing, facts.path),
            fix="Set them in the env file, then recreate the container or restart the unit: a running "
            "process keeps the values that it was started with.",
            commands=[_grep(missing, facts.path)],
        )
        return
    if required:
        yield context.ok(f"all {count_text(len(required), 'required variable')} are set")
    elif facts.count is not None:
        yield context.ok(f"{count_text(facts.count, 'variable')}; the stack file requires none by name")
    else:
        raise NotObserved("the env file was not read")


def _grep(names: list[str], path: str) -> str:
    """Return a command that shows which of the names are set, and no value."""
    pattern = "\\|".join(names[:8]) or "[A-Z]"
    return f"grep -o '^\\({pattern}\\)=.' {path or '.env'} | cut -d= -f1"


@check("config/placeholder-secret", needs="the env file", permission="to read the env file", role="risk")
def placeholder_secret(facts: ConfigFacts, context: CheckContext) -> Iterator[Finding]:
    """A secret still has the value of an example, or one that is guessed at once."""
    words = {
        "placeholder": "is a placeholder",
        "short": "has fewer than 8 characters",
        "repeated": "is one character repeated",
    }
    bad = _with_verdict(facts, *words)
    for item in bad:
        yield context.warning(
            f"{item.name} {words[item.verdict]}",
            subject=item.name,
            value=item.verdict,
            threshold="a random value",
            source=f"grep -c '^{item.name}=' {facts.path}",
            fix="Make a random value, change it at both ends (the server's password first, then the env "
            "file), and restart what uses it.",
            commands=["openssl rand -base64 32"],
        )
    if not bad:
        secrets = sum(1 for item in facts.variables if item.secret and item.present)
        yield context.ok(f"none of {count_text(secrets, 'secret')} is a placeholder")


@check("config/debug-enabled", needs="the env file", permission="to read the env file", role="risk")
def debug_enabled(facts: ConfigFacts, context: CheckContext) -> Iterator[Finding]:
    """Debug mode is on in production: error pages show code, settings and secrets."""
    yield from _risks(
        facts,
        context,
        "debug",
        "{} is on in a production configuration",
        "Set it to false and restart the service.",
        "debug mode is off",
    )


@check("config/cors-open", needs="the env file", permission="to read the env file", role="risk")
def cors_open(facts: ConfigFacts, context: CheckContext) -> Iterator[Finding]:
    """Every website may call the API with its visitors' browsers."""
    yield from _risks(
        facts,
        context,
        "any-origin",
        "{} allows any origin (*)",
        "Name the origins of the own front end, with scheme and port, and restart the service.",
        "no variable allows every origin",
    )


@check("config/not-production", needs="the env file", permission="to read the env file", role="risk")
def not_production(facts: ConfigFacts, context: CheckContext) -> Iterator[Finding]:
    """The service runs with the settings of a development environment."""
    yield from _risks(
        facts,
        context,
        "not-production",
        "{} is not set to production",
        "Set it to production and restart the service; or say `production: false` under `env:` in the stack "
        "file if this is not a production system.",
        "no variable says that this is not production",
    )


def _with_verdict(facts: ConfigFacts, *verdicts: str) -> list[Variable]:
    return [item for item in facts.variables if item.verdict in verdicts]


def _risks(
    facts: ConfigFacts, context: CheckContext, verdict: str, summary: str, fix: str, fine: str
) -> Iterator[Finding]:
    if not facts.production:
        yield context.ok("it is not judged as a production configuration")
        return
    bad = _with_verdict(facts, verdict)
    for item in bad:
        yield context.warning(
            summary.format(item.name),
            subject=item.name,
            value=item.verdict,
            source=f"grep -n '^{item.name}=' {facts.path}",
            fix=fix,
            commands=[f"grep -n '^{item.name}=' {facts.path}"],
        )
    if not bad:
        yield context.ok(fine)
