"""Workers that die, stand still, or lose their database: every job has its effect, and unique ones once."""

import asyncio
import json
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select

from app.core.config.settings import Settings
from app.core.db.engine import Database
from app.core.jobs.kinds import JobKind
from app.models.job import Job, JobStatus, JobWorker
from app.services.jobs import Jobs
from tests.conftest import end_sessions
from tests.job_worker import KILL, NOTE, NOTE_ONCE, SLEEP, Note

pytestmark = [pytest.mark.real_database, pytest.mark.slow]

POINTS = [
    "before commit",
    "after commit",
    "after register",
    "before claim",
    "in claim",
    "after claim",
    "before run",
    "after run",
    "before finish",
    "in finish",
    "after finish",
    "after sign",
]
NUMBER = 20


@dataclass
class Plant:
    """A database, and processes that run its jobs."""

    settings: Settings
    database: Database
    effects: Path
    jobs: Jobs = field(default_factory=Jobs)
    processes: list[asyncio.subprocess.Process] = field(default_factory=list)

    async def start(self, dies_at: str = "", **options: Any) -> asyncio.subprocess.Process:
        told = {
            "database_url": self.settings.database.render_as_string(hide_password=False),
            "data_dir": str(self.settings.data_dir),
            "effects": str(self.effects),
            "dies_at": dies_at,
            **options,
        }
        process = await asyncio.create_subprocess_exec(sys.executable, "-m", "tests.job_worker", json.dumps(told))
        self.processes.append(process)
        return process

    async def enqueue(self, kind: JobKind[Note], *texts: str) -> None:
        async with self.database.transaction() as session:
            for text in texts:
                await self.jobs.enqueue(session, kind, Note(text=text))

    def done(self) -> Counter[str]:
        return Counter(self.effects.read_text().split("\n")[:-1]) if self.effects.exists() else Counter()

    async def counts(self) -> dict[str, int]:
        async with self.database.read() as session:
            found = await session.execute(select(Job.status, func.count()).group_by(Job.status))
            return {status.value: number for status, number in found}

    async def until_ended(self, seconds: float = 30) -> dict[str, int]:
        """How many jobs ended in which way, once none waits or runs."""
        async with asyncio.timeout(seconds):
            counts = await self.counts()
            while counts.keys() & {JobStatus.QUEUED, JobStatus.RUNNING} or not counts:
                await asyncio.sleep(0.05)
                counts = await self.counts()
        return counts

    async def until_done(self, text: str, seconds: float = 30) -> None:
        async with asyncio.timeout(seconds):
            while text not in self.done():  # noqa: ASYNC110 - nobody tells
                await asyncio.sleep(0.01)


@pytest.fixture
async def plant(real_settings: Settings, tmp_path: Path) -> AsyncIterator[Plant]:
    plant = Plant(real_settings, Database(real_settings), tmp_path / "effects")
    yield plant
    for process in plant.processes:
        if process.returncode is None:
            os.kill(process.pid, signal.SIGCONT)
            process.kill()
        await process.wait()
    await plant.database.close()


@pytest.mark.parametrize("point", POINTS)
async def test_whatever_a_worker_dies_of_every_job_has_its_effect(plant: Plant, point: str) -> None:
    names = [f"job {number}" for number in range(NUMBER)]
    await plant.enqueue(NOTE, *names)
    await plant.enqueue(NOTE_ONCE, *names, *names)
    own = ["its own"] if "commit" in point else []
    mortal = await plant.start(point, enqueues=own)
    assert await mortal.wait() == -signal.SIGKILL
    await plant.start()
    counts = await plant.until_ended()
    kept = [] if point == "before commit" else own
    assert counts == {"done": 2 * NUMBER + len(kept)}
    done = plant.done()
    assert done.keys() == {*names, *kept}
    assert all(done[name] >= 2 for name in names)
    # What ran when the worker died ran twice; the rest, and that is all but ten, once for each of the two kinds.
    assert sum(done[name] > 2 for name in names) <= 10


async def test_at_the_defaults_a_dead_workers_jobs_run_again_within_ten_seconds(plant: Plant) -> None:
    defaults: dict[str, Any] = {"life_sign_seconds": 1.5, "dead_after_seconds": 6.0}
    await plant.start(**defaults)
    mortal = await plant.start(dies_at="before run", **defaults)
    while mortal.returncode is None:  # which of the two gets it is not certain
        await plant.enqueue(NOTE, "job")
        await asyncio.sleep(0.1)
    began = time.monotonic()
    await plant.until_ended()
    assert time.monotonic() - began < 10


async def test_a_job_that_is_stopped_runs_again_at_once_and_has_not_failed(plant: Plant) -> None:
    first = await plant.start()
    await plant.enqueue(SLEEP, "long")
    await plant.until_done("begin long")
    first.terminate()
    assert await first.wait() == 0
    began = time.monotonic()
    await plant.start(dead_after_seconds=60)
    await plant.until_ended()
    assert time.monotonic() - began < 10
    assert plant.done() == {"begin long": 2, "long": 1}
    async with plant.database.read() as session:
        (job,) = await session.scalars(select(Job))
        assert (job.attempts, job.crashes, job.error, job.run) == (1, 0, None, 2)
        assert await session.scalar(select(func.count()).select_from(JobWorker)) == 1


async def test_a_job_that_kills_its_worker_three_times_has_failed_and_takes_no_other_along(plant: Plant) -> None:
    names = [f"job {number}" for number in range(5)]
    await plant.enqueue(SLEEP, *names)
    await plant.enqueue(KILL, "killer")
    for _ in range(3):
        process = await plant.start()
        assert await process.wait() == -signal.SIGKILL
    await plant.start()
    assert await plant.until_ended() == {"done": 5, "failed": 1}
    async with plant.database.read() as session:
        (killer,) = await session.scalars(select(Job).where(Job.status == JobStatus.FAILED))
        assert (killer.kind, killer.crashes, killer.error) == (KILL.name, 3, "its worker died 3 times")
    assert plant.done()["killer"] == 3


async def test_a_worker_that_stood_still_has_no_say_any_more(plant: Plant) -> None:
    still = await plant.start()
    await plant.enqueue(SLEEP, "long")
    await plant.until_done("begin long")
    still.send_signal(signal.SIGSTOP)
    await plant.start()
    await plant.until_ended()
    async with plant.database.read() as session:
        (before,) = (await session.execute(select(Job.run, Job.attempts, Job.updated_at))).all()
    still.send_signal(signal.SIGCONT)
    await plant.enqueue(NOTE, "next")
    await plant.until_done("next")
    await asyncio.sleep(1)
    async with plant.database.read() as session:
        after = (await session.execute(select(Job.run, Job.attempts, Job.updated_at).order_by(Job.id))).first()
    assert after == before
    assert (before.run, before.attempts) == (2, 1)
    assert still.returncode is None, "it goes on with other jobs"


async def test_workers_outlive_the_loss_of_all_their_connections(plant: Plant, is_postgresql: bool) -> None:
    if not is_postgresql:
        pytest.skip("SQLite has no connections that could be lost")
    workers = [await plant.start(), await plant.start()]
    for round_ in range(5):
        await plant.enqueue(NOTE, *(f"job {round_} {number}" for number in range(NUMBER)))
        await end_sessions(plant.settings.database)
    assert await plant.until_ended() == {"done": 5 * NUMBER}
    assert len(plant.done()) == 5 * NUMBER
    assert all(worker.returncode is None for worker in workers)


async def test_two_workers_share_the_work(plant: Plant) -> None:
    names = [f"job {number}" for number in range(200)]
    await plant.enqueue(NOTE_ONCE, *names)
    await plant.start(dead_after_seconds=30)
    await plant.start(dead_after_seconds=30)
    assert await plant.until_ended() == {"done": 200}
    assert plant.done() == dict.fromkeys(names, 1)
