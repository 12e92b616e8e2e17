"""Stack files with mistakes: every error at once, and nothing of a file that is none of ours."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from opsctl.errors import UserError
from opsctl.redact import Redactor
from opsctl.secrets import MissingSecret, Secrets
from opsctl.stack import reader
from opsctl.stack.errors import StackError
from opsctl.stack.specs import PostgresSpec, ServiceSpec, StackSpec
from opsctl.stack.stack import Stack


def said(text: str) -> str:
    with pytest.raises(StackError) as caught:
        reader.parse(text.encode(), "f.yml", Path("/nowhere"))
    return str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "root:$6$canary$hash:19000:0:99999:7:::\ndaemon:*:19000:0:99999:7:::\n",
        "root: $6$canary$hash\ndaemon: '*'\n",
        "*canary\n",
        "DB_PASSWORD: canary\nDB_PASSWORD: canary\n",
        "canary: &canary x\ny: *canary\n",
        "!canary x\n",
        "canary: !!int canary\n",
        '{"canary": {"canary": 1}}',
        "- canary\n",
        "canary\n",
        '"canary',
        "? canary\n: canary\n? [canary]\n",
        "-----BEGIN PRIVATE KEY-----\ncanary\n",
        "%canary\n---\n",
        "a: b: canary\n",
        "services: {x: {redis: {url: redis://h, password_env: 'p@ss-canary'}}}\nname: a\n",
        "services: {x: {redis: {url: redis://h, password_env: [canary]}}}\nname: a\n",
        "services: {x: {telegram: {token_env: '123:canary'}}}\nname: a\n",
        "services: {x: {env: {file: .env, required: ['A=canary']}}}\nname: a\n",
        "services: {x: {'password=canary': 1}}\nname: a\n",
        "services: {'redis://u:canary@h': {replicas: x}}\nname: a\n",
    ],
)
def test_nothing_that_may_be_a_secret_is_repeated(text: str) -> None:
    assert "canary" not in said(text)


@settings(max_examples=200, deadline=None)
@given(st.dictionaries(st.text(max_size=8), st.text(max_size=8), min_size=1, max_size=4), st.booleans())
def test_of_a_file_that_is_none_of_ours_nothing_is_repeated(lines: dict[str, str], plain: bool) -> None:
    import json

    if plain:
        text = "".join(f"canary{key}: canary{value}\n" for key, value in lines.items())
    else:
        text = json.dumps({f"canary{key}": f"canary{value}" for key, value in lines.items()})
    assert "canary" not in said(text)


def test_a_secret_in_place_of_a_variable_is_not_repeated(tmp_path: Path) -> None:
    service = ServiceSpec(postgres=[PostgresSpec(dsn="postgresql://u@h/d")])
    stack = Stack(StackSpec(name="a", services={"db": service}), "f.yml", tmp_path)
    secrets = Secrets(stack, Redactor())
    for wrong in ("hunter2", "Canary", "CANARY1"):
        with pytest.raises(MissingSecret) as caught:
            secrets.resolve(service, wrong, "")
        assert wrong not in str(caught.value)
        with pytest.raises(MissingSecret) as caught:
            secrets.resolve(service, "", wrong)
        assert wrong not in str(caught.value)
    with pytest.raises(MissingSecret, match="SHOP_DB_PASSWORD is not set"):
        secrets.resolve(service, "SHOP_DB_PASSWORD", "")


def test_errors_of_form_and_of_meaning_are_listed_at_once() -> None:
    text = said(
        "name: a b\n"
        "flow: nosuch\n"
        "compose: [x]\n"
        "services:\n"
        "  db: {replicas: many, container: db}\n"
        "  api: {depends_on: [web, dbb], postgres: {data_directory: /x}}\n"
        "  web: {depends_on: [api], data: {name: n, query: q}}\n"
        "  host: {}\n"
        "  'a b': {}\n"
        "thresholds: {redis/dwn: {warning: 1}, redis/down: {warning: x}}\n"
    )
    for words in (
        "f.yml:1: name: ",
        "no flow named 'nosuch'",
        "f.yml:3: compose: expected keys and values",
        "f.yml:5: services.db.replicas: ",
        "no service named 'dbb'; did you mean 'db'?",
        "f.yml:6: services.api.postgres: 'dsn' is missing",
        "a circle",
        "needs `postgres:` in the same service",
        "'host' is the machine itself",
        "no blanks",
        "did you mean 'redis/down'?",
        "f.yml:10: thresholds.redis/down.warning: ",
    ):
        assert words in text, text
    assert "needs `compose:" not in text, "compose is there; what is wrong with it is said"


def test_no_error_follows_from_another() -> None:
    assert said("name: a\nservices: []\n").count("\n") == 0
    assert said("name: a\nservices: {x: {container: x, replicas: y}}\ncompose: 3\n").count("\n") == 1


def test_a_stack_that_is_not_there_is_named_by_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    for value in ("nosuch", "./nosuch.yml"):
        monkeypatch.setenv("OPSCTL_STACK", value)
        with pytest.raises(UserError, match="nosuch"):
            reader.known()
