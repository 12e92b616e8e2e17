"""Planted secrets must not survive; ordinary log text must."""

from __future__ import annotations

import threading

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from opsctl.envfile import parse_env
from opsctl.facts.base import Connection
from opsctl.redact import MASK, SECRET_NAME, Redactor, url_passwords

CANARY = "Zq7CANARYx9K2v"

UNKNOWN_SECRETS = [
    "password={}",
    "DB_PASSWORD={}",
    "PGPASSWORD={} psql",
    '{{"password": "{}"}}',
    "{{'password': '{}', 'a': 1}}",
    '"{{\\"password\\": \\"{}\\"}}"',
    "postgresql://user:{}@host/db",
    "postgresql+asyncpg://user:{}/x@host:5432/db",
    "redis://:{}@host:6379/0",
    "https://user:{}@host/path",
    "https://{0}{0}@github.com/x",
    "https://api.telegram.org/bot110201543:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw{}/getMe",
    "110201543%3AAAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw{}",
    "Authorization: Bearer {}",
    "authorization: {}",
    '"Authorization": "Basic {}"',
    "Cookie: session={0}; b={0}",
    "--password {} x",
    "--token={}",
    "mysql -u x --password={}",
    "ALTER ROLE x PASSWORD '{}'",
    "IDENTIFIED BY '{}'",
    "requirepass {}",
    "token: {}",
    "secret: {}",
    "JWT_SECRET: {}",
    "api_key={},other",
    "password='{0} {0}'",
    "user=x password={} host=y",
    "?token={}&a=b",
    "SECRET_KEY = '{}'",
    "$config['db_password'] = '{}'",
    "password => {}",
    "pass={}",
    "APP_KEY=base64:{}=",
    "(secret={})",
    "-----BEGIN RSA PRIVATE KEY-----\n{}\n",
    "-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----",
]

ORDINARY = [
    'FATAL:  password authentication failed for user "app"',
    "SyntaxError: Unexpected token: <",
    "Unexpected token < in JSON at position 0",
    "basic authentication failed",
    "GET /api/token?next=1 HTTP/1.1 200",
    "http://127.0.0.1:8000/health?email=a@b.c",
    "connect to redis://127.0.0.1:6379/0 failed",
    "token: expired",
    "tokens: 120",
    "invalid token",
    "CSRF token mismatch.",
    "the secret is missing",
    "Password: required field",
    "monkey=5 compass=3 bypass=1",
    "author: somebody",
    "tokenizer: loaded 5",
    "authentication: ok",
    "session closed for user root",
    'relation "password_resets" does not exist',
    'File "/app/auth.py", line 3, in get_token',
    "2026-11-21T04:05:06.123456Z 10:22:33.123456:abcdef",
    'connect() failed (111: Connection refused), upstream: "http://127.0.0.1:8000/api"',
    "psycopg.OperationalError: connection failed: port 5432 failed: Connection refused",
]


@pytest.mark.parametrize("form", UNKNOWN_SECRETS)
def test_patterns_catch_secrets_that_nobody_told_us(form: str) -> None:
    text = Redactor().text(form.format(CANARY))
    assert "CANARY" not in text
    assert MASK in text


@pytest.mark.parametrize("text", ORDINARY)
def test_ordinary_text_stays(text: str) -> None:
    assert Redactor().text(text) == text


@pytest.mark.parametrize("form", [*UNKNOWN_SECRETS, *ORDINARY])
def test_redacting_twice_changes_nothing(form: str) -> None:
    once = Redactor().text(form.format(CANARY) if form in UNKNOWN_SECRETS else form)
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
    assert bool(SECRET_NAME.search(name)) is secret


def test_ports_are_not_passwords() -> None:
    assert url_passwords("http://host:8000/x@y") == set()
    assert url_passwords("redis://:p%40ss@h:6379") == {"p%40ss", "p@ss"}


# a text that made a pattern go quadratic would take minutes here, not milliseconds
HOSTILE = [
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
]


@pytest.mark.parametrize("text", HOSTILE, ids=[text[:12] for text in HOSTILE])
@pytest.mark.timeout(20)
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
