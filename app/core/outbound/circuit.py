"""The circuit breaker; the only module that imports purgatory."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from math import ceil

import structlog
from purgatory import AsyncCircuitBreakerFactory, ContextChanged, Event
from purgatory.domain.model import CLOSED, HALF_OPENED, OPENED, Context

log = structlog.get_logger()

THRESHOLD = 5
PAUSE = timedelta(seconds=10)


class CircuitOpenError(Exception):
    """The circuit is open: no request may be sent now."""

    def __init__(self, retry_after: int) -> None:
        super().__init__(f"not before {retry_after} s")
        self.retry_after = retry_after


class Circuit:
    """Opens after `threshold` consecutive failures for `pause`; then one probe decides whether to close."""

    def __init__(self, name: str, *, threshold: int = THRESHOLD, pause: timedelta = PAUSE) -> None:
        self.name = name
        self.breakers = AsyncCircuitBreakerFactory(threshold, pause.total_seconds())
        self.breakers.add_listener(log_change)

    @asynccontextmanager
    async def passing(self) -> AsyncIterator[None]:
        """An exception that leaves the block counts as a failure.

        Raises:
            CircuitOpenError: instead of entering it.
        """
        breaker = await self.breakers.get_breaker(self.name)
        # Checked here, since the library raises one exception object again and again, whose traceback grows.
        if seconds := seconds_to_wait(breaker.context):
            raise CircuitOpenError(seconds)
        async with breaker:
            yield

    async def seconds_to_wait(self) -> int:
        """0 while requests may be sent."""
        return seconds_to_wait((await self.breakers.get_breaker(self.name)).context)


def seconds_to_wait(context: Context) -> int:
    if context.state == HALF_OPENED:
        return 1  # another request is the probe
    if context.opened_at is None:
        return 0
    left = context.opened_at + context.ttl - time.time()
    # At most the pause, even if the clock was set back.
    return ceil(min(max(left, 1), context.ttl)) if left >= 0 else 0


def log_change(name: str, _: str, event: Event) -> None:
    if not isinstance(event, ContextChanged):
        return
    if event.state == OPENED:
        log.warning("circuit opened: the service keeps failing", service=name)
    elif event.state == CLOSED:
        log.warning("circuit closed: the service is back", service=name)
