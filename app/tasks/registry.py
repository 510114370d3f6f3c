"""Which function runs which kind of job."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from app.core.jobs.kinds import JobKind, Payload
from app.core.jobs.store import ClaimedJob
from app.core.jobs.worker import Handler
from app.services.app_services import AppServices

type Task[P: Payload] = Callable[[AppServices, P, ClaimedJob], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Tasks:
    """Like a router: one in each module, which `app/tasks/__init__.py` puts together."""

    by_kind: dict[str, tuple[JobKind[Any], Task[Any]]]

    @classmethod
    def of(cls, *others: "Tasks") -> "Tasks":
        tasks = cls({})
        for other in others:
            for kind, task in other.by_kind.values():
                tasks.runs(kind)(task)
        return tasks

    def runs[P: Payload](self, kind: JobKind[P]) -> Callable[[Task[P]], Task[P]]:
        """The function that runs this kind. It may run more than once for a job, and must be ready for that.

        Raises:
            ValueError: if there is another kind of this name.
        """

        def add(task: Task[P]) -> Task[P]:
            if kind.name in self.by_kind:
                raise ValueError(f"two kinds of job are named {kind.name}")
            self.by_kind[kind.name] = kind, task
            return task

        return add

    def handlers(self, services: AppServices) -> dict[str, Handler]:
        return {name: Handler(kind, partial(task, services)) for name, (kind, task) in self.by_kind.items()}
