"""Moving windows in which something is counted."""

import time
from collections import deque
from dataclasses import dataclass, field
from typing import Protocol

from limits import RateLimitItem, WindowStats

SWEEP_AT_KEYS = 1024


class Windows(Protocol):
    """The part of `limits.aio.strategies.MovingWindowRateLimiter` that is used here."""

    async def hit(self, item: RateLimitItem, /, *identifiers: str) -> bool: ...
    async def get_window_stats(self, item: RateLimitItem, /, *identifiers: str) -> WindowStats: ...
    async def clear(self, item: RateLimitItem, /, *identifiers: str) -> None: ...


@dataclass(slots=True)
class Window:
    """When each counted hit of one key was, the oldest first; never more than the limit."""

    seconds: int
    hits: deque[float] = field(default_factory=deque)

    def forget_before_now(self, now: float) -> None:
        while self.hits and self.hits[0] <= now - self.seconds:
            self.hits.popleft()

    def counts_at(self, now: float) -> bool:
        return bool(self.hits) and self.hits[-1] > now - self.seconds


class LocalWindows:
    """Moving windows in this process.

    In place of `limits.aio.storage.MemoryStorage`, which after every hit walks over all keys with one thread
    hop each (~80 µs of CPU a key) and fails in the background on a key that was cleared meanwhile.
    """

    def __init__(self) -> None:
        self.windows: dict[str, Window] = {}
        self.sweep_at = SWEEP_AT_KEYS

    async def hit(self, item: RateLimitItem, /, *identifiers: str) -> bool:
        now = time.time()
        self.sweep(now)
        window = self.windows.setdefault(item.key_for(*identifiers), Window(item.get_expiry()))
        window.forget_before_now(now)
        if len(window.hits) >= item.amount:
            return False
        window.hits.append(now)
        return True

    async def get_window_stats(self, item: RateLimitItem, /, *identifiers: str) -> WindowStats:
        now = time.time()
        window = self.windows.get(item.key_for(*identifiers)) or Window(item.get_expiry())
        window.forget_before_now(now)
        oldest = window.hits[0] if window.hits else now
        return WindowStats(oldest + window.seconds, item.amount - len(window.hits))

    async def clear(self, item: RateLimitItem, /, *identifiers: str) -> None:
        self.windows.pop(item.key_for(*identifiers), None)

    def sweep(self, now: float) -> None:
        """Drop what has run out whenever the keys have doubled, so that a hit pays for it with O(1)."""
        if len(self.windows) < self.sweep_at:
            return
        self.windows = {key: window for key, window in self.windows.items() if window.counts_at(now)}
        self.sweep_at = max(SWEEP_AT_KEYS, 2 * len(self.windows))
