"""Whether any job is lost or done twice for long, while workers are killed again and again.

Run: uv run python benchmarks/soak_jobs.py [--jobs 1000] [--database sqlite|postgresql] [--kill-every 2]
Two `strata worker` processes send mails to a folder. Every other second or so one of them gets SIGKILL, SIGTERM or
SIGSTOP, and is started again; on PostgreSQL all connections are cut now and then as well. DATABASE_URL is as for
load.py.
"""

import argparse
import asyncio
import os
import random
import secrets
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from email import message_from_bytes
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
from rig.database import DEFAULT_URL, STRATA, migrate
from rig.processes import end
from sqlalchemy import func, select

from app.core.config.settings import Settings
from app.core.db.engine import Database
from app.models.job import Job, JobStatus
from app.services.jobs import Jobs
from app.services.mail.jobs import SEND_TEXT, Text

WORKERS = 2
BATCH = 50
# For what was interrupted last to run again.
RECOVERY_SECONDS = 60
CUT = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'
"""


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=1000)
    parser.add_argument("--database", choices=["sqlite", "postgresql"], default="sqlite")
    parser.add_argument("--kill-every", type=float, default=2)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        async with database(options.database, folder) as url:
            await migrate(url, folder)
            soak = Soak(url, folder)
            try:
                await soak.run(options.jobs, options.kill_every)
            finally:
                await soak.close()


@asynccontextmanager
async def database(kind: str, folder: Path) -> AsyncIterator[str]:
    if kind == "sqlite":
        yield f"sqlite:///{folder}/soak.db"
        return
    server_url, name = os.environ.get("DATABASE_URL", DEFAULT_URL), f"strata_soak_{secrets.token_hex(4)}"
    server = await asyncpg.connect(server_url)
    await server.execute(f"CREATE DATABASE {name}")
    try:
        yield urlsplit(server_url)._replace(path=f"/{name}").geturl()
    finally:
        await server.execute(f"DROP DATABASE {name} WITH (FORCE)")
        await server.close()


class Soak:
    def __init__(self, url: str, folder: Path) -> None:
        self.url = url
        self.folder = folder
        settings = Settings.model_validate({"environment": "test", "data_dir": folder, "database_url": url})
        self.database = Database(settings)
        self.workers: list[asyncio.subprocess.Process] = []
        self.started: list[asyncio.subprocess.Process] = []
        self.signals = Counter[str]()

    async def run(self, number: int, kill_every: float) -> None:
        for _ in range(WORKERS):
            await self.start()
        killer = asyncio.create_task(self.kill(kill_every))
        began = time.perf_counter()
        await self.enqueue(number)
        while await self.open_jobs() > number // 20:  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.2)
        killer.cancel()
        while len(self.workers) < WORKERS:
            await self.start()
        # The last ones must not be spared, but run in time.
        quiet = time.perf_counter()
        while left := await self.open_jobs():
            if time.perf_counter() - quiet > RECOVERY_SECONDS:
                raise SystemExit(f"{left} jobs have not run {RECOVERY_SECONDS} s after the last signal")
            await asyncio.sleep(0.05)
        print(f"{number} jobs in {quiet - began:.0f} s, {dict(self.signals)}")
        print(f"the rest ended {time.perf_counter() - quiet:.1f} s after the last signal")
        await self.tell_effects(number)

    async def enqueue(self, number: int) -> None:
        """While workers run and die."""
        jobs = Jobs()
        for start in range(0, number, BATCH):
            async with self.database.transaction() as session:
                for each in range(start, start + BATCH):
                    text = Text(to="somebody@example.com", subject=f"job {each}", message="Soaked.")
                    await jobs.enqueue(session, SEND_TEXT, text)
            await asyncio.sleep(2)

    async def start(self) -> None:
        environment = {"PATH": os.environ["PATH"], "DATABASE_URL": self.url, "DATA_DIR": str(self.folder)}
        process = await asyncio.create_subprocess_exec(
            STRATA, "worker", env=environment, cwd=self.folder, stdout=sys.stderr, stderr=asyncio.subprocess.DEVNULL
        )
        self.workers.append(process)
        self.started.append(process)

    async def kill(self, every: float) -> None:
        while True:
            await asyncio.sleep(random.uniform(0.5, 1.5) * every)
            victim = self.workers.pop(random.randrange(len(self.workers)))
            chosen = random.choice((signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, signal.SIGSTOP))
            self.signals[chosen.name] += 1
            victim.send_signal(chosen)
            if chosen == signal.SIGSTOP:
                # Others take its jobs meanwhile.
                await asyncio.sleep(8)
                victim.send_signal(signal.SIGCONT)
                self.workers.append(victim)
            else:
                await victim.wait()
                await self.start()
            if self.url.startswith("postgresql") and random.random() < 0.3:
                self.signals["connections cut"] += 1
                connection = await asyncpg.connect(self.url)
                await connection.execute(CUT)
                await connection.close()

    async def open_jobs(self) -> int:
        async with self.database.read() as session:
            is_open = Job.status.in_([JobStatus.QUEUED, JobStatus.RUNNING])
            return await session.scalar(select(func.count()).select_from(Job).where(is_open)) or 0

    async def tell_effects(self, number: int) -> None:
        mails = [message_from_bytes(path.read_bytes()) for path in (self.folder / "mail").glob("*.eml")]
        sent = Counter(str(mail["Subject"]) for mail in mails)
        lost = {f"job {each}" for each in range(number)} - sent.keys()
        twice = sum(count - 1 for count in sent.values())
        print(f"lost {len(lost)}, sent again {twice} ({100 * twice / number:.1f} %)")
        async with self.database.read() as session:
            found = await session.execute(select(Job.status, func.count()).group_by(Job.status))
            print({str(status): count for status, count in found})
        if lost:
            raise SystemExit("jobs were lost")

    async def close(self) -> None:
        for process in self.started:
            if process.returncode is None:
                process.send_signal(signal.SIGCONT)
            await end(process)
        await self.database.close()


if __name__ == "__main__":
    asyncio.run(main())
