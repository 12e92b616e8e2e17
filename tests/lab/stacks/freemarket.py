"""freemarket: everything in containers, nginx too, and a monitoring project beside it."""

from __future__ import annotations

from typing import Any

import yaml

from tests.lab.stacks import compose_parts
from tests.lab.stacks.base import ComposeSystem

TOKEN = "7000000002:AAfreemarket-lab-token-0000000000000"
FOLDER = "/srv/freemarket"
SUBNET, GATEWAY = "172.29.0.0/16", "172.29.0.1"
URL = "postgresql://freemarket_user:kept-7d20e4@db:5432/freemarket_db"

SCHEMA = """\
create table users (id serial primary key, name text not null);
create table profiles (id serial primary key, user_id int);
create table items (id serial primary key, title text not null);
create table matches (id serial primary key, a int, b int);
create table ratings (id serial primary key, value int);
create table notifications (id serial primary key, status text not null default 'waiting',
    created_at timestamptz not null default now(), sent_at timestamptz);
insert into users (name) select 'user ' || n from generate_series(1, 100) n;
insert into profiles (user_id) select n from generate_series(1, 100) n;
insert into matches (a, b) select n, n + 1 from generate_series(1, 100) n;
"""

FRONTEND = "server { listen 80; root /srv/frontend; location / { try_files $uri /index.html; } }\n"

SITE = """\
resolver 127.0.0.11 valid=2s;
proxy_connect_timeout 2s;
proxy_read_timeout 3s;
server { listen 80 default_server; return 301 https://$host$request_uri; }
server {
    listen 443 ssl;
    server_name freemarket.com;
    ssl_certificate /etc/nginx/ssl/fullchain.pem;
    ssl_certificate_key /etc/nginx/ssl/privkey.pem;
    access_log /dev/stdout;
    location / { set $frontend frontend; proxy_pass http://$frontend:80; }
    location ~ ^/(health|users|profiles|matches|ratings|metrics) {
        set $backend backend;
        proxy_pass http://$backend:8000;
    }
}
"""

ALERT_TOKEN = "7000000003:AAfreemarket-lab-alerts-000000000000"
ALERT_API = "http://127.0.0.1:8083"
"""A Bot API of its own for alerts: what faults do to the bot's is another matter."""

PROMETHEUS = """\
global: {scrape_interval: 5s, evaluation_interval: 5s}
rule_files: [/etc/monitoring/rules.yml]
alerting: {alertmanagers: [{static_configs: [{targets: ['127.0.0.1:9093']}]}]}
scrape_configs:
  - job_name: prometheus
    static_configs: [{targets: ['127.0.0.1:9090']}]
  - job_name: alertmanager
    static_configs: [{targets: ['127.0.0.1:9093']}]
  - job_name: freemarket
    scheme: https
    tls_config: {insecure_skip_verify: true}
    static_configs: [{targets: ['freemarket.com']}]
"""
RULES = """\
groups:
  - name: freemarket
    rules:
      - {alert: Watchdog, expr: vector(1)}
      - {alert: ServiceDown, expr: up == 0, for: 1m}
      - {record: 'job:up:sum', expr: sum by (job) (up)}
"""
ALERTMANAGER = f"""\
route: {{receiver: telegram, group_wait: 1s, group_interval: 10s, repeat_interval: 20s}}
receivers:
  - name: telegram
    telegram_configs: [{{api_url: '{ALERT_API}', bot_token: '{ALERT_TOKEN}', chat_id: 1}}]
"""


class Freemarket(ComposeSystem):
    name = "freemarket"
    project = "freemarket"
    file = f"{FOLDER}/docker-compose.prod.yml"
    network = "freemarket_default"
    monitoring = f"{FOLDER}/monitoring/docker-compose.monitoring.yml"
    images = tuple(
        f"freemarket/{name}:2.1" for name in ("postgres", "redis", "backend", "frontend", "bot", "nginx")
    )
    scale = ("--scale", "backend=3")
    overrides = {"services.bot.telegram.api_url": "http://127.0.0.1:8081"}
    services = {
        "db": "db",
        "cache": "redis",
        "backend": "backend",
        "frontend": "frontend",
        "bot": "bot",
        "proxy": "nginx",
        "site": "site",
        "api": "api",
    }
    containers = {"cache": "redis", "proxy": "nginx"}
    database_url = URL
    certificates = (f"{FOLDER}/ssl", ("freemarket.com",))
    urls = (
        "https://freemarket.com/",
        "https://freemarket.com/health",
        "https://freemarket.com/users/1",
        "https://freemarket.com/matches/1",
    )

    def compose_file(self) -> dict[str, Any]:
        env: dict[str, Any] = {"env_file": [f"{FOLDER}/.env"]}
        return {
            "services": {
                "db": compose_parts.postgres(
                    self, self.images[0], FOLDER, ports=["127.0.0.1:5432:5432"], **env
                ),
                "redis": compose_parts.redis(self, self.images[1]),
                "backend": compose_parts.backend(
                    self,
                    self.images[2],
                    "freemarket_api",
                    depends_on=["db", "redis"],
                    mem_limit="256m",
                    **env,
                ),
                "frontend": compose_parts.nginx(
                    self,
                    self.images[3],
                    f"{FOLDER}/frontend/site.conf",
                    f"{FOLDER}/frontend/dist:/srv/frontend:ro",
                ),
                "bot": compose_parts.bot(self, self.images[4], GATEWAY, **env),
                "nginx": compose_parts.nginx(
                    self,
                    self.images[5],
                    f"{FOLDER}/nginx/site.conf",
                    f"{FOLDER}/ssl:/etc/nginx/ssl:ro",
                    ports=["80:80", "443:443"],
                    depends_on=["frontend", "backend"],
                ),
            },
            "networks": compose_parts.network(SUBNET, GATEWAY),
            "volumes": {"postgres_data": {}, "redis_data": {}},
        }

    def monitoring_file(self) -> dict[str, Any]:
        """Return the compose file of the monitoring project."""
        here = f"{FOLDER}/monitoring"
        templates = "/usr/share/prometheus"
        volumes = [f"{here}/bin:/opt/bin:ro", f"{here}:/etc/monitoring:ro", f"{templates}:{templates}:ro"]
        common = {"network_mode": "host"}
        return {
            "services": {
                "prometheus": self.service(
                    "freemarket/prometheus:2.42",
                    command=[
                        "/opt/bin/prometheus",
                        "--config.file=/etc/monitoring/prometheus.yml",
                        "--storage.tsdb.path=/tmp/data",
                        "--web.listen-address=127.0.0.1:9090",
                    ],
                    volumes=volumes,
                    **common,
                ),
                "alertmanager": self.service(
                    "freemarket/alertmanager:0.25",
                    command=[
                        "/opt/bin/prometheus-alertmanager",
                        "--config.file=/etc/monitoring/alertmanager.yml",
                        "--storage.path=/tmp/data",
                        "--web.listen-address=127.0.0.1:9093",
                        "--cluster.listen-address=",
                    ],
                    volumes=volumes,
                    **common,
                ),
            }
        }

    def install(self) -> None:
        write = self.server.write
        write(f"{FOLDER}/schema.sql", SCHEMA)
        write(f"{FOLDER}/frontend/site.conf", FRONTEND)
        write(f"{FOLDER}/frontend/dist/index.html", "<!doctype html><title>FreeMarket</title>\n")
        write(f"{FOLDER}/nginx/site.conf", SITE)
        write(f"{FOLDER}/monitoring/prometheus.yml", PROMETHEUS)
        write(f"{FOLDER}/monitoring/rules.yml", RULES)
        write(f"{FOLDER}/monitoring/alertmanager.yml", ALERTMANAGER)
        write(self.monitoring, yaml.safe_dump(self.monitoring_file(), sort_keys=False))
        write(
            f"{FOLDER}/.env",
            "POSTGRES_USER=freemarket_user\nPOSTGRES_PASSWORD=kept-7d20e4\nPOSTGRES_DB=freemarket_db\n"
            f"DB_PASSWORD=kept-7d20e4\nTELEGRAM_BOT_TOKEN={TOKEN}\nBOT_READS=TELEGRAM_BOT_TOKEN\n"
            f"DATABASE_URL={URL}\nREDIS_URL=redis://redis:6379/0\n"
            "TELEGRAM_API=http://telegram.lab:8081\nBACKEND_URL=http://backend:8000/users/1\n",
        )
        self.sh(
            f"chmod 600 {FOLDER}/.env; mkdir -p {FOLDER}/monitoring/bin;"
            f"cp /usr/bin/prometheus /usr/bin/prometheus-alertmanager {FOLDER}/monitoring/bin/"
        )
        self.write_compose()
        self.server.names("freemarket.com")
        self.certificate(f"{FOLDER}/ssl", "freemarket.com")
        self.firewall(22, 80, 443, networks=(SUBNET,))
        compose_parts.bot_api(self, TOKEN)
        compose_parts.bot_api(self, ALERT_TOKEN, "lab-alerts", 8083)

    def bring_up(self) -> None:
        self.tag_images()
        self.sh(f"docker tag {self.images[0]} freemarket/prometheus:2.42")
        self.sh(f"docker tag {self.images[0]} freemarket/alertmanager:0.25")
        self.sh("systemctl enable -q docker; systemctl start lab-telegram lab-alerts")
        self.compose("up", "-d", "--no-build", *self.scale)
        clean = "env -u PYTHONPATH docker-compose --ansi never -p monitoring"
        self.sh(f"{clean} -f {self.monitoring} up -d --no-build", seconds=60)

    def wait_healthy(self, seconds: float = 40) -> None:
        super().wait_healthy(seconds)
        for role in ("db", "cache", "backend"):
            self.wait_well(role, seconds)
        self.wait("curl -sf -m 2 -o /dev/null http://127.0.0.1:9090/-/ready", "prometheus", seconds)
        self.wait("curl -sf -m 2 -o /dev/null http://127.0.0.1:9093/-/ready", "alertmanager", seconds)
