"""What a worker needs of the place where jobs are kept."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Protocol

# A job that takes its worker down with it is not tried forever.
MAX_CRASHES = 3


class LostRegistrationError(Exception):
    """Others have taken this worker for dead, and have its jobs."""


@dataclass(frozen=True, slots=True)
class ClaimedJob:
    """A job that is this worker's to run. `run` counts how often the job was claimed: a later one shuts us out."""

    id: int
    run: int
    kind: str
    payload: Any = field(compare=False)
    attempts: int
    crashes: int
    request_id: str | None
    user_id: int | None


@dataclass(frozen=True, slots=True)
class Done:
    job: ClaimedJob


@dataclass(frozen=True, slots=True)
class Failed:
    """`wait` is the time until the next attempt; None if there is to be none."""

    job: ClaimedJob
    error: str
    wait: timedelta | None


@dataclass(frozen=True, slots=True)
class Interrupted:
    """This worker ends; the job runs again at once, and nothing has failed."""

    job: ClaimedJob


type Outcome = Done | Failed | Interrupted


class JobStore(Protocol):
    """Whatever is written here was written when the call returns; what raises may have been written, or not."""

    async def register(self) -> int:
        """A new worker, which is alive; its id."""
        ...

    async def exchange(
        self, worker: int, outcomes: Sequence[Outcome], limit: int, *, suspects: bool, promotes: bool
    ) -> list[ClaimedJob]:
        """Tell what became of jobs, and claim others, in one transaction.

        Outcomes of jobs that others have claimed since then are ignored. One job at most is claimed that has seen a
        worker die, and only with `suspects`; with `promotes` those are ready whose time has come.

        Raises:
            LostRegistrationError: nothing was written.
        """
        ...

    async def return_unknown(self, worker: int, known: Sequence[ClaimedJob]) -> None:
        """Give back what this worker has claimed without knowing: an exchange raised that was written all the same."""
        ...

    async def sign_of_life(self, worker: int) -> None:
        """Count up this worker's signs of life.

        Raises:
            LostRegistrationError
        """
        ...

    async def signs_of_life(self) -> dict[int, int]:
        """Of the workers that have jobs: of others nobody needs to know."""
        ...

    async def bury(self, worker: int, signs: int) -> int:
        """Give the jobs of a worker back, unless it has shown another sign of life; how many those were."""
        ...

    async def leave(self, worker: int) -> None:
        """The worker ends, and has no jobs any more."""
        ...

    async def enqueue_periodic(self) -> None:
        """Those of the period that has begun, once."""
        ...
