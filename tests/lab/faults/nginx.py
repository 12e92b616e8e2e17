"""nginx on the host: configuration, certificates, static files, limits."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from tests.lab.faults.base import fault
from tests.lab.stacks.base import System

SITE = "/etc/nginx/sites-enabled/site"
RESTART = "systemctl reset-failed nginx; systemctl restart nginx"
"""systemd counts starts, and refuses the sixth within ten seconds."""


@fault(
    "rostferrum",
    "wishlins",
    "iiko-base",
    expect=[("nginx/config-invalid", "proxy")],
    shows=[("http/refused", "site")],
)
def configuration_broken_and_restarted(lab: System) -> Iterator[None]:
    lab.sh(f"cp {SITE} /tmp/site; echo 'listen 80' >> {SITE}; systemctl restart nginx", check=False)
    yield
    lab.sh(f"cp /tmp/site {SITE}; systemctl reset-failed nginx; systemctl restart nginx")


@fault("rostferrum", "wishlins", expect=[("nginx/config-invalid", "proxy")], innocent=["http/*"])
def configuration_broken_but_not_reloaded(lab: System) -> Iterator[None]:
    """It still serves the old one; the next restart will take it down."""
    lab.sh(f"sleep 1.1; cp -p {SITE} /tmp/site; echo 'listen 80' >> {SITE}")
    yield
    lab.sh(f"cp -p /tmp/site {SITE}")


@fault("rostferrum", expect=[("nginx/config-not-loaded", "proxy")])
def configuration_changed_but_not_loaded(lab: System) -> Iterator[None]:
    lab.sh(f"sleep 1.1; echo '# changed' >> {SITE}")
    yield
    lab.sh("systemctl restart nginx")


@fault(
    "rostferrum",
    expect=[("nginx/upstream-refused", "proxy")],
    shows=[("http/status", "api")],
    innocent=["systemd/*"],
)
def proxy_points_at_the_wrong_port(lab: System) -> Iterator[None]:
    """The application is well; nginx asks another port."""
    lab.sh(f"cp -p {SITE} /tmp/site; sed -i s/:8000/:8001/ {SITE}; systemctl reload nginx; sleep 0.5")
    lab.see_load()
    yield
    lab.sh(f"cp -p /tmp/site {SITE}; {RESTART}")


@fault(
    "rostferrum",
    expect=[("nginx/static-missing", "proxy")],
    shows=[("http/status", "site")],
    innocent=["systemd/*"],
)
def static_build_deleted(lab: System) -> Iterator[None]:
    lab.sh("mv /var/www/rostferrum/dist /var/www/rostferrum/dist.old")
    lab.see_load()
    yield
    lab.sh("mv /var/www/rostferrum/dist.old /var/www/rostferrum/dist")


@fault("rostferrum", expect=[("nginx/static-missing", "proxy")], shows=[("http/status", "site")])
def static_files_unreadable(lab: System) -> Iterator[None]:
    lab.sh("chmod 700 /var/www/rostferrum/dist")
    lab.see_load()
    yield
    lab.sh("chmod 755 /var/www/rostferrum/dist")


@fault("rostferrum", expect=[("nginx/down", "proxy")], shows=[("http/refused", "site")])
def proxy_listens_on_another_port(lab: System) -> Iterator[None]:
    """Its unit runs, and nobody finds it."""
    lab.sh(f"cp -p {SITE} /tmp/site; sed -i 's/listen 80 /listen 8089 /' {SITE}; systemctl restart nginx")
    lab.see_load()
    yield
    lab.sh(f"cp -p /tmp/site {SITE}; {RESTART}")


@fault("wishlins", "iiko-base", expect=[("nginx/connections-exhausted", "proxy")], hangs=True)
def one_client_holds_all_connections(lab: System) -> Iterator[None]:
    settings = "/etc/nginx/nginx.conf"
    lab.server.write(
        "/etc/lab/connections.py",
        "import socket,time\nheld=[]\nfor n in range(150):\n"
        "    held.append(socket.create_connection(('127.0.0.1', 80)))\n"
        "    held[-1].sendall(b'GET / HTTP/1.1\\r\\nHost: a\\r\\n')\ntime.sleep(120)\n",
    )
    lab.sh(
        f"cp -p {settings} /tmp/nginx.conf;"
        f"sed -i 's/worker_connections .*/worker_connections 30;/' {settings}; systemctl restart nginx;"
        "systemd-run -q --unit=lab-connections python3 /etc/lab/connections.py; sleep 1"
    )
    lab.see_load()
    yield
    lab.sh(f"systemctl stop lab-connections; cp -p /tmp/nginx.conf {settings}; {RESTART}")


@fault(
    "rostferrum",
    expect=[("systemd/inactive", "backend")],
    shows=[("nginx/error-rate", "proxy"), ("http/status", "api")],
)
def many_users_meet_a_stopped_backend(lab: System) -> Iterator[None]:
    page = "http://rostferrum.ru/product/some-product-slug/"
    lab.sh(f"systemctl stop {lab.units['backend']}; for n in $(seq 40); do curl -s -o /dev/null {page}; done")
    yield
    lab.sh(f"systemctl start {lab.units['backend']}")


@fault(
    "rostferrum",
    expect=[("nginx/cache-full", "proxy")],
    innocent=["http/*"],
)
def cache_folder_full(lab: System) -> Iterator[None]:
    """nginx' cache has a small file system of its own, and somebody put something else there."""
    folder = "/var/cache/nginx"
    lab.sh(f"mkdir -p {folder}; mount -t tmpfs -o size=512k,mode=755 tmpfs {folder}")
    lab.sh(f"head -c 2M /dev/zero > {folder}/backup.tar", check=False)
    yield
    lab.sh(f"umount -l {folder}")


@fault("wishlins", "iiko-base", expect=[("tls/expired", "proxy")], shows=[("http/refused", "site")])
def certificate_expired(lab: System) -> Iterator[None]:
    with changed_certificate(lab, days=-2):
        yield


@fault("wishlins", "iiko-base", expect=[("tls/expiring", "proxy")])
def certificate_about_to_expire(lab: System) -> Iterator[None]:
    with changed_certificate(lab, days=3):
        yield


@fault("wishlins", "iiko-base", expect=[("tls/name-mismatch", "proxy")], shows=[("http/refused", "site")])
def certificate_for_another_name(lab: System) -> Iterator[None]:
    with changed_certificate(lab, days=90, name="old-domain.com"):
        yield


@fault("wishlins", "iiko-base", expect=[("tls/untrusted", "proxy")], shows=[("http/refused", "site")])
def certificate_self_signed(lab: System) -> Iterator[None]:
    with changed_certificate(lab, days=90, own=True):
        yield


@contextlib.contextmanager
def changed_certificate(lab: System, days: int, name: str = "", own: bool = False) -> Iterator[None]:
    """Have nginx serve another certificate for a while."""
    folder, names = lab.certificates  # type: ignore[attr-defined]
    lab.sh(f"cp -a {folder} /tmp/certificates")
    if own:
        lab.sh(
            f"openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days {days}"
            f" -keyout {folder}/privkey.pem -out {folder}/fullchain.pem -subj '/CN={names[0]}'"
            f" -addext 'subjectAltName={','.join(f'DNS:{item}' for item in names)}' 2>/dev/null"
        )
    else:
        lab.certificate(folder, *([name] if name else names), days=days)
    lab.sh("systemctl reload nginx; sleep 0.7")
    yield
    lab.sh(f"rm -rf {folder}; cp -a /tmp/certificates {folder}; rm -rf /tmp/certificates; {RESTART}")
