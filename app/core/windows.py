"""Moving windows in which something is counted."""

import time
from collections import deque
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from limits import RateLimitItem, WindowStats

SWEEP_AT_KEYS = 1024


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


@dataclass(slots=True)
class Window:
    """When each counted hit of one key was, the oldest first; never more than the limit."""

    seconds: int
    hits: deque[float] = field(default_factory=deque)

    def forget_before_now(self, now: float) -> None:
        while self.hits and self.hits[0] <= now - self.seconds:
            self.hits.popleft()

    def stats(self, limit: Limit, now: float) -> WindowStats:
        oldest = self.hits[0] if self.hits else now
        return WindowStats(oldest + self.seconds, limit.amount - len(self.hits))

    def counts_at(self, now: float) -> bool:
        return bool(self.hits) and self.hits[-1] > now - self.seconds


class LocalWindows:
    """Moving windows in this process.

    In place of `limits.aio.storage.MemoryStorage`, which after every hit walks over all keys with one thread
    hop each (~80 µs of CPU a key) and fails in the background on a key that was cleared meanwhile.
    """

    def __init__(self) -> None:
        self.windows: dict[tuple[int, int, str], Window] = {}
        self.sweep_at = SWEEP_AT_KEYS

    async def hit(self, limit: Limit, key: str) -> tuple[bool, WindowStats]:
        now = time.time()
        name = (limit.amount, limit.seconds, key)
        window = self.windows.get(name)
        if window is None:
            self.sweep(now)
            window = self.windows[name] = Window(limit.seconds)
        window.forget_before_now(now)
        has_room = len(window.hits) < limit.amount
        if has_room:
            window.hits.append(now)
        return has_room, window.stats(limit, now)

    async def look(self, limit: Limit, key: str) -> WindowStats:
        now = time.time()
        window = self.windows.get((limit.amount, limit.seconds, key)) or Window(limit.seconds)
        window.forget_before_now(now)
        return window.stats(limit, now)

    async def clear(self, limit: Limit, key: str) -> None:
        self.windows.pop((limit.amount, limit.seconds, key), None)

    def sweep(self, now: float) -> None:
        """Drop what has run out whenever the keys have doubled, so that a hit pays for it with O(1)."""
        if len(self.windows) < self.sweep_at:
            return
        self.windows = {key: window for key, window in self.windows.items() if window.counts_at(now)}
        self.sweep_at = max(SWEEP_AT_KEYS, 2 * len(self.windows))
