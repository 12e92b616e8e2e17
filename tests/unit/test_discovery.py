"""Discovery: what finders make of containers, units and sockets, and how it becomes one stack."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from opsctl import discovery
from opsctl.discovery import compose, sockets, units
from opsctl.discovery.found import (
    Discovered,
    FoundService,
    assemble,
    guessed_postgres,
    guessed_redis,
    http_spec,
)
from opsctl.discovery.writing import stack_file_text
from opsctl.errors import UserError
from opsctl.probes.listeners import Listener
from opsctl.stack import reader
from opsctl.stack.stack import Stack


def container(
    service: str, project: str = "shop", image: str = "", ports: Any = (), **labels: str
) -> dict[str, Any]:
    own = {"com.docker.compose.project": project, "com.docker.compose.service": service}
    own["com.docker.compose.project.working_dir"] = "/srv/shop"
    own["com.docker.compose.project.config_files"] = "docker-compose.prod.yml"
    return {
        "Id": "0" * 64,
        "Image": image or service,
        "Labels": own | {f"com.docker.compose.{key}": value for key, value in labels.items()},
        "Ports": [
            {"PrivatePort": inside, "Type": "tcp"}
            | ({"PublicPort": outside, "IP": "0.0.0.0"} if outside else {})
            for inside, outside in ports
        ],
        "NetworkSettings": {"Networks": {"shop_default": {"IPAddress": "172.20.0.5"}}},
    }


SHOP = [
    container("db", image="postgres:15", ports=[(5432, 0)]),
    container("cache", image="redis:7", ports=[(6379, 16379)]),
    container(
        "backend", ports=[(8000, 0)], depends_on="db:service_healthy:false,cache:service_started:false"
    ),
    container("backend", ports=[(8000, 0)]),
    container("front", image="nginx:1.25", ports=[(80, 80)]),
    {"Id": "1", "Image": "stray", "Labels": {}, "Ports": []},
]


def stack_of(*found: Discovered) -> Stack:
    spec, notes = assemble(list(found))
    return Stack(spec, "discovered", Path("/"), tuple(notes))


def test_a_compose_project() -> None:
    services, files = compose.services_of(SHOP)
    assert files == {"shop": "/srv/shop/docker-compose.prod.yml"}
    stack = stack_of(Discovered(services=services, projects=files))
    assert stack.spec.compose is not None
    assert stack.spec.compose.project == "shop"
    assert stack.flow == "containers"
    found = stack.spec.services
    assert set(found) == {"db", "cache", "backend", "front"}
    assert found["backend"].replicas == 2
    assert found["backend"].depends_on == ["db", "cache"], "as the label says"
    assert found["front"].depends_on == ["backend"], "guessed: nginx leans on the applications"
    assert found["cache"].redis[0].url == "redis://127.0.0.1:16379/0"
    assert found["front"].http[0].url == "http://127.0.0.1:80/"


def test_a_database_container_gives_user_and_database_and_never_its_password() -> None:
    environment = {"POSTGRES_USER": "shop_user", "POSTGRES_DB": "shop_db", "POSTGRES_PASSWORD": "canary-1234"}
    known = compose.login(("127.0.0.1", 5432), environment, {"DB_PASSWORD": "canary-1234"})
    assert known.dsn == "postgresql://shop_user@127.0.0.1:5432/shop_db"
    assert (known.password_env, known.guessed) == ("DB_PASSWORD", False)
    unknown = compose.login(("127.0.0.1", 5432), environment, {})
    assert (unknown.password_env, unknown.guessed) == ("", True)
    assert "canary" not in repr((known, unknown))


def test_two_projects_and_namesakes() -> None:
    more = [container("db", "other", "postgres:15"), *SHOP]
    services, files = compose.services_of(more)
    spec = stack_of(Discovered(services=services, projects=files)).spec
    assert spec.compose is not None
    assert spec.compose.project == "shop"
    others = {name: item for name, item in spec.services.items() if item.project == "other"}
    assert len(others) == 1
    assert next(iter(others.values())).container == "db"


def test_units_and_sockets_of_one_server_are_one_service() -> None:
    by_unit = Discovered(
        services=[
            FoundService(name="postgresql", role="postgres", unit="postgresql@15-main.service"),
            FoundService(name="shop", role="application", unit="shop.service"),
            FoundService(name="nginx", role="nginx", unit="nginx.service"),
        ]
    )
    by_socket = Discovered(
        services=[
            FoundService(
                name="postgresql", role="postgres", unit="postgresql@15-main.service",
                ports=frozenset({5432}), postgres=(guessed_postgres("127.0.0.1", 5432),),
            ),
            FoundService(
                name="python3", role="http", unit="shop.service", ports=frozenset({8000}),
                http=(http_spec("127.0.0.1", 8000, "/", 404),),
            ),
            *(
                FoundService(name="redis", role="redis", ports=frozenset({port}), redis=(at,))
                for port in (6380, 6381)
                for at in [guessed_redis("::1", port)]
            ),
        ]
    )  # fmt: skip
    found = stack_of(by_unit, by_socket).spec.services
    assert set(found) == {"postgresql", "shop", "nginx", "redis", "redis-6381"}
    assert found["postgresql"].unit == "postgresql@15-main.service"
    assert found["postgresql"].postgres[0].guessed
    assert found["shop"].http[0].status == [200, 404], "what it answers now is taken for right"
    assert found["shop"].depends_on == ["postgresql", "redis", "redis-6381"]
    assert found["redis"].redis[0].url == "redis://[::1]:6380/0"


@pytest.mark.parametrize(("status", "expected"), [(200, 200), (0, 200), (503, 200), (302, [200, 302])])
def test_a_page_that_is_broken_now_is_not_taken_for_right(status: int, expected: object) -> None:
    assert http_spec("127.0.0.1", 8000, "/", status).status == expected


@pytest.mark.parametrize(
    ("process", "port", "role"),
    [
        ("postgres", 5433, "postgres"),
        ("redis-server", 7000, "redis"),
        ("nginx", 8080, "nginx"),
        ("uvicorn", 8000, "http"),
        ("python3.11", 8000, "http"),
        ("gunicorn: master", 8000, "http"),
        ("sshd", 22, ""),
        ("", 5432, "postgres"),
        ("", 22, ""),
    ],
)
def test_roles_of_listeners(process: str, port: int, role: str) -> None:
    assert sockets.role_of_listener(Listener(address="127.0.0.1", port=port, process=process)) == role


@pytest.mark.parametrize(
    ("unit", "role"),
    [
        ("nginx.service", "nginx"),
        ("postgresql@15-main.service", "postgres"),
        ("postgresql.service", None),
        ("redis-server.service", "redis"),
        ("php8.2-fpm.service", "php"),
        ("cron.service", None),
    ],
)
def test_known_units(unit: str, role: str | None) -> None:
    assert units.role_of(unit) == role


def test_units_written_on_this_machine() -> None:
    start = "ExecStart=/srv/shop/venv/bin/uvicorn app:app\n"
    assert units.application_role(f"[Service]\n{start}") == "application"
    assert units.application_role(f"[Service]\nType=oneshot\n{start}") is None
    assert units.application_role("[Service]\nExecStart=/usr/bin/true\n") is None


def test_enabled_units_are_read_from_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wants = tmp_path / "multi-user.target.wants"
    wants.mkdir()
    (tmp_path / "shop.service").write_text("[Service]\nExecStart=/srv/venv/bin/gunicorn app\n")
    for name in ("shop.service", "nginx.service", "cron.service"):
        (wants / name).symlink_to(f"/lib/systemd/system/{name}")
    monkeypatch.setattr(units, "BOOTED", tmp_path)
    monkeypatch.setattr(units, "LOCAL", tmp_path)
    monkeypatch.setattr(units, "WANTS", (tmp_path, tmp_path / "none"))
    found = {item.unit: item.role for item in units.enabled().services}
    assert found == {"nginx.service": "nginx", "shop.service": "application"}


def test_what_hangs_or_breaks_is_noted_and_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    hang = threading.Event()

    def hangs(_seconds: float) -> Discovered:
        hang.wait(30)
        return Discovered()

    def breaks(_seconds: float) -> Discovered:
        raise RuntimeError("odd")

    fine = Discovered(
        services=[FoundService(name="cache", role="redis", redis=(guessed_redis("127.0.0.1", 6379),))]
    )
    monkeypatch.setattr(compose, "projects", hangs)
    monkeypatch.setattr(units, "enabled", breaks)
    monkeypatch.setattr(sockets, "servers", lambda _seconds: fine)
    began = time.monotonic()
    stack = discovery.discover(0.2)
    assert time.monotonic() - began < 10, "it does not wait for what hangs"
    hang.set()
    assert list(stack.spec.services) == ["cache"]
    assert "Docker did not answer within 0.2 s" in stack.notes
    assert "systemd: RuntimeError: odd" in stack.notes


def test_nothing_found_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    for module, name in ((compose, "projects"), (units, "enabled"), (sockets, "servers")):
        monkeypatch.setattr(module, name, lambda _seconds: Discovered())
    with pytest.raises(UserError, match="--stack") as caught:
        discovery.discover()
    assert "opsctl.yml" in str(caught.value)


def test_the_written_file_means_the_same_stack() -> None:
    services, files = compose.services_of(SHOP)
    stack = stack_of(Discovered(services=services, projects=files))
    text = stack_file_text(stack)
    back = reader.parse(text.encode(), "opsctl.yml", Path("/"))
    assert back.spec.services == stack.spec.services
    assert back.spec.compose == stack.spec.compose
    assert back.flow == stack.flow
    assert "# " in text


@settings(max_examples=100, deadline=None)
@given(
    st.lists(
        st.builds(
            FoundService,
            name=st.sampled_from(["db", "a/b", "host", " x y", "api", "true", "1", "é: #"]),
            role=st.sampled_from(["postgres", "redis", "nginx", "php", "http", "application", ""]),
            unit=st.sampled_from(["", "a.service", "b@1.service"]),
            ports=st.frozensets(st.integers(1, 65535), max_size=2),
            depends_on=st.lists(st.sampled_from(["db", "api", "none"]), max_size=2).map(tuple),
            redis=st.lists(st.just(guessed_redis("127.0.0.1", 6379)), max_size=1).map(tuple),
        ),
        min_size=1,
        max_size=6,
    )
)
def test_whatever_was_found_can_be_written_and_validated(services: list[FoundService]) -> None:
    stack = stack_of(Discovered(services=services))
    back = reader.parse(stack_file_text(stack).encode(), "opsctl.yml", Path("/"))
    assert back.spec.services == stack.spec.services
