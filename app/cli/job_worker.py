"""`strata worker`: runs background jobs until it is told to stop."""

import asyncio
import signal
from contextlib import suppress
from typing import TYPE_CHECKING

from app.cli.greeting import greet_worker, report_stop
from app.cli.serve import faults_as_logged, load_plugins, stop

if TYPE_CHECKING:
    from app.core.config.settings import Settings


def worker() -> None:
    """Run background jobs: those of all servers with this database. Stop it with Ctrl+C or SIGTERM."""
    import uvicorn

    from app.core.config.settings import Settings
    from app.core.observability.logging import configure_logging

    # PID 1 of a container ignores the signal until it is handled.
    signal.signal(signal.SIGTERM, stop)
    settings = Settings.load()
    configure_logging(settings)
    with faults_as_logged(settings):
        load_plugins(settings)
        # The loop that servers have.
        asyncio.run(run(settings), loop_factory=uvicorn.Config("", log_config=None).get_loop_factory())
    report_stop(settings)


async def run(settings: "Settings") -> None:
    from app.main import opened
    from app.tasks.running import running_worker

    await require_migrations(settings)
    task = asyncio.current_task()
    assert task is not None
    with suppress(asyncio.CancelledError):  # told twice; jobs that ran were given back
        async with opened(settings) as services, running_worker(services):
            told_to_stop = on_signals(task)
            greet_worker(settings)
            await told_to_stop.wait()


async def require_migrations(settings: "Settings") -> None:
    """Raises MistakeError if the database is not at this code's migration; waits for the database like a server."""
    from app.cli.faults import MistakeError
    from app.core.db.migrations import known_revisions, migration_head, read_revision

    at, head = await read_revision(settings), migration_head()
    if at is not None and at not in known_revisions():
        raise MistakeError(f"The database is at {at}, which this code does not know: run the newer code that made it.")
    if at != head:
        raise MistakeError(
            f"The database is at {at or 'no migration'}, the code needs {head}: run `strata db upgrade`, "
            "or start a server, which does it too."
        )


def on_signals(task: "asyncio.Task[None]") -> asyncio.Event:
    """The first signal sets the event, and lets jobs end; the second cancels the task, and with it the jobs."""
    told = asyncio.Event()

    def hear() -> None:
        if told.is_set():
            task.cancel()
        told.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, hear)
    return told
