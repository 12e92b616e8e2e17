"""Certificates of the systems, where nginx runs in a container and where it runs on the host.

Expired, expiring, for another name and self-signed ones on the host are in `nginx.py`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from tests.lab.changes import edited
from tests.lab.faults.base import fault
from tests.lab.stacks.base import ComposeSystem, System

SITE = "/etc/nginx/sites-enabled/site"
REFUSED = [("http/refused", "site"), ("http/refused", "api")]


def served_anew(lab: System) -> None:
    """Have nginx read its certificates again."""
    if isinstance(lab, ComposeSystem) and "proxy" not in lab.units:
        lab.inside("proxy", "nginx -s reload")
    else:
        lab.sh("systemctl reload nginx")
    lab.sh("sleep 0.7")


def restarted(lab: System) -> None:
    """Start nginx anew, as a deployment does."""
    if isinstance(lab, ComposeSystem) and "proxy" not in lab.units:
        lab.sh(f"docker restart -t 1 {lab.id('proxy')}")
    else:
        lab.sh("systemctl reset-failed nginx; systemctl restart nginx", check=False)


@contextlib.contextmanager
def other_files(lab: System) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Give the folder of the certificate away for a while: its path, and the names it is for."""
    folder, names = lab.certificates  # type: ignore[attr-defined]
    lab.sh(f"rm -rf /tmp/certificates; cp -a {folder} /tmp/certificates")
    try:
        yield folder, names
    finally:
        lab.sh(f"cp -a /tmp/certificates/. {folder}/; rm -rf /tmp/certificates")


def certificate(lab: System, days: int, name: str = "") -> Iterator[None]:
    with other_files(lab) as (folder, names):
        lab.certificate(folder, *([name] if name else names), days=days)
        served_anew(lab)
        yield
    served_anew(lab)


@fault("freemarket", expect=[("tls/expired", "proxy")], shows=REFUSED)
def certificate_in_the_container_expired(lab: System) -> Iterator[None]:
    yield from certificate(lab, days=-1)


@fault("freemarket", expect=[("tls/expiring", "proxy")], innocent=["http/*"])
def certificate_in_the_container_about_to_expire(lab: System) -> Iterator[None]:
    yield from certificate(lab, days=5)


@fault("freemarket", expect=[("tls/name-mismatch", "proxy")], shows=REFUSED)
def certificate_in_the_container_for_another_name(lab: System) -> Iterator[None]:
    yield from certificate(lab, days=90, name="www.freemarket.com")


@fault("freemarket", expect=[("tls/untrusted", "proxy")], shows=REFUSED)
def certificate_in_the_container_self_signed(lab: System) -> Iterator[None]:
    with other_files(lab) as (folder, names):
        lab.sh(
            f"openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 90"
            f" -keyout {folder}/privkey.pem -out {folder}/fullchain.pem -subj '/CN={names[0]}'"
            f" -addext 'subjectAltName=DNS:{names[0]}' 2>/dev/null"
        )
        served_anew(lab)
        yield
    served_anew(lab)


@fault("freemarket", expect=[("tls/file-newer-than-served", "proxy")], shows=[("tls/expiring", "proxy")])
def certificate_renewed_and_never_loaded(lab: System) -> Iterator[None]:
    """certbot did its part; nobody told nginx."""
    with other_files(lab) as (folder, names):
        lab.certificate(folder, *names, days=2)
        served_anew(lab)
        lab.certificate(folder, *names, days=90)
        yield
    served_anew(lab)


def wrong_key(lab: System, folder: str) -> None:
    lab.sh(f"openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:prime256v1 -out {folder}/privkey.pem")


@fault("freemarket", expect=[("tls/key-mismatch", "proxy")], innocent=["http/*"])
def key_of_another_certificate_not_yet_loaded(lab: System) -> Iterator[None]:
    """nginx still runs with the right pair; the next restart will take it down."""
    with other_files(lab) as (folder, _):
        wrong_key(lab, folder)
        yield


@fault(
    "freemarket",
    expect=[("tls/key-mismatch", "proxy")],
    shows=[("container/restarting|container/exited", "proxy"), ("http/refused", "site")],
)
def key_of_another_certificate(lab: ComposeSystem) -> Iterator[None]:
    """nginx was restarted with it and ends at once, again and again."""
    with other_files(lab) as (folder, _):
        wrong_key(lab, folder)
        restarted(lab)
        lab.wait(f"[ $(docker inspect -f '{{{{.RestartCount}}}}' {lab.id('proxy')}) -ge 5 ]", seconds=90)
        yield
    lab.sh(f"docker stop -t 1 {lab.id('proxy')}; docker start {lab.id('proxy')}")


@fault("wishlins", "iiko-base", expect=[("nginx/config-invalid", "proxy")], shows=[("http/refused", "site")])
def key_file_of_another_certificate(lab: System) -> Iterator[None]:
    """Here the stack file names no files: what `nginx -t` says of them is the finding."""
    with other_files(lab) as (folder, _):
        wrong_key(lab, folder)
        restarted(lab)
        yield
    restarted(lab)


@fault("wishlins", "iiko-base", expect=[("tls/handshake-failed", "proxy")], shows=REFUSED)
def port_without_tls(lab: System) -> Iterator[None]:
    """`listen 443` without `ssl`: it speaks plain HTTP where browsers want TLS."""
    with edited(lab, SITE, "listen 443 ssl", "listen 443"):
        restarted(lab)
        yield
    restarted(lab)


@fault("freemarket", expect=[("tls/handshake-failed", "proxy")], shows=REFUSED)
def only_a_protocol_that_nobody_speaks(lab: System) -> Iterator[None]:
    """A copied setting allows TLS 1.0 alone."""
    path = "/srv/freemarket/nginx/site.conf"
    with edited(lab, path, "listen 443 ssl;", "listen 443 ssl; ssl_protocols TLSv1;"):
        restarted(lab)
        lab.wait("ss -ltn | grep -q ':443 '")
        yield
    restarted(lab)
