"""wishlins: four containers, nginx on the host before them."""

from __future__ import annotations

from typing import Any

from tests.lab.stacks import compose_parts
from tests.lab.stacks.base import ComposeSystem

TOKEN = "7000000001:AAwishlins-lab-token-000000000000000"
HOME = "/root"
"""Where `~` of the stack file leads inside the lab's own machine."""
FOLDER = f"{HOME}/apps/wishlins-miniapp"
ENV = f"{FOLDER}/.env"
SUBNET, GATEWAY = "172.28.0.0/16", "172.28.0.1"

SCHEMA = """\
create table users (id serial primary key, name text not null);
create table wishes (id serial primary key, user_id int references users(id), title text not null);
insert into users (name) select 'user ' || n from generate_series(1, 100) n;
insert into wishes (user_id, title) select 1 + n % 100, 'wish ' || n from generate_series(1, 500) n;
"""

FRONTEND = """\
server {
    listen 80;
    root /srv/frontend;
    location / { try_files $uri $uri/ /index.html; }
}
"""

SITE = """
    limit_req_zone $binary_remote_addr zone=api:1m rate=100r/s;
    server { listen 80; server_name your-domain.com; return 301 https://$host$request_uri; }
    server {
        listen 443 ssl;
        server_name your-domain.com;
        ssl_certificate /etc/letsencrypt/live/your-domain.com/fullchain.pem;
        ssl_certificate_key /etc/letsencrypt/live/your-domain.com/privkey.pem;
        add_header X-Frame-Options SAMEORIGIN;
        add_header X-Content-Type-Options nosniff;
        proxy_connect_timeout 2s;
        proxy_read_timeout 3s;
        location / { proxy_pass http://127.0.0.1:3000; }
        location /api/ { limit_req zone=api burst=50 nodelay; proxy_pass http://127.0.0.1:8000; }
    }
"""


class Wishlins(ComposeSystem):
    name = "wishlins"
    project = "wishlist"
    file = f"{FOLDER}/docker-compose.prod.yml"
    network = "wishlist_default"
    images = ("wishlins/postgres:15", "wishlins/backend:1.4", "wishlins/frontend:1.4", "wishlins/bot:1.4")
    overrides = {"services.wishlist-bot.telegram.api_url": "http://127.0.0.1:8081"}
    services = {
        "db": "wishlist-postgres",
        "backend": "wishlist-backend",
        "frontend": "wishlist-frontend",
        "bot": "wishlist-bot",
        "proxy": "nginx",
    }
    containers = {"db": "postgres"}
    units = {"proxy": "nginx"}
    certificates = ("/etc/letsencrypt/live/your-domain.com", ("your-domain.com",))
    urls = (
        "https://your-domain.com/",
        "https://your-domain.com/api/v1/users",
        "https://your-domain.com/api/v1/wishes/7",
        "http://127.0.0.1:8000/api/v1/users",
    )

    def compose_file(self) -> dict[str, Any]:
        here: dict[str, Any] = {"env_file": [f"{FOLDER}/.env"]}
        return {
            "services": {
                "postgres": compose_parts.postgres(
                    self,
                    self.images[0],
                    FOLDER,
                    container_name="wishlist-postgres",
                    mem_limit="512m",
                    **here,
                ),
                "backend": compose_parts.backend(
                    self,
                    self.images[1],
                    "wishlins_api",
                    container_name="wishlist-backend",
                    ports=["127.0.0.1:8000:8000"],
                    depends_on=["postgres"],
                    mem_limit="257m",
                    **here,
                ),
                "frontend": compose_parts.nginx(
                    self,
                    self.images[2],
                    f"{FOLDER}/frontend/site.conf",
                    f"{FOLDER}/frontend/dist:/srv/frontend:ro",
                    container_name="wishlist-frontend",
                    ports=["127.0.0.1:3000:80"],
                    healthcheck=self.healthcheck("curl -sf -m 2 -o /dev/null http://127.0.0.1/"),
                    mem_limit="128m",
                ),
                "bot": compose_parts.bot(
                    self, self.images[3], GATEWAY, container_name="wishlist-bot", mem_limit="256m", **here
                ),
            },
            "networks": compose_parts.network(SUBNET, GATEWAY),
            "volumes": {"postgres_data": {"name": "wishlins_postgres_data"}},
        }

    def install(self) -> None:
        write = self.server.write
        write(f"{FOLDER}/schema.sql", SCHEMA)
        write(f"{FOLDER}/frontend/site.conf", FRONTEND)
        write(
            f"{FOLDER}/frontend/dist/index.html", "<!doctype html><title>Wishlins</title><div id=app></div>\n"
        )
        write(
            f"{FOLDER}/.env",
            f"BOT_TOKEN={TOKEN}\nPOSTGRES_USER=wishlins\nPOSTGRES_PASSWORD=kept-9f3b71\nPOSTGRES_DB=wishlins\n"
            "DATABASE_URL=postgresql://wishlins:kept-9f3b71@postgres:5432/wishlins\n"
            "TELEGRAM_API=http://telegram.lab:8081\nBACKEND_URL=http://backend:8000/api/v1/users\n",
        )
        self.sh(f"chmod 600 {FOLDER}/.env; chmod 755 {FOLDER}/frontend/dist; chmod 644 {FOLDER}/schema.sql")
        self.write_compose()
        self.server.names("your-domain.com")
        self.certificate("/etc/letsencrypt/live/your-domain.com", "your-domain.com")
        self.nginx(SITE)
        self.firewall(22, 80, 443, networks=(SUBNET,))
        compose_parts.bot_api(self, TOKEN)

    def bring_up(self) -> None:
        self.tag_images()
        self.sh("systemctl enable -q nginx ssh docker; systemctl start ssh nginx lab-telegram")
        self.compose("up", "-d", "--no-build")

    def wait_healthy(self, seconds: float = 40) -> None:
        super().wait_healthy(seconds)
        for role in ("db", "backend", "frontend"):
            self.wait_well(role, seconds)
        self.wait_state("bot", ".State.Running")
