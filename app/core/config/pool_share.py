"""Default sizes of connection pools, per server process."""

from typing import Any

# For all workers of one `strata serve`. PostgreSQL's default is 100, which leaves room for a pg_dump, a migration and
# a psql.
HOST_BUDGET = 60
# What one worker gets at most and at least. It runs one event loop, which more connections would not make quicker.
MOST = 30
LEAST = 5
# So many of them are kept open; the others come and go with a rush.
MOST_KEPT = 10


def share(workers: int) -> int:
    return max(LEAST, min(MOST, HOST_BUDGET // workers))


def default_pool_size(settings: dict[str, Any]) -> int:
    """`settings` are the values of the fields before this one, those that are valid."""
    return min(MOST_KEPT, share(settings.get("web_concurrency", 1)))


def default_max_overflow(settings: dict[str, Any]) -> int:
    return share(settings.get("web_concurrency", 1)) - default_pool_size(settings)
