"""Env files: verdicts and names come out, values never."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opsctl.facts.config import Variable
from opsctl.probes.base import ProbeError
from opsctl.probes.config import probe
from opsctl.probes.config_judging import is_placeholder, variables
from opsctl.stack.specs import EnvSpec
from tests.unit.contexts import context_for

CANARY = "Zq7CANARYx9K2v"


def verdicts(values: dict[str, str], production: bool = True, **more: Any) -> dict[str, str]:
    found = variables(values, more.get("required", ()), more.get("secret", ()), production)
    return {item.name: item.verdict for item in found if item.verdict}


@pytest.mark.parametrize(
    "value",
    ["changeme", "CHANGE_ME", "your_token_here", "your-secret", "<token>", "xxxx", "password", "secret123",
     "mysecret", "super-secret", "example", "12345678", "todo", "123456:ABC-DEF1234ghIkl", "{{ token }}"],
)  # fmt: skip
def test_values_of_examples_are_placeholders(value: str) -> None:
    assert is_placeholder(value)


@pytest.mark.parametrize(
    "value",
    ["k8Vb2nQx71Lz", "correct horse battery", "7261736b", "Passw0rd-of-Anna", CANARY, "exampled-9f8a7c"],
)
def test_other_values_are_not(value: str) -> None:
    assert not is_placeholder(value)


def test_names_that_only_sound_secret_are_left_alone() -> None:
    assert verdicts({"ACCESS_TOKEN_EXPIRE_MINUTES": "30", "JWT_ALGORITHM": "secret", "PWD": "/"}) == {}


def test_only_declared_secrets_are_judged_by_length() -> None:
    values = {"DB_PASSWORD": "k8Vb2", "API_TOKEN": "k8Vb2", "PIN": "1" * 12}
    assert verdicts(values, secret=["DB_PASSWORD", "PIN"]) == {"DB_PASSWORD": "short", "PIN": "repeated"}


def test_passwords_inside_urls_are_judged() -> None:
    assert verdicts({"DATABASE_URL": "postgresql://app:changeme@db/app"}) == {"DATABASE_URL": "placeholder"}
    assert verdicts({"DATABASE_URL": f"postgresql://app:{CANARY}@db:5432/app"}) == {}


def test_production_switches() -> None:
    values = {
        "DEBUG": "True",
        "APP_DEBUG": "false",
        "ALLOWED_ORIGINS": "https://a.example,*",
        "CORS_ORIGINS": '["https://*.example.com"]',
        "ENVIRONMENT": "staging",
        "NODE_ENV": "production",
    }
    expected = {"DEBUG": "debug", "ALLOWED_ORIGINS": "any-origin", "ENVIRONMENT": "not-production"}
    assert verdicts(values) == expected
    assert verdicts(values, production=False) == {}


def test_required_variables_that_are_empty_or_absent() -> None:
    found = variables({"A": "1", "B": " ", "C": "3"}, ["A", "B", "D"], [], True)
    assert [(item.name, item.present) for item in found] == [("B", False), ("D", False), ("A", True)]


@given(
    st.dictionaries(st.from_regex(r"[A-Z_]{1,12}", fullmatch=True), st.just(CANARY) | st.text(max_size=40)),
    st.lists(st.from_regex(r"[A-Z_]{1,12}", fullmatch=True), max_size=5),
)
def test_no_value_is_in_what_comes_out(values: dict[str, str], required: list[str]) -> None:
    found = variables(values, required, list(values)[:3], True)
    assert CANARY not in repr(found)
    words = {"", "placeholder", "short", "repeated", "debug", "any-origin", "not-production"}
    assert {item.verdict for item in found} <= words
    assert all(isinstance(item, Variable) for item in found)
    assert len({item.name for item in found}) == len(found)


def test_a_pipe_in_place_of_the_env_file_holds_nobody_up(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / ".env")
    with pytest.raises(ProbeError, match="not a regular file"):
        probe(context_for("config", EnvSpec(file=".env"), tmp_path))
