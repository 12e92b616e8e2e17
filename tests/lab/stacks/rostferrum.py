"""rostferrum: static pages by nginx, product pages by FastAPI, all under systemd."""

from __future__ import annotations

from tests.lab.stacks import parts
from tests.lab.stacks.base import System

ROOT = "/var/www/rostferrum"
PASSWORD = "kept-51ac20"
URL = f"postgresql://rostferrum_user:{PASSWORD}@127.0.0.1:5432/rostferrum"

SCHEMA = """\
create table products (id serial primary key, slug text unique not null, title text not null, price numeric not null);
create table leads (id serial primary key, name text, phone text, at timestamptz not null default now());
insert into products (slug, title, price) values ('some-product-slug', 'Beam', 1200);
insert into products (slug, title, price) select 'product-' || n, 'Product ' || n, n from generate_series(1, 2000) n;
"""  # noqa: E501

SITE = """
    proxy_cache_path /var/cache/nginx levels=1:2 keys_zone=pages:1m max_size=50m;
    server {
        listen 80 default_server;
        server_name rostferrum.ru;
        root /var/www/rostferrum/dist;
        access_log /var/log/nginx/access.log;
        error_log /var/log/nginx/rostferrum_error.log;
        gzip on;
        error_page 404 /404.html;
        proxy_connect_timeout 2s;
        proxy_read_timeout 3s;
        location / { try_files $uri $uri/ =404; }
        location /product/ { proxy_pass http://127.0.0.1:8000; }
        location /api/ { proxy_pass http://127.0.0.1:8000; }
    }
"""


class Rostferrum(System):
    name = "rostferrum"
    services = {
        "db": "postgresql",
        "cache": "redis",
        "backend": "products",
        "proxy": "nginx",
        "site": "pages",
        "api": "product-pages",
    }
    units = {
        "db": "postgresql@15-main",
        "cache": "redis-server",
        "backend": "rostferrum-products",
        "proxy": "nginx",
    }
    database_url = URL
    urls = (
        "http://rostferrum.ru/",
        "http://rostferrum.ru/about/",
        "http://rostferrum.ru/catalog/some-category-slug/",
        "http://rostferrum.ru/product/some-product-slug/",
        "http://127.0.0.1:8000/product/some-product-slug/",
        "http://127.0.0.1:8000/metrics",
    )

    def install(self) -> None:
        pages = ("about", "catalog/some-category-slug", "privacy", "terms", "assets")
        self.sh(
            f"""set -e
            mkdir -p {ROOT}/templates {ROOT}/scripts
            echo '<title>{{{{ title }}}}</title>' > {ROOT}/templates/page.html
            echo 'print("built")' > {ROOT}/scripts/build.py
            touch -d '-1 hour' {ROOT}/templates {ROOT}/templates/page.html {ROOT}/scripts/build.py
            for page in {" ".join(pages)}; do
                mkdir -p {ROOT}/dist/$page
                echo "<!doctype html><title>$page</title>" > {ROOT}/dist/$page/index.html
            done
            seq -f {ROOT}/dist/catalog/category-%g 649 | xargs mkdir -p
            echo '<!doctype html><title>Category</title>' > /tmp/page
            seq -f {ROOT}/dist/catalog/category-%g/index.html 649 | xargs sh -c 'tee "$@" < /tmp/page > /dev/null' sh
            echo '<!doctype html><title>Rostferrum</title>' > {ROOT}/dist/index.html
            echo '<!doctype html><title>not here</title>' > {ROOT}/dist/404.html
            mkdir -p /var/cache/nginx && chown www-data: /var/cache/nginx
            printf 'DATABASE_URL={URL}\\nREDIS_URL=redis://127.0.0.1:6379/0\\nAPP_NAME=products\\n' > {ROOT}/.env
            chmod 600 {ROOT}/.env"""  # noqa: E501
        )
        self.server.names("rostferrum.ru")
        self.nginx(SITE)
        self.python_unit(
            "rostferrum-products",
            "/usr/bin/python3 -m uvicorn rostferrum_api:app --host 127.0.0.1 --port 8000"
            " --timeout-graceful-shutdown 1",
            f"{ROOT}/.env",
            ROOT,
        )

    def bring_up(self) -> None:
        parts.redis(self)
        parts.postgres(self, "rostferrum", "rostferrum_user", PASSWORD, SCHEMA)
        self.sh("systemctl enable -q nginx rostferrum-products; systemctl start nginx rostferrum-products")
