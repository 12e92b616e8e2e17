"""What documents say of a system, asked twice: of opsctl, and by hand. Returns where the two differ."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from tests.lab.stacks.base import STACK_FILE, ComposeSystem, System

FILE = Path(__file__).with_name("documented.yml")


def documented(system: str) -> dict[str, Any]:
    """Return the row of a system."""
    row: dict[str, Any] = yaml.safe_load(FILE.read_text())[system]
    return row


class Walk:
    """One walk over everything documented of a healthy system.

    Attributes:
        asked: what was compared, in words.
    """

    def __init__(self, system: System) -> None:
        self.system = system
        self.row = documented(system.name)
        self.asked: list[str] = []
        self.snapshot = self._opsctl("snapshot", "-o", "-")
        self.health = self._opsctl("health", "--output", "json")
        self.texts = json.dumps(self.snapshot) + json.dumps(self.health)

    def differences(self) -> list[str]:
        """Return in one line each what opsctl did not look at, or answers otherwise than asking by hand."""
        found: list[str] = []
        for part in (
            self.urls,
            self.units,
            self.containers,
            self.networks,
            self.logs,
            self.ports,
            self.database,
            self.redis,
            self.static,
            self.variables,
            self.names,
            self.certificates,
            self.bots,
            self.queue,
            self.monitoring,
            self.firewall,
        ):
            found += part()
        return found

    # -- the parts --------------------------------------------------------------------------------

    def urls(self) -> Iterator[str]:
        for url in self.row.get("urls", []):
            self.asked.append(url)
            here = next((facts for facts in self.facts("http") if facts["url"] == url), None)
            if here is None:
                yield f"{url}: opsctl does not ask it"
                continue
            hand = self.sh(f"curl -s -m 10 -o /dev/null -w '%{{http_code}}' {shlex.quote(url)}")
            if here["status_code"] != int(hand or 0):
                yield f"{url}: opsctl says {here['status_code']}, curl {hand}"
            if not here["success"]:
                yield f"{url}: opsctl does not take {here['status_code']} for right"

    def units(self) -> Iterator[str]:
        known = {unit["name"]: unit for facts in self.facts("systemd") for unit in facts["units"]}
        for unit in self.row.get("units", []):
            self.asked.append(unit)
            hand = self.sh(f"systemctl is-active {unit}")
            states = known.get(unit, {}).get("states") or {}
            state = next((name for name, value in states.items() if value), "not looked at")
            if state != hand or state != "active":
                yield f"{unit}: opsctl says {state}, systemctl {hand}"

    def containers(self) -> Iterator[str]:
        known = {(facts["project"], facts["service"]): facts for facts in self.facts("container")}
        for name, wanted in self.row.get("containers", {}).items():
            self.asked.append(f"container {name}")
            detail = wanted if isinstance(wanted, dict) else {"count": wanted}
            project = detail.get("project", self.compose.project)
            facts = known.get((project, name))
            hand = self._containers(name, project)
            seen = facts["running"] if facts else "not looked at"
            if seen != len(hand) or seen != detail["count"]:
                wanted = detail["count"]
                yield f"container {name}: opsctl says {seen}, docker ps {len(hand)}, documented {wanted}"
        names = {item["name"] for facts in known.values() for item in facts["instances"]}
        for name in self.row.get("container_names", []):
            self.asked.append(f"container {name}")
            if name not in names or not self.sh(f"docker ps -q --filter name=^/{name}$"):
                yield f"container {name}: opsctl knows {sorted(names)}"

    def networks(self) -> Iterator[str]:
        members = [item for facts in self.facts("container") for item in facts["instances"]]
        for network in self.row.get("networks", []):
            self.asked.append(f"network {network}")
            hand = set(
                self.sh(
                    "docker network inspect -f '{{range .Containers}}{{.Name}} {{end}}' " + network
                ).split()
            )
            seen = {item["name"] for item in members if network in item["networks"]}
            if seen != hand or not seen:
                yield f"network {network}: opsctl says {sorted(seen)}, docker {sorted(hand)}"

    def logs(self) -> Iterator[str]:
        readings = [
            item for item in self.snapshot["readings"] if (item.get("facts") or {}).get("kind") == "logs"
        ]
        services = {
            item["target"]["service"]: item["facts"]["service"]
            for item in self.snapshot["readings"]
            if (item.get("facts") or {}).get("kind") == "container"
        }
        for log in self.row.get("logs", []):
            if isinstance(log, str):
                words, command = log, f"cat {shlex.quote(log)}"
                found = [item for item in readings if item["facts"]["source"] == log]
            elif "journal" in log:
                words = f"journal of {log['journal']}"
                command = f"journalctl -q -u {log['journal']} --since=-10min -o cat"
                found = [item for item in readings if item["facts"]["source"] == words]
            else:
                words = f"log of container {log['container']}"
                ids = self._containers(log["container"], self.compose.project)
                command = "; ".join(f"docker logs --since 10m {each} 2>&1" for each in ids) or "false"
                found = [
                    item
                    for item in readings
                    if services.get(item["target"]["service"]) == log["container"]
                    and "docker" in item["facts"]["command"]
                ]
            self.asked.append(words)
            if not found:
                yield f"{words}: opsctl does not read it"
                continue
            facts = found[0]["facts"]
            lines = int(self.sh(f"({command}) | wc -l") or 0)
            if bool(facts["entries"]) and not lines:
                yield f"{words}: opsctl says {facts['entries']} entries, by hand there is none"
            if lines and not facts["entries"]:
                yield f"{words}: opsctl says {facts['entries']} entries, by hand {lines} lines"
            if facts["problems"]:
                yield f"{words}: {facts['problems'][0]['message']}"

    def ports(self) -> Iterator[str]:
        known = {port["port"]: port for facts in self.facts("network") for port in facts["ports"]}
        for number, wanted in self.row.get("ports", {}).items():
            self.asked.append(f"port {number} {wanted}")
            port = known.get(str(number))
            if port is None:
                yield f"port {number}: opsctl does not look at it"
                continue
            listeners = self.sh(f"ss -Hltn 'sport = :{number}' | awk '{{print $4}}'").split()
            outside = [item for item in listeners if not item.startswith(("127.", "[::1]"))]
            if port["wanted"] != wanted:
                yield f"port {number}: the stack file wants it {port['wanted']}, documented is {wanted}"
            if port["listening"] != bool(listeners) or bool(port["exposed"]) != bool(outside):
                yield f"port {number}: opsctl says {port}, ss {listeners}"
            if bool(outside) != (wanted == "open"):
                yield f"port {number}: documented {wanted}, ss {listeners}"

    def database(self) -> Iterator[str]:
        row = self.row.get("database")
        if row is None:
            return
        reading = next(item for item in self.snapshot["readings"] if item["target"]["kind"] == "postgres")
        facts = reading["facts"]
        self.asked.append(f"database {row.get('name', '')}".strip())
        if facts is None:
            # the documents of one system name no login: that the server answers is all there is to see
            problem = reading["problem"] or {}
            answers = problem.get("code") == "permission" and "user" not in row
            if not answers or self._sql("select 1") != "1":
                yield f"database: opsctl says {problem.get('message')}"
            return
        if not facts["up"]:
            yield f"database: opsctl was not let in: {facts['connection']}"
            return
        for key, word in (("name", "database"), ("user", "user")):
            if row.get(key, facts[word]) != facts[word]:
                yield f"database: opsctl asks {word} {facts[word]}, documented is {row[key]}"
        hand = self._sql("select setting from pg_settings where name = 'max_connections'")
        if hand != str(facts["settings"]["max_connections"]):
            yield f"database: opsctl says max_connections {facts['settings']['max_connections']}, psql {hand}"
        known = {table["name"]: table["exists"] for table in facts["wanted_tables"]}
        for table in row.get("tables", []):
            self.asked.append(f"table {table}")
            there = self._sql(f"select to_regclass('{table}') is not null") == "t"
            if known.get(table) is not there or not there:
                yield f"table {table}: opsctl says {known.get(table)}, psql {there}"
        if "replicas" in self.row:
            self.asked.append("read replicas")
            count = self._sql("select count(*) from pg_stat_replication where state = 'streaming'")
            seen = [item for item in facts["replicas"] if item["state"] == "streaming"]
            if not str(len(seen)) == count == str(self.row["replicas"]) == str(facts["expected_replicas"]):
                yield f"replicas: opsctl says {len(seen)}, psql {count}, documented {self.row['replicas']}"

    def redis(self) -> Iterator[str]:
        address = self.row.get("redis")
        if address is None:
            return
        self.asked.append(f"redis {address}")
        facts = next((item for item in self.facts("redis") if item["address"] == address), None)
        port = address.rpartition(":")[2]
        hand = self.sh(f"redis-cli -p {port} info server | tr -d '\\r' | sed -n 's/^redis_version://p'")
        if facts is None or facts["version"] != hand:
            yield f"redis {address}: opsctl says {facts and facts['version']}, redis-cli {hand}"

    def static(self) -> Iterator[str]:
        known = {item["path"]: item for facts in self.facts("nginx") for item in facts["static"]}
        for path in self.row.get("static", []):
            self.asked.append(path)
            there = self.sh(f"test -e {path} && echo yes") == "yes"
            if known.get(path, {}).get("exists") is not there or not there:
                yield f"{path}: opsctl says {known.get(path)}, by hand {there}"

    def variables(self) -> Iterator[str]:
        for documented_path, names in self.row.get("variables", {}).items():
            path = self.sh(f"echo {documented_path}")  # ~ is for the server's shell to know
            known = {
                item["name"]: item
                for facts in self.facts("config")
                if facts["path"] == path
                for item in facts["variables"]
            }
            for name in names:
                self.asked.append(f"{name} in {path}")
                value = self.sh(f"sed -n 's/^{name}=//p' {path}")
                if known.get(name, {}).get("present") is not bool(value) or not value:
                    yield f"{name} in {path}: opsctl says {known.get(name)}, by hand {bool(value)}"
                if name in self.row["secret"] and value and value in self.texts:
                    yield f"{name} in {path}: opsctl shows its value"
                if name in self.row["secret"] and not known.get(name, {}).get("secret"):
                    yield f"{name} in {path}: the stack file does not call it a secret"

    def names(self) -> Iterator[str]:
        known = {item["name"]: item for facts in self.facts("network") for item in facts["names"]}
        for name in self.row.get("names", []):
            self.asked.append(f"name {name}")
            hand = self.sh(f"getent hosts {name} | awk '{{print $1}}'").split()
            if not set(hand) & set(known.get(name, {}).get("addresses", [])):
                yield f"name {name}: opsctl says {known.get(name)}, getent {hand}"

    def certificates(self) -> Iterator[str]:
        known = {facts["name"]: facts for facts in self.facts("tls")}
        for name in self.row.get("certificates", []):
            self.asked.append(f"certificate {name}")
            hand = self.sh(
                f"openssl s_client -connect 127.0.0.1:443 -servername {name} </dev/null 2>/dev/null"
                " | openssl x509 -noout -enddate | cut -d= -f2"
            )
            ends = datetime.strptime(hand, "%b %d %H:%M:%S %Y %Z").replace(tzinfo=UTC).timestamp()
            seen = known.get(name, {})
            if seen.get("not_after") != ends or not seen.get("name_matches"):
                yield f"certificate {name}: opsctl says {seen.get('not_after')}, openssl {ends}"

    def bots(self) -> Iterator[str]:
        known = {
            item["target"]["service"]: item.get("facts") or {}
            for item in self.snapshot["readings"]
            if item["target"]["kind"] == "telegram"
        }
        for name in self.row.get("bots", []):
            self.asked.append(f"bot {name}")
            facts = known.get(name, {})
            if not facts.get("up") or facts["connection"]["state"] != "ok":
                yield f"bot {name}: opsctl says {facts.get('connection', 'not looked at')}"

    def queue(self) -> Iterator[str]:
        queue = self.row.get("queue")
        if queue is None:
            return
        name = queue["name"]
        self.asked.append(f"queue {name}")
        measured = [
            item["value"]
            for facts in self.facts("data")
            for item in facts["measurements"]
            if item["name"] == name
        ]
        hand = float(self._sql(queue["sql"]))
        if measured != [hand]:
            yield f"queue {name}: opsctl says {measured}, by hand {hand}"

    def monitoring(self) -> Iterator[str]:
        known = {facts["url"].rstrip("/"): facts for facts in self.facts("monitoring")}
        for url in self.row.get("monitoring", []):
            self.asked.append(url)
            hand = self.sh(f"curl -s -m 10 -o /dev/null -w '%{{http_code}}' {url}/-/ready")
            if not known.get(url, {}).get("up") or hand != "200":
                yield f"{url}: opsctl says {known.get(url, {}).get('connection', 'not asked')}, curl {hand}"

    def firewall(self) -> Iterator[str]:
        if not self.row.get("firewall"):
            return
        self.asked.append("firewall")
        hand = "-P INPUT DROP" in self.sh("iptables -S INPUT")
        seen = [facts["firewall_active"] for facts in self.facts("network")]
        expected = [facts["firewall_expected"] for facts in self.facts("network")]
        if seen != [hand] or expected != [True] or not hand:
            yield f"firewall: opsctl says {seen} and expects {expected}, iptables {hand}"

    # -- asking -----------------------------------------------------------------------------------

    @property
    def compose(self) -> ComposeSystem:
        assert isinstance(self.system, ComposeSystem)
        return self.system

    def facts(self, kind: str) -> list[dict[str, Any]]:
        """Return the facts of every target of a kind that could be looked at."""
        readings = [item.get("facts") or {} for item in self.snapshot["readings"]]
        return [facts for facts in readings if facts.get("kind") == kind]

    def sh(self, script: str) -> str:
        """Ask by hand."""
        return self.system.sh(script, check=False).strip()

    def _containers(self, service: str, project: str) -> list[str]:
        """Return the running containers of a Compose service, as `docker ps` has them."""
        labels = {"project": project, "service": service}
        filters = " ".join(
            f"--filter label=com.docker.compose.{key}={value}" for key, value in labels.items()
        )
        return self.sh(f"docker ps -q --filter status=running {filters}").split()

    def _sql(self, query: str) -> str:
        """Ask the database itself, past opsctl's own way to it."""
        row = self.row["database"]
        if "at" in row:
            container = self._containers(row["at"], self.compose.project)[0]
            login = 'psql -h 127.0.0.1 -U "$POSTGRES_USER" -d "$POSTGRES_DB"'
            script = f'PGPASSWORD="$POSTGRES_PASSWORD" {login} -Atc {shlex.quote(query)}'
            return self.sh(f"docker exec {container} sh -c {shlex.quote(script)}")
        as_postgres = "setpriv --reuid=postgres --regid=postgres --init-groups"
        return self.sh(f"cd / && {as_postgres} psql -Atc {shlex.quote(query)} {row['name']}")

    def _opsctl(self, *arguments: str) -> dict[str, Any]:
        result = self.system.server.opsctl(*arguments, "--stack", STACK_FILE)
        if not result.stdout.startswith("{"):
            raise RuntimeError(f"no JSON: {result.stdout[-500:]}{result.stderr[-1500:]}")
        value: dict[str, Any] = json.loads(result.stdout)
        return value
