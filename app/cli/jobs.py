"""`strata jobs …`: shows background jobs, and runs or cancels them."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Annotated

import typer
from typer import Argument, Option

if TYPE_CHECKING:
    from app.core.db.engine import Database
    from app.core.db.session import WriteSession
    from app.crud.job import JobFilter, JobRow
    from app.models.audit import Action

MAX_ID = 2**63 - 1
HEADINGS = ("ID", "KIND", "STATUS", "ATTEMPTS", "CREATED", "ERROR")

JobId = Annotated[int, Argument(metavar="ID", help="As `strata jobs list` shows it.", min=1, max=MAX_ID)]

cli = typer.Typer(help="Look after background jobs.", no_args_is_help=True)


@cli.command("list")
def list_jobs(
    status: Annotated[str | None, Option(help="queued, running, done, failed or cancelled.")] = None,
    kind: Annotated[str | None, Option(help="What they do, such as mail.text.")] = None,
    limit: Annotated[int, Option(help="How many to show.", min=1, max=1000)] = 20,
) -> None:
    """Show jobs, the newest first."""
    rows = asyncio.run(find_jobs(filter_of(status, kind), limit))
    if rows:
        show([HEADINGS, *(cells(row) for row in rows)])
    else:
        typer.echo("There are no such jobs.")


@cli.command()
def retry(id_: JobId) -> None:
    """Run a job again that failed or was cancelled."""
    from app.crud.job import jobs
    from app.models.audit import Action

    asyncio.run(change(jobs.retry, Action.JOB_RETRIED, id_))
    typer.secho(f"Job {id_} will run again.", fg="green")


@cli.command()
def cancel(id_: JobId) -> None:
    """Cancel a job that waits."""
    from app.crud.job import jobs
    from app.models.audit import Action

    asyncio.run(change(jobs.cancel, Action.JOB_CANCELLED, id_))
    typer.secho(f"Job {id_} is cancelled.", fg="green")


def filter_of(status: str | None, kind: str | None) -> "JobFilter":
    from app.cli.faults import MistakeError
    from app.crud.job import JobFilter
    from app.models.job import JobStatus

    try:
        return JobFilter(JobStatus(status) if status else None, kind)
    except ValueError:
        raise MistakeError(f"There is no status {status}: take one of {', '.join(JobStatus)}.") from None


def cells(row: "JobRow") -> tuple[str, ...]:
    created_at = f"{row.created_at:%Y-%m-%d %H:%M:%S}Z"
    return str(row.id), row.kind, row.status, str(row.attempts), created_at, row.error or ""


def show(lines: list[tuple[str, ...]]) -> None:
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        typer.echo("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


async def find_jobs(filter_: "JobFilter", limit: int) -> "list[JobRow]":
    from app.crud.job import jobs
    from app.crud.page import PageQuery

    async with database() as found, found.primary() as session:
        return (await jobs.page(session, PageQuery("-id", limit, include_total=False), filter_)).rows


async def change(turn: "Callable[[WriteSession, int], Awaitable[str]]", action: "Action", id_: int) -> None:
    """Raises NotFoundError, NotRetryableError, NotCancellableError."""
    from app.services.audit import Device, record

    async with database() as found, found.transaction() as session:
        kind = await turn(session, id_)
        await record(session, action, Device(None, None), job_id=id_, kind=kind)


@asynccontextmanager
async def database() -> "AsyncIterator[Database]":
    from app.core.config.settings import Settings
    from app.core.db.engine import Database
    from app.core.db.startup import wait_for_database

    settings = Settings.load()
    found = Database(settings)
    try:
        await wait_for_database(found.engine, settings)
        yield found
    finally:
        await found.close()
