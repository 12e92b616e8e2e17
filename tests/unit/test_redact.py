"""Planted secrets must not survive; ordinary log text must."""

from __future__ import annotations

import threading

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from opsctl.envfile import parse_env
from opsctl.facts.base import Connection
from opsctl.redact import Redactor, is_secret_name, url_passwords
from opsctl.redact_patterns import MASK
from tests.unit.redact_cases import CANARY, cases, planted

UNKNOWN_SECRETS, ORDINARY = cases("must_redact"), cases("must_keep")


@pytest.mark.parametrize("form", UNKNOWN_SECRETS)
def test_patterns_catch_secrets_that_nobody_told_us(form: str) -> None:
    text = Redactor().text(planted(form))
    assert "CANARY" not in text
    assert MASK in text


@pytest.mark.parametrize("text", ORDINARY)
def test_ordinary_text_stays(text: str) -> None:
    assert Redactor().text(text) == text


@pytest.mark.parametrize("form", [*UNKNOWN_SECRETS, *ORDINARY])
def test_redacting_twice_changes_nothing(form: str) -> None:
    once = Redactor().text(planted(form) if form in UNKNOWN_SECRETS else form)
    assert Redactor().text(once) == once


@given(st.text())
def test_redacting_never_raises_and_is_idempotent_on_any_text(text: str) -> None:
    redactor = Redactor()
    once = redactor.text(text)
    assert redactor.text(once) == once


@given(
    st.text(st.characters(exclude_categories=("Cs",)), min_size=12, max_size=60),
    st.text(max_size=30),
    st.text(max_size=30),
)
def test_known_secrets_never_survive(secret: str, before: str, after: str) -> None:
    import json
    from urllib.parse import quote, quote_plus

    redactor = Redactor()
    redactor.add(secret)
    for form in (secret, quote(secret, safe=""), quote_plus(secret), json.dumps(secret), repr(secret)[1:-1]):
        assert form not in redactor.text(before + form + after) or form in MASK


@pytest.mark.parametrize("cut", range(6, 14))
def test_a_secret_cut_at_the_end_of_a_text_does_not_survive(cut: int) -> None:
    redactor = Redactor()
    redactor.add(CANARY)
    assert redactor.text("the login of app with " + CANARY[:cut]).endswith(MASK)


def test_short_secrets_do_not_eat_other_words() -> None:
    redactor = Redactor()
    redactor.add("tast")
    assert redactor.text("the fantastic tast=1 'tast'") == f"the fantastic {MASK}=1 '{MASK}'"


def test_a_password_that_is_an_ordinary_word_goes_only_where_it_is_a_password() -> None:
    redactor = Redactor()
    redactor.add("postgres")
    redactor.keep(["orders"])
    redactor.add("orders")
    text = redactor.text("postgres is refused; orders; postgresql://postgres:postgres@db/app")
    assert text == f"postgres is refused; orders; postgresql://postgres:{MASK}@db/app"


def test_multi_line_secrets_are_caught_line_by_line() -> None:
    redactor = Redactor()
    redactor.add("first-line-of-it\nsecond-line-of-it")
    assert "second-line" not in redactor.text("only second-line-of-it here")


def test_every_secret_added_by_many_threads_is_known() -> None:
    redactor = Redactor()
    secrets = [f"canary-{number:04d}-value" for number in range(200)]
    threads = [threading.Thread(target=redactor.add, args=(secret,)) for secret in secrets]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not [secret for secret in secrets if secret in redactor.text(f"x {secret} y")]


def test_records_keep_their_field_names_and_types() -> None:
    redactor = Redactor()
    redactor.add("state-detail-address")
    redactor.add("refusednow")
    before = Connection(state="refusednow", detail="x state-detail-address", seconds=1.5)
    after = redactor.record(before)
    assert type(after) is Connection
    assert (after.state, after.detail, after.seconds) == (MASK, f"x {MASK}", 1.5)
    assert msgspec.to_builtins(after).keys() == msgspec.to_builtins(before).keys()


def test_the_name_of_a_variable_is_no_secret_although_another_one_holds_it() -> None:
    redactor = Redactor()
    redactor.add_environment({"TOKEN_VARIABLE": "BOT_TOKEN", "BOT_TOKEN": "816253:kept-for-itself"})
    assert redactor.text("empty in .env: BOT_TOKEN") == "empty in .env: BOT_TOKEN"
    assert "kept-for-itself" not in redactor.text("it says 816253:kept-for-itself")


def test_the_environment_gives_away_secrets_but_not_paths_and_numbers() -> None:
    redactor = Redactor()
    redactor.add_environment(
        {
            "PWD": "/srv/freemarket",
            "SSH_AUTH_SOCK": "/tmp/ssh-agent/socket",
            "ACCESS_TOKEN_EXPIRE_MINUTES": "1440000",
            "JWT_ALGORITHM": "HS256-long",
            "DB_PASSWORD": CANARY,
            "DATABASE_URL": "postgresql://app:s%40fe-and-long@db/app",
            "BROKER": "amqp://guest:another-long-one@mq:5672//",
        }
    )
    text = f"/srv/freemarket /tmp/ssh-agent/socket 1440000 HS256-long {CANARY} s@fe-and-long another-long-one"
    assert (
        redactor.text(text)
        == f"/srv/freemarket /tmp/ssh-agent/socket 1440000 HS256-long {MASK} {MASK} {MASK}"
    )


@pytest.mark.parametrize(
    ("name", "secret"),
    [
        ("TOTP_SEED", True),
        ("RANDOM_SEED", False),
        ("DB_PASSWORD", True),
        ("POSTGRES_PASSWORD", True),
        ("PGPASSWORD", True),
        ("JWT_SECRET", True),
        ("BOT_TOKEN", True),
        ("APP_KEY", True),
        ("ADMIN_PASS", True),
        ("MYSQL_PWD", True),
        ("SENTRY_DSN", True),
        ("PWD", False),
        ("OLDPWD", False),
        ("DB_PASSWORD_FILE", False),
        ("TOKEN_TTL", False),
        ("PASSENGER_COUNT", False),
        ("LOG_LEVEL", False),
    ],
)
def test_which_names_are_secret(name: str, secret: bool) -> None:
    assert is_secret_name(name) is secret


def test_ports_are_not_passwords() -> None:
    assert url_passwords("http://host:8000/x@y") == set()
    assert url_passwords("redis://:p%40ss@h:6379") == {"p%40ss", "p@ss"}


# a text that made a pattern go quadratic would take minutes here, not milliseconds
HOSTILE = [
    "aB1" * 40_000,
    "a" * 100_000,
    "password" * 10_000,
    "://" * 30_000,
    "token:" * 15_000,
    '"' * 100_000,
    "basic " * 15_000,
    "-----BEGIN PRIVATE KEY" * 3_000,
    "eyJ" * 30_000,
    "secret" + "a" * 100_000,
    "password=" * 10_000,
    "://a:" * 20_000,
    'password="' * 10_000,
    "postgres://a:b" * 8_000,
    "--password-" * 8_000,
    "password=a" + "." * 100_000 + "b",
    "token" + " " * 100_000,
    "PASSWORD '" * 10_000,
    "A_" * 50_000,
    "A" * 50_000 + "_KEY",
    "curl " * 20_000 + "-u",
    "mysql -" * 15_000,
    "AUTH " * 20_000,
    "password is " * 8_000,
    "password for user is" * 5_000,
    "?key" * 25_000,
    "?sig=" * 20_000,
    "https://a" * 10_000 + "@",
    "a+b-" * 25_000 + "://@",
    "webhook=https://" * 6_000,
    "/webhook/" * 10_000,
    "setuser x " * 10_000,
    "1234567890" * 10_000,
    "a1B/" * 25_000,
    "sk-" * 30_000,
    "sshpass -p" * 10_000,
    "pass=" * 20_000,
    '"pwd":' * 15_000,
    "a:" * 50_000 + "@tcp(",
    "select " * 15_000 + "'",
    "insert into " * 8_000 + "'",
    "where a=" * 12_000 + "'",
    "statement: " * 9_000 + "'",
    "update a set " * 8_000 + "\\'" * 9_000,
    "values('" * 12_000,
    "->login(" * 12_000 + "'",
    "<password>" * 10_000,
    "<secret " * 12_000 + "</",
    '"password":{' * 8_000 + '"value":',
    "password%3D" * 9_000,
    "client_secret " * 7_000,
    "login failed for " * 6_000 + "a:",
    "пароль: " * 12_000,
]


@pytest.mark.parametrize("text", HOSTILE, ids=[text[:12] for text in HOSTILE])
@pytest.mark.timeout(60)
def test_hostile_texts_take_linear_time(text: str) -> None:
    Redactor().text(text)


def test_env_files_with_quotes_comments_and_several_lines() -> None:
    text = """\ufeff# comment
export A=1
B = two words # comment
C='single # kept \\n'
D="double \\"quoted\\" \\$x\\nnext"
E=
F="-----BEGIN PRIVATE KEY-----
abc
-----END PRIVATE KEY-----"
not an assignment
G="never closed
H=a#b
A=2
I=#empty
"""
    assert parse_env(text) == {
        "A": "2",
        "B": "two words",
        "C": "single # kept \\n",
        "D": 'double "quoted" $x\nnext',
        "E": "",
        "F": "-----BEGIN PRIVATE KEY-----\nabc\n-----END PRIVATE KEY-----",
        "G": '"never closed',
        "H": "a#b",
        "I": "",
    }


@given(st.text())
def test_no_text_makes_the_env_parser_raise(text: str) -> None:
    parse_env(text)


@given(st.dictionaries(st.from_regex(r"[A-Z_]{1,10}", fullmatch=True), st.text()))
def test_quoted_values_come_back_unchanged(values: dict[str, str]) -> None:
    def quoted(value: str) -> str:
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'

    assert parse_env("\n".join(f"{name}={quoted(value)}" for name, value in values.items())) == values


def test_a_word_that_a_known_url_begins_with_is_no_cut_secret() -> None:
    redactor = Redactor()
    redactor.add("postgresql://shop:canary-5678@db/shop")
    assert redactor.text("the kind is postgres") == "the kind is postgres"
    assert redactor.text("postgresql://shop") == "postgresql://shop"
    assert "canary" not in redactor.text("cut off: postgresql://shop:canary-5")


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from(UNKNOWN_SECRETS),
    st.from_regex(r"[A-Za-z0-9]{4,10}CANARY[A-Za-z0-9]{4,12}[0-9]", fullmatch=True),
    st.sampled_from(["", "ERROR ", "x; ", "2026-11-21 04:00:00 [app] ", '"', "(", "\n"]),
    st.sampled_from(["", "\n", "\nnext line"]),
)
def test_planted_canaries_never_survive(form: str, secret: str, before: str, after: str) -> None:
    once = Redactor().text(before + planted(form, secret) + after)
    assert "CANARY" not in once
    assert Redactor().text(once) == once


WORDS = """
password pwd token auth AUTH key _KEY api_key pass is -p -a -u mysql curl sshpass redis-cli Bearer Basic
Cookie :// @ : = => " ' [ ] { } , & ? sig x1Y hunter2 [redacted] webhook \\ . > sk- https://h/ eyJhbGciOiJI
12345678 setuser --user (
"""
FRAGMENTS = [*WORDS.split(), " ", " ", "\n", "-----BEGIN PRIVATE KEY-----", "A" * 30]


@settings(max_examples=500, deadline=None)
@given(st.lists(st.sampled_from(FRAGMENTS), max_size=14))
def test_redaction_is_idempotent_on_what_looks_like_secrets(parts: list[str]) -> None:
    once = Redactor().text("".join(parts))
    assert Redactor().text(once) == once


def test_a_start_that_meets_no_secret_compiles_no_pattern() -> None:
    import subprocess
    import sys

    program = (
        "from opsctl import redact_patterns\nfrom opsctl.redact import Redactor\n"
        "redactor = Redactor()\n"
        "redactor.add_environment({'PWD': '/srv', 'SSH_AUTH_SOCK': '/tmp/s', 'A': 'b'})\n"
        "for text in ('/ 41 % used', 'http://127.0.0.1:8000/', 'users_pkey', 'Connection refused'):\n"
        "    assert redactor.text(text) == text\n"
        "print(redact_patterns._compiled.cache_info().currsize)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True, timeout=120)
    assert done.stdout.strip() == b"0"


def test_whoever_counts_a_new_secret_finds_nothing_prepared_without_it() -> None:
    redactor = Redactor()
    prepared: list[object] = []

    class Watched(dict[str, frozenset[str]]):
        def __setitem__(self, value: str, forms: frozenset[str]) -> None:
            super().__setitem__(value, forms)
            prepared.append(redactor._known)

    redactor._values = Watched()
    assert redactor.text("a word") == "a word"
    redactor.add("Canary-7c1e09-finch")
    assert (redactor.count(), prepared) == (1, [None])
    assert "Canary" not in redactor.text("Canary-7c1e09-finch")


@pytest.mark.parametrize("around", ["{}", '"{}"', "'{}'", "({})", '"{}', "({}", "key: {}, next"])
def test_a_long_key_without_a_name_is_seen_in_quotes_too(around: str) -> None:
    body = "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7CANARY00000ab"
    assert "CANARY" not in Redactor().text(around.format(body))
