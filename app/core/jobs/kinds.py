"""What a job is: its name, its payload, and what becomes of it when it fails."""

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from pydantic import BaseModel, ConfigDict


class Payload(BaseModel):
    """What a job is told: data alone, never secrets, since it is stored and shown to administrators of databases.

    A job that was written by an older version must still be readable: new fields need defaults.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")


class NoPayload(Payload):
    """Of jobs that need none, such as the periodic ones."""


class JobError(Exception):
    """An attempt failed; the text is stored and shown, so it must hold no secrets and no addresses."""


class PermanentJobError(JobError):
    """No other attempt would do any better."""


@dataclass(frozen=True, slots=True)
class Retries:
    """Exponential back-off with jitter: jobs that failed together should not retry together."""

    attempts: int = 10
    first_wait: timedelta = timedelta(seconds=2)
    factor: float = 3
    max_wait: timedelta = timedelta(hours=6)

    def wait_after(self, attempt: int) -> timedelta | None:
        """Until the next one; None if this was the last. Attempts are counted from 1."""
        if attempt >= self.attempts:
            return None
        wait = self.first_wait.total_seconds() * self.factor ** (attempt - 1)
        jitter = random.uniform(0.75, 1.25)  # noqa: S311 - not for secrets
        return timedelta(seconds=min(wait, self.max_wait.total_seconds()) * jitter)


@dataclass(frozen=True, slots=True)
class JobKind[P: Payload]:
    """One kind of job.

    `name` is stored with each job and never changes. A job of which `unique_by` gives the same text as of another is
    not enqueued again: while that one waits or runs, or within its window of `unique_for`. `every` makes it periodic:
    it runs once in each such period, on one of all workers, and its payload has defaults alone. Jobs with a smaller
    `priority` run first. What is done is kept for `keep`; zero deletes it at once.
    """

    name: str
    payload: type[P]
    retries: Retries = field(default_factory=Retries)
    timeout: timedelta = timedelta(minutes=1)
    priority: int = 0
    unique_by: Callable[[P], str] | None = None
    unique_for: timedelta | None = None
    every: timedelta | None = None
    keep: timedelta = timedelta(days=1)

    @property
    def kept_for(self) -> timedelta:
        """How long a row is kept that is not needed any more; for as long as its key, at least."""
        return max(self.keep, self.unique_for or timedelta(0), self.every or timedelta(0))

    def unique_key(self, payload: P, now: datetime) -> str | None:
        """What no two jobs of this kind have at the same time."""
        if self.unique_by is None:
            return None
        key = self.unique_by(payload)
        return key if self.unique_for is None else f"{key}@{period_of(self.unique_for, now)}"


def period_of(length: timedelta, now: datetime) -> int:
    """Periods of a length are counted from 1970."""
    return int(now.timestamp() // length.total_seconds())
