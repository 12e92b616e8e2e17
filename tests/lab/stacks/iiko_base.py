"""iiko-base: FastAPI and a Laravel-like administration behind nginx, all under systemd."""

from __future__ import annotations

from tests.lab.machine import INSIDE_APPS
from tests.lab.stacks import parts
from tests.lab.stacks.base import System

ROOT = "/var/www/iiko-base"
PASSWORD = "kept-c04d17"
URL = f"postgresql://iiko_user:{PASSWORD}@127.0.0.1:5432/iiko_db"
CERTIFICATES = "/etc/letsencrypt/live/vezuroll.ru"

SCHEMA = """\
create table users (id serial primary key, name text not null);
create table menu_items (id serial primary key, name text not null, price numeric not null);
create table migrations (id serial primary key, migration text not null, batch int not null);
create table alembic_version (version_num varchar(32) primary key);
insert into alembic_version values ('0001_menu');
insert into migrations (migration, batch) values ('2024_01_01_000000_create_users_table', 1);
insert into menu_items (name, price) select 'Roll ' || n, n from generate_series(1, 200) n;
"""
MIGRATION = 'revision = "0001_menu"\ndown_revision = None\n\n\ndef upgrade():\n    pass\n'

SITE = """
    proxy_connect_timeout 2s;
    proxy_read_timeout 3s;
    fastcgi_read_timeout 4s;
    ssl_certificate /etc/letsencrypt/live/vezuroll.ru/fullchain.pem;
    ssl_certificate_key /etc/letsencrypt/live/vezuroll.ru/privkey.pem;
    server { listen 80 default_server; return 301 https://$host$request_uri; }
    server {
        listen 443 ssl;
        server_name vezuroll.ru;
        root /var/www/iiko-base/frontend/public;
        access_log /var/log/nginx/iiko-base-access.log;
        error_log /var/log/nginx/iiko-base-error.log;
        location / { try_files $uri /index.php$is_args$args; }
        location ~ \\.php$ { include snippets/fastcgi-php.conf; fastcgi_pass unix:/run/php/php8.2-fpm.sock; }
    }
    server {
        listen 443 ssl;
        server_name api.vezuroll.ru;
        access_log /var/log/nginx/iiko-api-access.log;
        error_log /var/log/nginx/iiko-api-error.log;
        location / { proxy_pass http://127.0.0.1:8000; }
    }
"""


class IikoBase(System):
    name = "iiko-base"
    services = {
        "db": "postgresql",
        "backend": "backend",
        "php": "php-fpm",
        "proxy": "nginx",
        "site": "admin",
        "api": "api",
    }
    units = {"db": "postgresql@15-main", "backend": "iiko-backend", "php": "php8.2-fpm", "proxy": "nginx"}
    database_url = URL
    certificates = (CERTIFICATES, ("vezuroll.ru", "api.vezuroll.ru"))
    urls = (
        "https://vezuroll.ru/",
        "https://api.vezuroll.ru/health",
        "https://api.vezuroll.ru/api/v1/menu",
        "http://127.0.0.1:8000/api/v1/menu/1",
    )

    def install(self) -> None:
        self.sh(
            f"""set -e
            mkdir -p {ROOT}/backend/database/migrations/versions {ROOT}/frontend/public {ROOT}/frontend/bootstrap/cache
            cd {ROOT}/frontend
            mkdir -p storage/logs storage/app storage/framework/cache storage/framework/sessions storage/framework/views
            cp {INSIDE_APPS}/iiko_admin.php public/index.php
            : > artisan
            printf 'DATABASE_URL={URL}\\nDEBUG=false\\nAPP_NAME=iiko-backend\\n' > {ROOT}/backend/.env
            printf 'APP_NAME=Iiko\\nAPP_ENV=production\\nAPP_DEBUG=false\\n' > .env
            echo "APP_KEY=base64:$(openssl rand -base64 32)" >> .env
            printf 'DB_CONNECTION=pgsql\\nDB_HOST=127.0.0.1\\nDB_PORT=5432\\nDB_DATABASE=iiko_db\\n' >> .env
            printf 'DB_USERNAME=iiko_user\\nDB_PASSWORD={PASSWORD}\\n' >> .env
            : > storage/logs/laravel.log
            chown -R www-data: {ROOT}; chmod 600 {ROOT}/backend/.env .env"""  # noqa: E501
        )
        self.server.write(f"{ROOT}/backend/database/migrations/versions/0001_menu.py", MIGRATION)
        self.server.names("vezuroll.ru", "api.vezuroll.ru")
        self.certificate(CERTIFICATES, "vezuroll.ru", "api.vezuroll.ru")
        self.nginx(SITE)
        self.firewall(22, 80, 443)
        self.python_unit(
            "iiko-backend",
            "/usr/bin/python3 -m uvicorn iiko_api:app --host 127.0.0.1 --port 8000 --timeout-graceful-shutdown 1",  # noqa: E501
            f"{ROOT}/backend/.env",
            f"{ROOT}/backend",
        )

    def bring_up(self) -> None:
        parts.postgres(self, "iiko_db", "iiko_user", PASSWORD, SCHEMA)
        self.sh("touch /var/log/php8.2-fpm.log; systemctl enable -q nginx iiko-backend php8.2-fpm")
        self.sh("systemctl start php8.2-fpm nginx iiko-backend")

    def forget(self) -> None:
        super().forget()
        self.sh(f"truncate -s 0 {ROOT}/frontend/storage/logs/laravel.log", check=False)
