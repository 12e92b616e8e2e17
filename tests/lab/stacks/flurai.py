"""flurai: five backends behind a load balancer, a primary with three read replicas, Redis, a bot."""

from __future__ import annotations

import shlex
from typing import Any

from tests.lab.machine import INSIDE_APPS
from tests.lab.stacks import compose_parts
from tests.lab.stacks.base import ComposeSystem

TOKEN = "7000000003:AAflurai-lab-token-00000000000000000"
PASSWORD = "kept-51c8e2"
FOLDER = "/srv/flurai"
ENV = f"{FOLDER}/.env"
VERSIONS = f"{FOLDER}/backend/alembic/versions"
SITE = f"{FOLDER}/nginx/nginx.conf"
LOGS = f"{FOLDER}/logs/nginx"
DOMAIN = "your-miniapp-domain.com"
SUBNET, GATEWAY = "172.30.0.0/16", "172.30.0.1"
REPLICAS = ("db-replica-1", "db-replica-2", "db-replica-3")
MAX_CONNECTIONS = 800
"""Five instances may ask for 750, opsctl and the replicas need some too."""

SCHEMA = """\
create table products (id serial primary key, title text not null, price int not null);
create table orders (id serial primary key, product_id int references products(id),
    created_at timestamptz not null default now());
create table alembic_version (version_num varchar(32) primary key);
insert into alembic_version values ('b2f1');
insert into products (title, price) select 'bouquet ' || n, 100 + n from generate_series(1, 200) n;
insert into orders (product_id) select 1 + n % 200 from generate_series(1, 300) n;
"""

ENVIRONMENT = f"""\
BOT_TOKEN={TOKEN}
MINI_APP_URL=https://{DOMAIN}
DB_USER=postgres
DB_PASSWORD={PASSWORD}
DB_NAME=flurai
DB_HOST=db
DB_PORT=5432
DB_READ_HOSTS={",".join(REPLICAS)}
REDIS_HOST=redis
REDIS_PORT=6379
ADMIN_LOGIN=florist
ADMIN_PASSWORD=kept-a0c93f77d1
ADMIN_SECRET=kept-6be2f04c5518
JWT_SECRET=kept-e19d7730ab42
ALLOWED_ORIGINS=https://{DOMAIN},https://t.me
ENVIRONMENT=production
LOG_LEVEL=INFO
TELEGRAM_API={compose_parts.BOT_API}
BACKEND_URL=http://backend:8000/api/v1/orders
"""

LOAD_BALANCER = f"""\
user www-data;
worker_processes 1;
error_log /dev/stderr warn;
error_log /var/log/flurai/error.log warn;
events {{ worker_connections 1024; }}
http {{
    default_type text/html;
    access_log /dev/stdout;
    access_log /var/log/flurai/access.log;
    limit_req_zone $binary_remote_addr zone=api:1m rate=100r/s;
    limit_req_zone $binary_remote_addr zone=login:1m rate=5r/m;
    limit_req_status 429;
    proxy_connect_timeout 2s;
    proxy_read_timeout 2s;
    upstream backend {{
        least_conn;
        server backend:8000;
    }}
    server {{ listen 80 default_server; return 301 https://$host$request_uri; }}
    server {{
        listen 8000;
        location ~ ^/(health|metrics)$ {{ proxy_pass http://backend; }}
    }}
    server {{
        listen 443 ssl;
        server_name {DOMAIN};
        ssl_certificate /etc/nginx/ssl/fullchain.pem;
        ssl_certificate_key /etc/nginx/ssl/privkey.pem;
        location / {{ root /srv/miniapp; try_files $uri /index.html; }}
        location = /health {{ proxy_pass http://backend; }}
        location /api/ {{ limit_req zone=api burst=100 nodelay; proxy_pass http://backend; }}
        location = /api/v1/admin/login {{ limit_req zone=login burst=5 nodelay; proxy_pass http://backend; }}
    }}
}}
"""


def migration(revision: str, before: str, words: str) -> str:
    """Return the text of an Alembic migration."""
    down = f'"{before}"' if before else "None"
    return f'"""{words}"""\n\nrevision = "{revision}"\ndown_revision = {down}\n\n\ndef upgrade():\n    pass\n'


def slot_of(replica: str) -> str:
    """Return the name of a replica's slot on the primary."""
    return replica.replace("-", "_")


class Flurai(ComposeSystem):
    name = "flurai"
    project = "flurai"
    file = f"{FOLDER}/docker-compose.prod.yml"
    network = "flurai_default"
    images = tuple(f"flurai/{name}:3.0" for name in ("postgres", "redis", "backend", "bot", "nginx"))
    scale = ("--scale", "backend=5")
    overrides = {
        "services.bot.telegram.api_url": "http://127.0.0.1:8081",
        "services.nginx.nginx.config": SITE,
        "services.nginx.nginx.access_log": f"{LOGS}/access.log",
        "services.nginx.nginx.error_log": f"{LOGS}/error.log",
    }
    services = {
        "db": "db",
        "cache": "redis",
        "backend": "backend",
        "bot": "bot",
        "proxy": "nginx",
        "api": "backend",
        "site": "miniapp",
    }
    containers = {"cache": "redis", "proxy": "nginx"}
    database_url = f"postgresql://postgres:{PASSWORD}@127.0.0.1:5432/flurai"
    certificates = (f"{FOLDER}/ssl", (DOMAIN,))
    urls = (
        f"https://{DOMAIN}/",
        f"https://{DOMAIN}/api/v1/products",
        f"https://{DOMAIN}/api/v1/orders",
        "http://127.0.0.1:8000/health",
    )

    def compose_file(self) -> dict[str, Any]:
        postgres, cache, backend, bot, nginx = self.images
        env: dict[str, Any] = {"env_file": [ENV]}
        login = {"POSTGRES_USER": "${DB_USER}", "POSTGRES_PASSWORD": "${DB_PASSWORD}"}
        primary = compose_parts.postgres(
            self,
            postgres,
            FOLDER,
            f"max_connections={MAX_CONNECTIONS}",
            ports=["127.0.0.1:5432:5432"],
            environment={**login, "POSTGRES_DB": "${DB_NAME}", "SLOTS": " ".join(map(slot_of, REPLICAS))},
        )
        services = {
            "db": primary,
            **{name: self.replica(name, postgres, login) for name in REPLICAS},
            "redis": compose_parts.redis(self, cache),
            "backend": compose_parts.backend(
                self,
                backend,
                "flurai_api",
                page="/health",
                interval="5s",  # there are five of them
                depends_on=["db", "redis"],
                mem_limit="256m",
                **env,
            ),
            "bot": compose_parts.bot(self, bot, GATEWAY, "flurai_bot.py", **env),
            "nginx": self.service(
                nginx,
                command=["nginx", "-c", "/etc/nginx/flurai/nginx.conf", "-g", "daemon off;"],
                ports=["80:80", "443:443", "127.0.0.1:8000:8000"],
                depends_on=["backend"],
                volumes=[
                    f"{FOLDER}/nginx:/etc/nginx/flurai:ro",
                    f"{FOLDER}/ssl:/etc/nginx/ssl:ro",
                    f"{FOLDER}/miniapp:/srv/miniapp:ro",
                    f"{LOGS}:/var/log/flurai",
                ],
            ),
        }
        return {
            "services": services,
            "networks": compose_parts.network(SUBNET, GATEWAY),
            "volumes": {"postgres_data": {}, "redis_data": {}},
        }

    def replica(self, name: str, image: str, login: dict[str, str]) -> dict[str, Any]:
        """Return a read replica with a slot of its own on the primary."""
        return self.service(
            image,
            hostname=name,
            command=["sh", f"{INSIDE_APPS}/postgres.sh", "-c", f"max_connections={MAX_CONNECTIONS}"],
            environment={**login, "PRIMARY": "${DB_HOST}", "SLOT": slot_of(name)},
            depends_on=["db"],
        )

    def install(self) -> None:
        write = self.server.write
        write(f"{FOLDER}/schema.sql", SCHEMA)
        write(ENV, ENVIRONMENT)
        write(SITE, LOAD_BALANCER)
        write(f"{FOLDER}/miniapp/index.html", "<!doctype html><title>Flurai</title><div id=app></div>\n")
        write(f"{VERSIONS}/a1e0_tables.py", migration("a1e0", "", "tables"))
        write(f"{VERSIONS}/b2f1_indexes.py", migration("b2f1", "a1e0", "composite indexes"))
        self.sh(f"chmod 600 {ENV}; mkdir -p {LOGS}")
        self.write_compose()
        self.server.names(DOMAIN)
        self.certificate(f"{FOLDER}/ssl", DOMAIN)
        self.firewall(22, 80, 443, networks=(SUBNET,))
        compose_parts.bot_api(self, TOKEN)

    def bring_up(self) -> None:
        self.tag_images()
        self.sh("systemctl enable -q docker; systemctl start lab-telegram")
        self.compose("up", "-d", "--no-build", *self.scale)

    def wait_healthy(self, seconds: float = 40) -> None:
        """The pages come last: nginx leaves out for ten seconds whom it has asked too early."""
        for role in ("db", "cache"):
            self.wait_well(role, seconds)
        for number in range(len(self.ids("backend"))):
            self.wait_well("backend", seconds, number)
        self.wait_state("bot", ".State.Running")
        streaming = "select count(*) from pg_stat_replication where state = 'streaming'"
        self.wait(
            f'[ "$(psql -Atc "{streaming}" {self.database_url})" -ge {len(REPLICAS)} ]', "replicas", seconds
        )
        super().wait_healthy(seconds)

    def forget(self) -> None:
        """Empty the load balancer's files too."""
        super().forget()
        self.sh(f"truncate -s 0 {LOGS}/*.log", check=False)

    def renew(self, role: str) -> None:
        """Replace a role's containers; the load balancer must learn the backends' new addresses."""
        super().renew(role)
        if role == "backend":
            self.reload_proxy()

    def recreate(self, *roles: str) -> None:
        super().recreate(*roles)
        if "backend" in roles:
            self.reload_proxy()

    def primary(self, sql: str) -> str:
        """Run SQL on the primary as its administrator, who needs no password there."""
        return self.inside("db", f"psql -U postgres -v ON_ERROR_STOP=1 -Atqc {shlex.quote(sql)} flurai")

    def reload_proxy(self) -> None:
        """Have nginx look up the backends' names anew."""
        self.sh(f"docker kill -s HUP {self.id('proxy')}")
