"""`strata worker` as a real process, and `strata jobs`: background work without a server."""

import asyncio
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, update

from app.core.clock import utc_now
from app.core.config.settings import Settings
from app.core.db.engine import Database
from app.core.db.migrations import migration_head
from app.models.audit import AuditEvent
from app.models.job import Job, JobStatus, JobWorker
from app.services.jobs import Jobs
from app.services.mail.jobs import SEND_TEXT, Text
from tests.cli.conftest import Failure, Strata
from tests.cli.test_commands import CREATE
from tests.factories import PASSWORD
from tests.process import STRATA, usual_interrupt

TEXT = Text(to="alice@example.com", subject="Hello", message="It works.")
MESSAGE = "runs up to 10 jobs at once. Ctrl+C stops it."

type Fails = Callable[..., Failure]

pytestmark = pytest.mark.real_database


def in_transaction[T](settings: Settings, work: Callable[[Any], Any]) -> Any:
    async def run() -> Any:
        database = Database(settings)
        try:
            async with database.transaction() as session:
                return await work(session)
        finally:
            await database.close()

    return asyncio.run(run())


def enqueue(settings: Settings) -> int:
    id_: int = in_transaction(settings, lambda session: Jobs().enqueue(session, SEND_TEXT, TEXT))
    return id_


def set_job(settings: Settings, id_: int, **values: Any) -> None:
    in_transaction(settings, lambda session: session.execute(update(Job).where(Job.id == id_).values(**values)))


def status_of(settings: Settings, id_: int) -> JobStatus:
    status: JobStatus = in_transaction(settings, lambda session: session.scalar(select(Job.status).filter_by(id=id_)))
    return status


def wait_until(is_so: Callable[[], object]) -> None:
    deadline = time.monotonic() + 30
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.02)


class WorkerProcess:
    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self.output = folder / "worker.log"
        with self.output.open("wb") as log, usual_interrupt():
            self.process = subprocess.Popen(
                [STRATA, "worker"],
                cwd=folder,
                env=os.environ | environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    @property
    def told(self) -> str:
        return self.output.read_text()

    def wait_for(self, words: str) -> None:
        wait_until(lambda: words in self.told or self.process.poll() is not None)
        assert words in self.told, self.told

    def stop(self, with_signal: signal.Signals = signal.SIGTERM) -> int:
        """The exit code."""
        self.process.send_signal(with_signal)
        return self.process.wait(timeout=10)


type StartWorker = Callable[..., WorkerProcess]


@pytest.fixture
def start_worker(folder: Path) -> Iterator[StartWorker]:
    started: list[WorkerProcess] = []

    def start(**environment: str) -> WorkerProcess:
        started.append(WorkerProcess(folder, {"LOG_FORMAT": "console", **environment}))
        return started[-1]

    yield start
    for worker in started:
        if worker.process.poll() is None:
            worker.process.kill()
            worker.process.wait()


# strata worker


def test_a_worker_runs_jobs_until_it_is_told_to_stop(
    start_worker: StartWorker, installed: Settings, folder: Path
) -> None:
    before = enqueue(installed)
    worker = start_worker()
    worker.wait_for(MESSAGE)
    wait_until(lambda: status_of(installed, before) == JobStatus.DONE)
    later = enqueue(installed)
    wait_until(lambda: status_of(installed, later) == JobStatus.DONE)
    assert len(list((folder / "mail").glob("*.eml"))) == 2
    assert worker.stop() == 0
    assert worker.told.endswith("  Stopped.\n")
    assert "Traceback" not in worker.told
    assert in_transaction(installed, lambda session: session.scalar(select(JobWorker.id))) is None


def test_a_second_signal_interrupts_the_jobs_and_nothing_has_failed(
    start_worker: StartWorker, installed: Settings
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:  # a mail server that never says a word
        port = silent.getsockname()[1]
        id_ = enqueue(installed)
        worker = start_worker(MAIL_URL=f"smtp://127.0.0.1:{port}")
        wait_until(lambda: status_of(installed, id_) == JobStatus.RUNNING)
        worker.wait_for(MESSAGE)
        worker.process.send_signal(signal.SIGINT)
        with pytest.raises(subprocess.TimeoutExpired):
            worker.process.wait(timeout=0.5)
        began = time.monotonic()
        assert worker.stop() == 0
        assert time.monotonic() - began < 5
    assert "Traceback" not in worker.told
    found = in_transaction(installed, lambda session: session.get(Job, id_))
    assert (found.status, found.attempts, found.crashes) == (JobStatus.QUEUED, 0, 0)


@pytest.mark.usefixtures("empty")
def test_a_worker_migrates_nothing(fails: Fails, strata: Strata, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOG_FORMAT", "console")
    failure = fails("worker")
    head = migration_head()
    assert (failure.code, failure.out) == (1, "")
    assert failure.lines[-1] == (
        f"error: The database is at no migration, the code needs {head}: run `strata db upgrade`, "
        "or start a server, which does it too."
    )
    assert strata("db", "current").stdout.startswith("The database is at no migration")


@pytest.mark.usefixtures("installed")
def test_a_worker_logs_json_where_a_server_does(start_worker: StartWorker) -> None:
    worker = start_worker(LOG_FORMAT="json", JOBS_CONCURRENCY="3")
    worker.wait_for('"message": "running jobs"')
    assert '"concurrency": 3' in worker.told
    assert worker.stop(signal.SIGINT) == 0
    assert '"message": "stopped"' in worker.told
    assert "Ctrl+C" not in worker.told


# strata jobs


def test_jobs_are_listed_filtered_retried_and_cancelled(strata: Strata, installed: Settings) -> None:
    assert strata("jobs", "list").stdout == "There are no such jobs.\n"
    failed, waiting = enqueue(installed), enqueue(installed)
    set_job(installed, failed, status=JobStatus.FAILED, attempts=14, error="PermanentJobError: refused")
    heading, *lines = strata("jobs", "list").stdout.splitlines()
    assert heading.split() == ["ID", "KIND", "STATUS", "ATTEMPTS", "CREATED", "ERROR"]
    assert [line.split()[:4] for line in lines] == [
        [str(waiting), "mail.text", "queued", "0"],
        [str(failed), "mail.text", "failed", "14"],
    ]
    assert lines[1].endswith("Z  PermanentJobError: refused")
    assert len(strata("jobs", "list", "--limit", "1").stdout.splitlines()) == 2
    assert len(strata("jobs", "list", "--status", "failed", "--kind", "mail.text").stdout.splitlines()) == 2
    assert strata("jobs", "list", "--kind", "mail.link").stdout == "There are no such jobs.\n"
    assert strata("jobs", "retry", str(failed)).stdout == f"Job {failed} will run again.\n"
    assert strata("jobs", "cancel", str(waiting)).stdout == f"Job {waiting} is cancelled.\n"
    assert status_of(installed, failed) == JobStatus.QUEUED
    assert status_of(installed, waiting) == JobStatus.CANCELLED
    events = in_transaction(installed, lambda session: session.scalars(select(AuditEvent).order_by(AuditEvent.id)))
    assert [(event.action, event.actor_id, event.details["job_id"]) for event in events] == [
        ("job_retried", None, failed),
        ("job_cancelled", None, waiting),
    ]


def test_what_cannot_be_done_with_a_job_is_said(fails: Fails, installed: Settings) -> None:
    waiting = enqueue(installed)
    for arguments, line in (
        (("retry", str(waiting)), "error: Only a job that failed or was cancelled can be run again."),
        (("cancel", "4711"), "error: There is no job with id 4711."),
        (("list", "--status", "lost"), "error: There is no status lost: take one of queued, running, done, "),
    ):
        failure = fails("jobs", *arguments)
        assert failure.code == 1
        assert failure.lines[-1].startswith(line)
    assert status_of(installed, waiting) == JobStatus.QUEUED


# strata doctor


def test_the_doctor_tells_of_jobs_that_nobody_runs(strata: Strata, installed: Settings) -> None:
    strata(*CREATE, stdin=f"{PASSWORD}\n")
    assert "✓ jobs            none is late; 0 workers run" in doctor(strata)
    id_ = enqueue(installed)
    assert "✓ jobs            none is late; 0 workers run" in doctor(strata)
    set_job(installed, id_, updated_at=utc_now() - timedelta(minutes=2))
    late = "! jobs            1 have waited for more than a minute"
    assert f"{late}, and no worker runs: start `strata worker`" in doctor(strata)

    async def add_worker(session: Any) -> None:
        session.add(JobWorker())

    in_transaction(installed, add_worker)
    assert f"{late}: start another `strata worker`" in doctor(strata)


def doctor(strata: Strata) -> list[str]:
    return strata("doctor").stdout.splitlines()
