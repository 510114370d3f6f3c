"""Moving windows of counted hits."""

import time
from array import array
from bisect import bisect_right
from itertools import islice
from typing import NamedTuple, Protocol

from limits import RateLimitItem, WindowStats

# Per limit: about 2 MiB, and more keys than a process has clients near a limit at the same time.
MAX_KEYS = 10_000
# How many of the keys that were checked longest ago are checked per new one.
LOOKED_AT = 2
LOOKED_AT_WHEN_FULL = 16


class Limit(NamedTuple):
    """An amount per number of seconds; `item` is the object of the library `limits`."""

    item: RateLimitItem
    amount: int
    seconds: int


class Windows(Protocol):
    """A store of hits by key."""

    async def hit(self, limit: Limit, key: str) -> tuple[bool, WindowStats]:
        """Count a hit if there is room; return whether there was, and the window's state."""

    async def look(self, limit: Limit, key: str) -> WindowStats: ...
    async def clear(self, limit: Limit, key: str) -> None: ...


# Times of the counted hits of a key, the oldest first; never more than the limit.
type Hits = array[float]


class LocalWindows:
    """Moving windows in this process.

    Replaces `limits.aio.storage.MemoryStorage`, which after every hit walks over all keys with a thread hop each
    (~80 µs of CPU per key) and fails in the background on keys that were cleared meanwhile.

    There are at most MAX_KEYS per limit. Beyond that, the keys with the fewest hits are evicted: to evict the count of
    somebody else's account, an attacker needs thousands of keys with as many hits.
    """

    def __init__(self) -> None:
        self.of_limits: dict[tuple[int, int], dict[str, Hits]] = {}

    async def hit(self, limit: Limit, key: str) -> tuple[bool, WindowStats]:
        now = time.time()
        keys = self.of_limits.setdefault((limit.amount, limit.seconds), {})
        hits = keys.get(key)
        if hits is None:
            make_room(keys, now - limit.seconds)
            hits = keys[key] = array("d")
        elif hits and hits[0] <= now - limit.seconds:
            forget(hits, now - limit.seconds)
        has_room = len(hits) < limit.amount
        if has_room:
            hits.append(now)
        return has_room, stats(hits, limit, now)

    async def look(self, limit: Limit, key: str) -> WindowStats:
        now = time.time()
        hits = self.of_limits.get((limit.amount, limit.seconds), {}).get(key, array("d"))
        forget(hits, now - limit.seconds)
        return stats(hits, limit, now)

    async def clear(self, limit: Limit, key: str) -> None:
        self.of_limits.get((limit.amount, limit.seconds), {}).pop(key, None)


def forget(hits: Hits, until: float) -> None:
    if hits and hits[0] <= until:
        del hits[: bisect_right(hits, until)]


def stats(hits: Hits, limit: Limit, now: float) -> WindowStats:
    return WindowStats((hits[0] if hits else now) + limit.seconds, limit.amount - len(hits))


def make_room(keys: dict[str, Hits], until: float) -> None:
    """Drop expired keys, a few per new key, so that each hit does O(1) work without pauses."""
    is_full = len(keys) >= MAX_KEYS
    oldest = list(islice(keys, LOOKED_AT_WHEN_FULL if is_full else LOOKED_AT))
    looked_at = [(key, keys.pop(key)) for key in oldest]
    kept = [(key, hits) for key, hits in looked_at if hits and hits[-1] > until]
    if is_full and len(kept) == len(looked_at):
        kept.remove(min(kept, key=lambda each: len(each[1])))
    # At the end, so that others come next.
    keys.update(kept)
