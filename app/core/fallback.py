"""Falls back to a substitute while a service is down."""

import time
from collections.abc import Awaitable, Callable
from datetime import timedelta

import structlog

log = structlog.get_logger()

RETRY = timedelta(seconds=30)


class Fallback:
    """Calls a service, or its substitute while the service fails; retries it periodically, not per request."""

    def __init__(
        self, errors: tuple[type[Exception], ...], lost: str, regained: str, *, retry: timedelta = RETRY
    ) -> None:
        """`errors` mean that the service is down; `lost` and `regained` are log events."""
        self.errors = errors
        self.lost = lost
        self.regained = regained
        self.retry_seconds = retry.total_seconds()
        self.is_down = False
        self.retry_at = 0.0

    async def ask[T](self, service: Callable[[], Awaitable[T]], stand_in: Callable[[], Awaitable[T]]) -> T:
        if time.monotonic() < self.retry_at:
            return await stand_in()
        if self.is_down:
            # One request probes the service; the others do not wait for it.
            self.retry_at = time.monotonic() + self.retry_seconds
        try:
            answer = await service()
        except self.errors as error:
            self.lose(error)
            return await stand_in()
        self.regain()
        return answer

    def lose(self, error: Exception) -> None:
        self.retry_at = time.monotonic() + self.retry_seconds
        if not self.is_down:
            log.warning(self.lost, error=type(error.__cause__ or error).__name__)
        self.is_down = True

    def regain(self) -> None:
        self.retry_at = 0.0
        if self.is_down:
            log.warning(self.regained)
        self.is_down = False
