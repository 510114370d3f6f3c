"""Limits on concurrent downloads, per user and per process."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from app.core.errors import AppError, OverloadedError

PER_USER, PER_PROCESS = 2, 8
RETRY_AFTER = 30


class TooManyDownloadsError(AppError):
    status = 429
    code = "too_many_downloads"
    detail = f"You have {PER_USER} downloads under way; wait until one of them has ended."

    def __init__(self) -> None:
        super().__init__(headers={"Retry-After": str(RETRY_AFTER)})


class DownloadSlots:
    def __init__(self, per_user: int = PER_USER, per_process: int = PER_PROCESS) -> None:
        self.per_user = per_user
        self.per_process = per_process
        self.held: Counter[int] = Counter()

    @contextmanager
    def hold(self, user_id: int) -> Iterator[None]:
        """Raises TooManyDownloadsError, OverloadedError: nobody waits for a slot."""
        if self.held[user_id] >= self.per_user:
            raise TooManyDownloadsError
        if self.held.total() >= self.per_process:
            raise OverloadedError(RETRY_AFTER)
        self.held[user_id] += 1
        try:
            yield
        finally:
            self.held -= Counter([user_id])  # which also forgets those who have none left
