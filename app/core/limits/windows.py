"""Moving windows in which something is counted."""

import time
from array import array
from bisect import bisect_right
from itertools import islice
from typing import NamedTuple, Protocol

from limits import RateLimitItem, WindowStats

# Of one limit: about 2 MiB, and more than a process has clients that come near to a limit at the same time.
MAX_KEYS = 10_000
# How many of the keys that were looked at longest ago are looked at for each new one.
LOOKED_AT = 2
LOOKED_AT_WHEN_FULL = 16


class Limit(NamedTuple):
    """So many in so many seconds; `item` is how the library `limits` has it."""

    item: RateLimitItem
    amount: int
    seconds: int


class Windows(Protocol):
    """Where the hits of keys are counted."""

    async def hit(self, limit: Limit, key: str) -> tuple[bool, WindowStats]:
        """Count one if there is room for it; whether there was, and what the window says then."""

    async def look(self, limit: Limit, key: str) -> WindowStats: ...
    async def clear(self, limit: Limit, key: str) -> None: ...


# When each counted hit of one key was, the oldest first; never more than the limit.
type Hits = array[float]


class LocalWindows:
    """Moving windows in this process.

    In place of `limits.aio.storage.MemoryStorage`, which after every hit walks over all keys with one thread
    hop each (~80 µs of CPU a key) and fails in the background on a key that was cleared meanwhile.

    There are at most MAX_KEYS of each limit. Where more are counted at once, those with the fewest hits are forgotten:
    whoever wants to have the count of somebody else's account forgotten needs thousands with as many hits.
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
    """Drop what has run out; more than one for each new key, so that a hit pays for it with O(1) and no pause."""
    is_full = len(keys) >= MAX_KEYS
    oldest = list(islice(keys, LOOKED_AT_WHEN_FULL if is_full else LOOKED_AT))
    looked_at = [(key, keys.pop(key)) for key in oldest]
    kept = [(key, hits) for key, hits in looked_at if hits and hits[-1] > until]
    if is_full and len(kept) == len(looked_at):
        kept.remove(min(kept, key=lambda each: len(each[1])))
    # At the end, so that others come next.
    keys.update(kept)
