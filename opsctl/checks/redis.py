"""Redis: is it there, does it accept writes, does it keep its data."""

from __future__ import annotations

from opsctl.checks import redis_reachability, redis_service, redis_storage

__all__ = ["redis_reachability", "redis_service", "redis_storage"]
