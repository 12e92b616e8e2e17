"""Following an access log: the exporter's share of a core at 1 GB/h; its speed against a plain `re` loop."""

from __future__ import annotations

import bisect
import http.client
import random
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path

import yaml

from benchmarks.timing import alternating, median_ratio, milliseconds
from opsctl.logs.access_formats import compiled
from opsctl.logs.follow import FileFollower
from opsctl.logs.open_log import Places
from opsctl.logs.traffic import BOUNDS, TrafficCounter
from tests.servers.nginx import NginxServer

OPSCTL = str(Path(sys.executable).with_name("opsctl"))
BYTES_PER_SECOND = 1e9 / 3600
MOST_SHARE = 0.05
"""Of one core, everything included: reading, counting, saving the state, a scrape every five seconds."""
SECONDS, SCRAPE_SECONDS, BEATS = 30, 5, 20
SPEED_BYTES = 20_000_000
LIMIT = 2.0
LOG_FORMAT = (
    '$remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent "$http_referer" '
    '"$http_user_agent" $request_time $upstream_response_time "$upstream_addr"'
)
NUMBERED = re.compile(r"/[^/]*\d\d[^/]*")
PLAIN = re.compile(
    r'^(\S+) - (.*?) \[([^\]]+)\] "(\S+) (\S+) [^"]*" (\d{3}) (\d+) '
    r'"([^"]*)" "([^"]*)" (\S+) (\S+) "([^"]*)"$'
)


def lines(size: int) -> bytes:
    """Return lines of a shop's traffic: products without number, users by id, files, some errors."""
    chosen = random.Random(7)
    parts: list[str] = []
    written = 0
    while written < size:
        path = chosen.choice(
            (
                f"/product/{chosen.choice('abcdefgh')}-{chosen.randrange(500_000)}/",
                f"/api/v1/users/{chosen.randrange(10_000)}?page={chosen.randrange(9)}",
                "/api/v1/menu",
                "/",
                f"/assets/index-{chosen.randrange(20):08x}.js",
            )
        )
        status = chosen.choice((200, 200, 200, 200, 200, 200, 304, 404, 502))
        parts.append(
            f"10.{chosen.randrange(99)}.{chosen.randrange(255)}.7 - - [21/Nov/2026:04:09:14 +0000] "
            f'"GET {path} HTTP/1.1" {status} {chosen.randrange(20_000)} "https://shop.example/catalog/" '
            f'"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120" '
            f'{chosen.random():.3f} {chosen.random():.3f} "10.0.0.{chosen.randrange(5)}:8000"\n'
        )
        written += len(parts[-1])
    return "".join(parts).encode()


def by_plain_loop(path: Path) -> float:
    """Count the same line by line with the least that it takes, without bounds; return the CPU seconds."""
    began = time.process_time()
    counts: Counter[tuple[str, ...]] = Counter()
    times: Counter[tuple[str, int]] = Counter()
    size = seconds = 0.0
    with path.open(errors="replace") as file:
        for line in file:
            match = PLAIN.match(line)
            if match is not None:
                route = NUMBERED.sub("/:id", match[5].partition("?")[0])
                counts[match[4], route, match[6], match[12]] += 1
                size += int(match[7])
                seconds += float(match[10])
                times[route, bisect.bisect_left(BOUNDS, float(match[10]))] += 1
                times[match[12], bisect.bisect_left(BOUNDS, float(match[11]))] += 1
    return time.process_time() - began


def by_following(path: Path) -> float:
    """Follow the file from its beginning; return the CPU seconds."""
    form = compiled(LOG_FORMAT)
    if form is None:
        raise RuntimeError("the format was not understood")
    began = time.process_time()
    counter, follower = TrafficCounter(), FileFollower(lambda: path, Places())
    for chunk in follower.chunks(1 << 40):
        counter.feed(chunk, form)
    follower.close()
    used = time.process_time() - began
    if counter.unparsed or counter.lines < 10_000:
        raise RuntimeError(f"{counter.unparsed} of {counter.lines} lines were not understood")
    return used


def by_reading(path: Path) -> float:
    """Read the file and count line ends: what the machine can do at most; return the CPU seconds."""
    began = time.process_time()
    with path.open("rb") as file:
        while block := file.read(256 * 1024):
            block.count(b"\n")
    return time.process_time() - began


def _cpu(pid: int) -> float:
    """Return the seconds that a process' threads have run, to the nanosecond."""
    return sum(
        int((task / "schedstat").read_text().split()[0]) / 1e9 for task in Path(f"/proc/{pid}/task").iterdir()
    )


def _scrape(port: int) -> str:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request("GET", "/metrics/nginx")
    text = connection.getresponse().read().decode()
    connection.close()
    return text


def _write(path: Path, data: bytes, seconds: float) -> None:
    """Append whole lines evenly, many times a second, as nginx does."""
    began, step, done, beats = time.monotonic(), int(len(data) / seconds / BEATS), 0, 0
    with path.open("ab", buffering=0) as file:
        while done < len(data):
            beats += 1
            end = data.find(b"\n", min(beats * step, len(data) - 1)) + 1
            file.write(data[done:end])
            done = end
            time.sleep(max(began + beats / BEATS - time.monotonic(), 0))


def _share(folder: Path) -> tuple[float, float, int]:
    """Return CPU seconds and wall seconds of an exporter whose access log grows by 1 GB/h, and the lines."""
    log = folder / "shop.log"
    log.touch()
    extra = f"log_format shop '{LOG_FORMAT}';\n    access_log {log} shop;"
    with NginxServer(http_extra=extra) as nginx:
        spec = {
            "config": str(nginx.config),
            "pid_file": str(nginx.pid_file),
            "listen": nginx.listen,
            "status_url": nginx.status_url,
            "access_log": str(log),
        }
        file = folder / "stack.yml"
        file.write_text(yaml.safe_dump({"name": "shop", "services": {"web": {"nginx": spec}}}))
        argv = [OPSCTL, "exporter", "--stack", str(file), "--listen", "127.0.0.1:0"]
        argv += ["--state-directory", str(folder)]
        exporter = subprocess.Popen(argv, stderr=subprocess.PIPE, text=True)
        try:
            assert exporter.stderr is not None
            port = int(exporter.stderr.readline().rstrip("/\n").rpartition(":")[2])
            _scrape(port)
            data = lines(int(BYTES_PER_SECOND * SECONDS))
            writer = threading.Thread(target=_write, args=(log, data, SECONDS))
            cpu, began = _cpu(exporter.pid), time.monotonic()
            writer.start()
            while writer.is_alive():
                writer.join(SCRAPE_SECONDS)
                _scrape(port)
            cpu, wall = _cpu(exporter.pid) - cpu, time.monotonic() - began
            time.sleep(2)
            count = data.count(b"\n")
            page = _scrape(port)
            found = [
                int(text) for text in re.findall(r"^opsctl_nginx_access_log_\w*lines\S* (\d+)$", page, re.M)
            ]
            if not (
                len(found) == 2 and count <= found[0] < count + 100 and found[1] == 0
            ):  # some are nginx' own
                raise RuntimeError(f"{count} lines were written; followed and not understood: {found}")
            return cpu, wall, count
        finally:
            exporter.terminate()
            exporter.wait(20)


def run(runs: int = 5) -> list[tuple[str, str, str, bool]]:
    """Return rows (what, figures, ratio, within the limit)."""
    with tempfile.TemporaryDirectory(prefix="opsctl-following-") as name:
        folder = Path(name)
        cpu, wall, count = _share(folder)
        log = folder / "speed.log"
        log.write_bytes(lines(SPEED_BYTES))
        number = log.read_bytes().count(b"\n")
        ours, plain, reading = alternating(
            runs, lambda: by_following(log), lambda: by_plain_loop(log), lambda: by_reading(log)
        )
    share, ratio = cpu / wall, median_ratio(ours, plain)
    micro = sorted(ours)[len(ours) // 2] / number * 1e6
    return [
        (
            f"exporter's CPU at 1 GB/h of access log ({count / wall:.0f} lines/s) / wall",
            f"{cpu * 1000:.0f} ms / {wall:.0f} s ({cpu / count * 1e6:.1f} µs a line)",
            f"{share:.1%} of a core (≤ {MOST_SHARE:.0%})",
            share <= MOST_SHARE,
        ),
        (
            f"following {number} lines / a plain re loop",
            f"{milliseconds(ours)} / {milliseconds(plain)} ({micro:.1f} µs a line)",
            f"{ratio:.2f} × (≤ {LIMIT:g})",
            ratio <= LIMIT,
        ),
        (
            "following / only reading and counting lines (the machine's limit)",
            f"{milliseconds(ours)} / {milliseconds(reading)}",
            f"{median_ratio(ours, reading):.0f} ×",
            True,
        ),
    ]
