"""What a worker gets done, beside PgQueuer, and what it leaves behind in the tables.

Run: uv run --with "pgqueuer>=1.6" python benchmarks/jobs.py [--jobs 10000] [--rounds 3] [--minutes 10]
Without PgQueuer ours is measured alone. DATABASE_URL is as for load.py, and `--minutes` puts a steady load on a worker
and tells the sizes of the tables meanwhile.
"""

import argparse
import asyncio
import os
import secrets
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from importlib import import_module
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import asyncpg
from rig.database import DEFAULT_URL, migrate
from sqlalchemy import insert, text

from app.core.config.settings import Settings
from app.core.db.engine import Database
from app.core.jobs.kinds import JobKind, Payload
from app.core.jobs.store import ClaimedJob
from app.core.jobs.worker import Handler, Worker
from app.crud.job_queue import JobQueue
from app.models.job import Job
from app.services.jobs import Jobs

BATCH = 1000
LOAD_A_SECOND = 200
SIZES = """
SELECT n_live_tup, n_dead_tup, pg_total_relation_size(relid) / 1024 FROM pg_stat_user_tables WHERE relname = 'jobs'
"""


class Number(Payload):
    number: int = 0


NOOP = JobKind("bench.noop", Number, keep=timedelta(0))


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--minutes", type=float, default=0)
    options = parser.parse_args()
    async with database() as (url, strata):
        sides: dict[str, Callable[[int], Awaitable[float]]] = {"strata": lambda number: drain(strata, number)}
        if (pgqueuer := await open_pgqueuer(url)) is not None:
            sides["pgqueuer"] = pgqueuer
        rates: dict[str, list[float]] = {name: [] for name in sides}
        for _ in range(options.rounds):
            for name, side in sides.items():
                rates[name].append(await side(options.jobs))
                print(f"{name:10} {rates[name][-1]:8,.0f} jobs/s", flush=True)
        if "pgqueuer" in rates:
            ratio = statistics.median(rates["strata"]) / statistics.median(rates["pgqueuer"])
            print(f"strata / pgqueuer, by their medians: {ratio:.2f}")
        await tell_wake_up(strata)
        if options.minutes:
            await tell_sizes(strata, options.minutes)


@asynccontextmanager
async def database() -> AsyncIterator[tuple[str, Database]]:
    server_url = os.environ.get("DATABASE_URL", DEFAULT_URL)
    name = f"strata_jobs_{secrets.token_hex(4)}"
    url = urlsplit(server_url)._replace(path=f"/{name}").geturl()
    server = await asyncpg.connect(server_url)
    await server.execute(f"CREATE DATABASE {name}")
    try:
        with tempfile.TemporaryDirectory() as folder:
            await migrate(url, Path(folder))
            settings = Settings.model_validate({"environment": "test", "data_dir": folder, "database_url": url})
            strata = Database(settings)
            yield url, strata
            await strata.close()
    finally:
        await server.execute(f"DROP DATABASE {name} WITH (FORCE)")
        await server.close()


def worker_of(strata: Database, call: Callable[[Number, ClaimedJob], Awaitable[None]]) -> Worker:
    return Worker(JobQueue(strata, {NOOP.name: NOOP}), {NOOP.name: Handler(NOOP, call)})


async def drain(strata: Database, number: int) -> float:
    """Jobs a second, at the default concurrency of ten."""
    rows = [{"kind": NOOP.name, "payload": {"number": each}} for each in range(number)]
    for start in range(0, number, BATCH):
        async with strata.transaction() as session:
            await session.execute(insert(Job), rows[start : start + BATCH])
    ended, left = asyncio.Event(), number

    async def count(_: Number, __: ClaimedJob) -> None:
        nonlocal left
        left -= 1
        if not left:
            ended.set()

    worker = worker_of(strata, count)
    began = time.perf_counter()
    task = asyncio.create_task(worker.run())
    await ended.wait()
    seconds = time.perf_counter() - began
    worker.stop()
    await task
    return number / seconds


async def open_pgqueuer(url: str) -> Callable[[int], Awaitable[float]] | None:
    """Bare: what `PgQueuer` itself does, with as many jobs at once."""
    try:
        pgqueuer: Any = import_module("pgqueuer")
    except ImportError:
        return None
    queries_of: Any = import_module("pgqueuer.queries").Queries
    drains = import_module("pgqueuer.types").QueueExecutionMode.drain
    connection = await asyncpg.connect(url)
    queries = queries_of.from_asyncpg_connection(connection)
    await queries.install()

    async def drained(number: int) -> float:
        for _ in range(0, number, BATCH):
            await queries.enqueue(["noop"] * BATCH, [b'{"number": 1}'] * BATCH, [0] * BATCH)
        async with asyncpg.create_pool(url, min_size=2, max_size=4) as pool:
            queue = pgqueuer.PgQueuer.from_asyncpg_pool(pool)

            async def noop(_: object) -> None: ...

            queue.entrypoint("noop")(noop)

            began = time.perf_counter()
            await queue.run(mode=drains, batch_size=10, max_concurrent_tasks=20)
            return number / (time.perf_counter() - began)

    return drained


async def tell_wake_up(strata: Database) -> None:
    """From before a transaction begins until its job runs, in another process's place: nobody wakes it but polling."""
    jobs, ran = Jobs(), asyncio.Event()

    async def note(_: Number, __: ClaimedJob) -> None:
        ran.set()

    worker = worker_of(strata, note)
    jobs.wakers.append(worker.wake)
    task = asyncio.create_task(worker.run())
    waits = []
    for number in range(100):
        ran.clear()
        began = time.perf_counter()
        async with strata.transaction() as session:
            await jobs.enqueue(session, NOOP, Number(number=number))
        await ran.wait()
        waits.append(1000 * (time.perf_counter() - began))
        await asyncio.sleep(0.02)
    worker.stop()
    await task
    waits.sort()
    print(f"enqueued and begun in the same process: median {waits[50]:.1f} ms, 95 % within {waits[94]:.1f} ms")


async def tell_sizes(strata: Database, minutes: float) -> None:
    jobs = Jobs()

    async def nothing(_: Number, __: ClaimedJob) -> None: ...

    worker = worker_of(strata, nothing)
    jobs.wakers.append(worker.wake)
    task = asyncio.create_task(worker.run())
    print(
        f"{LOAD_A_SECOND} jobs/s for {minutes} min; each half minute: rows, dead rows, KiB of the table and its indexes"
    )
    began = time.perf_counter()
    for tick in range(int(minutes * 600)):
        async with strata.transaction() as session:
            for number in range(LOAD_A_SECOND // 10):
                await jobs.enqueue(session, NOOP, Number(number=number))
        if tick % 300 == 299:
            async with strata.read() as reader:
                live, dead, kib = (await reader.execute(text(SIZES))).one()
            print(f"{tick / 600:6.1f} min {live:8,} {dead:8,} {kib:8,}", flush=True)
        await asyncio.sleep(max(0, began + (tick + 1) / 10 - time.perf_counter()))
    worker.stop()
    await task


if __name__ == "__main__":
    asyncio.run(main())
