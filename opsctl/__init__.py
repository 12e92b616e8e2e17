"""opsctl names the root cause of an outage on a Docker Compose or systemd server."""

__version__ = "0.1.0"
