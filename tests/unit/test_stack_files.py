"""Stack files: the five shipped ones, every error at once, the schema and the reference page."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import msgspec
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from opsctl.errors import UserError
from opsctl.stack import reader
from opsctl.stack.errors import StackError, StackProblem
from opsctl.stack.schema import json_schema, reference_text, schema_text, specs
from opsctl.stack.stack import Stack
from opsctl.stack.targets import assignments

SHIPPED = sorted(reader.SHIPPED.glob("*.yml"))
ROOT = Path(__file__).parent.parent.parent
GOOD = "name: shop\nservices:\n  db: {postgres: 'postgresql://shop@127.0.0.1:5432/shop'}\n"

# What the documents of each system name: all of it must be in its stack file.
NAMED = {
    "rostferrum": "rostferrum-products nginx postgresql redis-server http://rostferrum.ru/ /about/ /catalog/ "
    "/privacy/ /terms/ /404.html /assets/ dist/ /product/ /api/lead 127.0.0.1:8000 rostferrum_user "
    "127.0.0.1:5432/rostferrum /var/log/nginx/rostferrum_error.log cache_path DATABASE_URL",
    "iiko-base": "iiko-backend php8.2-fpm nginx.service postgresql.service 127.0.0.1:8000/health "
    "/api/v1/menu /api/v1/menu/1 /api/v1/users vezuroll.ru api.vezuroll.ru iiko_user iiko_db "
    "users menu_items migrations "
    "/var/log/nginx/iiko-base-access.log /var/log/nginx/iiko-base-error.log "
    "/var/log/nginx/iiko-api-access.log /var/log/nginx/iiko-api-error.log "
    "frontend/storage/logs/laravel.log /var/log/postgresql/postgresql- /backups db_*.sql.gz DEBUG alembic",
    "flurai": "docker-compose.prod.yml backend bot db redis nginx 8000/health 8000/metrics /flurai "
    "BOT_TOKEN MINI_APP_URL DB_USER DB_PASSWORD DB_NAME DB_HOST DB_PORT REDIS_HOST REDIS_PORT ADMIN_LOGIN "
    "ADMIN_PASSWORD ADMIN_SECRET JWT_SECRET ALLOWED_ORIGINS ENVIRONMENT LOG_LEVEL",
    "wishlins": "wishlist-frontend wishlist-backend wishlist-bot wishlist-postgres wishlist_default "
    "wishlins_postgres_data 8000 /api/v1/users ~/backups/daily ~/backups/weekly ~/backups/monthly "
    "/var/log/nginx/access.log /var/log/nginx/error.log",
    "freemarket": "docker-compose.prod.yml db redis backend frontend bot nginx prometheus 9090 alertmanager "
    "9093 postgres_data redis_data /health /users/ /profiles/ /matches/ /ratings/ /metrics freemarket_db "
    "freemarket_user users profiles items matches ratings notifications sent_at ssl/ DB_PASSWORD "
    "TELEGRAM_BOT_TOKEN monitoring/docker-compose.monitoring.yml",
}


def parse(text: str) -> str:
    """Return the errors of a stack file, one a line."""
    with pytest.raises(StackError) as caught:
        reader.parse(text.encode(), "f.yml", Path("/nowhere"))
    return str(caught.value)


def attempt(data: bytes) -> tuple[Stack | None, list[StackProblem]]:
    """Return the stack of a file, or what is wrong with it."""
    try:
        return reader.parse(data, "f.yml", Path("/nowhere")), []
    except StackError as error:
        return None, error.problems


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_shipped_stacks_load_and_name_what_their_documents_name(path: Path) -> None:
    stack = reader.load(path)
    assert stack.name == path.stem
    text = path.read_text()
    assert [word for word in NAMED[path.stem].split() if word not in text] == []
    ids = [item.target.id for item in assignments(stack)]
    assert len(ids) == len(set(ids))
    for service in stack.spec.services.values():
        assert set(service.depends_on) <= set(stack.spec.services)


def test_five_stacks_are_shipped() -> None:
    assert {path.stem for path in SHIPPED} == set(NAMED)


def test_flurai_may_ask_for_750_connections() -> None:
    backend = reader.load(reader.SHIPPED / "flurai.yml").spec.services["backend"]
    assert backend.pool is not None
    assert backend.replicas * (backend.pool.size + backend.pool.overflow) == 750


def test_rostferrums_pages_do_not_lean_on_the_application() -> None:
    from opsctl.judge import ancestors

    services = reader.load(reader.SHIPPED / "rostferrum.yml").spec.services
    assert ancestors("pages", services) == ["nginx"]
    assert set(ancestors("product-pages", services)) == {"products", "nginx", "postgresql", "redis"}


def test_every_error_is_listed_at_once_with_its_line() -> None:
    text = parse(
        "name: 'bad name'\n"
        "servces: {}\n"
        "services:\n"
        "  db:\n"
        "    postgress: x\n"
        "    replicas: many\n"
        "  api:\n"
        "    depends_on: [database]\n"
        "    http: {max_seconds: 1}\n"
        "host: {closed_ports: [99999]}\n"
    )
    lines = text.splitlines()
    assert [line.split(": ")[0] for line in lines] == [
        "f.yml:1",
        "f.yml:2",
        "f.yml:5",
        "f.yml:6",
        "f.yml:8",
        "f.yml:9",
        "f.yml:10",
    ]
    assert "did you mean 'services'?" in lines[1]
    assert "did you mean 'postgres'?" in lines[2]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("name: a\nservices: {}\n", "no service; name at least one"),
        ("name: a\nservices: {x: {container: x}}\n", "needs `compose: {project: …}`"),
        ("name: a\nservices: {x: {data: {name: n, query: q}}}\n", "needs `postgres:` in the same service"),
        ("name: a\nservices: {x: {depends_on: [y]}, yy: {}}\n", "no service named 'y'; did you mean 'yy'?"),
        ("name: a\nservices: {x: {depends_on: [y]}, y: {depends_on: [x]}}\n", "a circle"),
        ("name: a\nservices: {host: {}}\n", "'host' is the machine itself"),
        ("name: a\nservices: {'a b': {}}\n", "no blanks"),
        ("name: a\nservices: {x: {redis: 'http://h'}}\n", "starts with 'http'"),
        ("name: a\nservices: {x: {postgres: 'postgresql://u@h'}}\n", "names no database"),
        ("name: a\nservices: {x: {http: 'http://'}}\n", "names no host"),
        ("name: a\nservices: {x: {http: 'http://h:port/'}}\n", "not an address"),
        ("name: a\nservices: {x: 3}\n", "expected keys and values, got a number"),
        ("name: a\nservices: [x]\n", "expected names, got a list"),
        ("name: a\nservices: {x: {}}\nthresholds: {redis/dwn: {warning: 1}}\n", "did you mean 'redis/down'?"),
        ("name: a\nservices: {x: {}}\nthresholds: {redis/down: {warning: 1}}\n", "no thresholds to set"),
        ("", "the file is empty"),
        ("- a\n", "expected keys and values, got a list"),
        ("name: a\n", "'services' is missing"),
    ],
)
def test_meaningless_files(text: str, words: str) -> None:
    assert words in parse(text)


@pytest.mark.parametrize(
    "address",
    [
        "postgresql://u:canary-pw@h:5432/d",
        "postgresql://u:canary/pw@h:5432/d",
        "postgresql://u@h:5432/d?password=canary-pw",
        "postgresql://u@h:5432/d?PASSWORD=canary-pw",
        "postgresql://u:canary:pw@h/d",
        "postgresql://u:[canary@h/d",
        "postgresql://u:canary-pw@h:canary-pw/d",
    ],
)
def test_a_password_in_an_address_is_refused_and_not_repeated(address: str) -> None:
    text = parse(f"name: a\nservices: {{x: {{postgres: '{address}'}}}}\n")
    assert "canary" not in text
    assert "password_env" in text or "not an address" in text


def test_an_env_file_taken_for_a_stack_file_is_not_repeated() -> None:
    assert "canary" not in parse("DB_PASSWORD=canary\nTOKEN=canary\n")
    assert "canary" not in parse("[canary, canary]\n")


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    for path, words in (
        (tmp_path / "none.yml", "is missing"),
        (tmp_path, "is a folder"),
        (Path("/dev/zero"), "not a regular file"),
    ):
        with pytest.raises(UserError, match=words):
            reader.load(path)


def test_precedence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.delenv("OPSCTL_STACK", raising=False)
    etc = reader.search_path()[-1]
    if not etc.exists():
        assert reader.find(None) is None
    (tmp_path / "config" / "opsctl").mkdir(parents=True)
    (tmp_path / "config" / "opsctl" / "opsctl.yml").write_text(GOOD)
    (tmp_path / "config" / "opsctl" / "mine.yml").write_text(GOOD)
    assert reader.find(None) == tmp_path / "config" / "opsctl" / "opsctl.yml"
    (tmp_path / "opsctl.yml").write_text(GOOD)
    assert reader.find(None) == Path("opsctl.yml")
    monkeypatch.setenv("OPSCTL_STACK", "mine")
    assert reader.find(None) == tmp_path / "config" / "opsctl" / "mine.yml"
    assert reader.find("freemarket") == reader.SHIPPED / "freemarket.yml"
    with pytest.raises(UserError, match="did you mean 'freemarket'"):
        reader.find("freemarkt")


SCHEMA = json_schema()


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_shipped_stacks_satisfy_the_json_schema(path: Path) -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    jsonschema.validate(yaml.safe_load(path.read_text()), SCHEMA)


@pytest.mark.parametrize(
    ("text", "fine"),
    [
        (GOOD, True),
        ("name: a\nservices: {x: {tls: example.com, logs: , http: [http://h/, {url: http://h/}]}}\n", True),
        ("name: a\nservices: {x: }\n", True),
        ("name: a\nservices: {x: {depends_on: y}, y: {}}\n", True),
        ("name: a\ncompose: p\nservices: {x: {container: x}}\nhost: \n", True),
        ("name: a\nservices: {x: {postgress: y}}\n", False),
        ("name: a\nservices: {x: {replicas: 0}}\n", False),
        ("services: {x: {}}\n", False),
    ],
)
def test_schema_and_reader_agree(text: str, fine: bool) -> None:
    value = yaml.safe_load(text)
    assert jsonschema.Draft202012Validator(SCHEMA).is_valid(value) is fine
    if fine:
        reader.parse(text.encode(), "f.yml", Path("/nowhere"))
    else:
        parse(text)


def test_the_written_schema_and_reference_are_those_of_the_code() -> None:
    assert (ROOT / "docs" / "opsctl.schema.json").read_text() == schema_text(), (
        "opsctl stack schema > docs/opsctl.schema.json"
    )
    assert (ROOT / "docs" / "stack-file.md").read_text() == reference_text(), (
        "opsctl stack schema --markdown > docs/stack-file.md"
    )
    json.loads(schema_text())


def test_the_example_of_the_reference_is_a_stack_file() -> None:
    example = re.search(r"```yaml\n(name: .*?)```", reference_text(), re.S)
    assert example is not None
    reader.parse(example.group(1).encode(), "f.yml", Path("/nowhere"))


VALUES: st.SearchStrategy[Any] = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=10)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=12,
)
KEYS = sorted({field.encode_name for spec in specs() for field in msgspec.structs.fields(spec)})
NEAR_MISSES = st.recursive(
    st.one_of(
        VALUES,
        st.sampled_from(["postgresql://u@h/d", "redis://h", "http://h/", "a", "x:y@z", "//[", "http://[::1"]),
    ),
    lambda inner: st.one_of(
        st.dictionaries(st.sampled_from(KEYS), inner, max_size=4), st.lists(inner, max_size=2)
    ),
    max_leaves=15,
)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.one_of(
        VALUES,
        NEAR_MISSES,
        st.fixed_dictionaries(
            {
                "name": st.just("a"),
                "services": st.dictionaries(st.sampled_from(["a", "b", "host"]), NEAR_MISSES),
            },
            optional={"host": NEAR_MISSES, "compose": NEAR_MISSES, "thresholds": NEAR_MISSES},
        ),
    )
)
def test_any_structure_is_a_stack_or_a_list_of_errors(value: Any) -> None:
    stack, errors = attempt(json.dumps(value).encode())  # JSON is YAML
    assert (stack is None) == bool(errors)
    if stack is not None:
        assignments(stack)
        stack.summary()


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=200))
def test_any_text_is_a_stack_or_a_list_of_errors(text: str) -> None:
    stack, errors = attempt(text.encode("utf-8", "replace"))
    assert (stack is None) == bool(errors)
