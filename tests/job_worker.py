"""A process that runs jobs and dies at a point: `python -m tests.job_worker <options as JSON>`.

What a job does is a line in a file, written at once.
"""

import asyncio
import json
import os
import signal
import sys
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from app.core.config.settings import Settings
from app.core.db.engine import Database
from app.core.jobs.kinds import JobKind, Payload, Retries
from app.core.jobs.store import ClaimedJob
from app.core.jobs.worker import Handler, Worker
from app.crud.job_queue import JobQueue
from app.services.jobs import Jobs


class Note(Payload):
    text: str


QUICK = Retries(attempts=5, first_wait=timedelta(milliseconds=20), factor=1)
NOTE = JobKind("test.note", Note, QUICK)
NOTE_ONCE = JobKind("test.note_once", Note, QUICK, unique_by=lambda note: note.text, unique_for=timedelta(days=365))
SLEEP = JobKind("test.sleep", Note, QUICK)
KILL = JobKind("test.kill", Note, QUICK)
KINDS: tuple[JobKind[Note], ...] = (NOTE, NOTE_ONCE, SLEEP, KILL)


@dataclass(frozen=True, slots=True)
class Options:
    database_url: str
    data_dir: Path
    effects: Path
    dies_at: str = ""
    # What is enqueued at the start, with its cause.
    enqueues: tuple[str, ...] = ()
    life_sign_seconds: float = 0.2
    dead_after_seconds: float = 1.0


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def write_effect(path: Path, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(descriptor, f"{text}\n".encode())
    os.close(descriptor)


class MortalQueue(JobQueue):
    """Dies before or after a transaction, or in it."""

    dies_at = ""

    async def exchange(self, worker: int, outcomes: Any, limit: int, **options: Any) -> list[ClaimedJob]:
        self.pass_point("finish" if outcomes else "claim", "before")
        claimed = await super().exchange(worker, outcomes, limit, **options)
        self.pass_point("finish" if outcomes else "claim", "after", bool(outcomes or claimed))
        return claimed

    async def claim(self, *arguments: Any, **options: Any) -> list[ClaimedJob]:
        claimed = await super().claim(*arguments, **options)
        self.pass_point("claim", "in", bool(claimed))
        return claimed

    async def settle(self, session: Any, outcomes: Any) -> None:
        await super().settle(session, outcomes)
        self.pass_point("finish", "in", bool(outcomes))

    async def register(self) -> int:
        worker = await super().register()
        self.pass_point("register", "after")
        return worker

    async def sign_of_life(self, worker: int) -> None:
        await super().sign_of_life(worker)
        self.pass_point("sign", "after")

    def pass_point(self, what: str, when: str, happened: bool = True) -> None:
        if happened and self.dies_at == f"{when} {what}":
            die()


async def run(options: Options) -> None:
    settings = Settings.model_validate(
        {"environment": "test", "data_dir": options.data_dir, "database_url": options.database_url}
    )
    database = Database(settings)

    async def note(payload: Note, _: ClaimedJob) -> None:
        if options.dies_at == "before run":
            die()
        write_effect(options.effects, payload.text)
        if options.dies_at == "after run":
            die()

    async def sleep(payload: Note, job: ClaimedJob) -> None:
        write_effect(options.effects, f"begin {payload.text}")
        await asyncio.sleep(1.5)
        await note(payload, job)

    async def kill(payload: Note, _: ClaimedJob) -> None:
        write_effect(options.effects, payload.text)
        die()

    calls = {NOTE.name: note, NOTE_ONCE.name: note, SLEEP.name: sleep, KILL.name: kill}
    handlers = {kind.name: Handler(kind, calls[kind.name]) for kind in KINDS}
    queue = MortalQueue(database, {kind.name: kind for kind in KINDS})
    queue.dies_at = options.dies_at
    worker = Worker(
        queue,
        handlers,
        life_sign_seconds=options.life_sign_seconds,
        dead_after_seconds=options.dead_after_seconds,
    )
    loop = asyncio.get_running_loop()
    running = loop.create_task(worker.run())
    loop.add_signal_handler(signal.SIGTERM, running.cancel)
    await enqueue(database, Jobs([worker.wake]), options)
    await asyncio.gather(running, return_exceptions=True)
    await database.close()


async def enqueue(database: Database, jobs: Jobs, options: Options) -> None:
    for text in options.enqueues:
        async with database.transaction() as session:
            await jobs.enqueue(session, NOTE, Note(text=text))
            if options.dies_at == "before commit":
                die()
        if options.dies_at == "after commit":
            die()


if __name__ == "__main__":
    asyncio.run(run(TypeAdapter(Options).validate_python(json.loads(sys.argv[1]))))
