"""Background jobs, and the workers that run them."""

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import JSON, BigInteger, ForeignKey, Index, SmallInteger, String, text
from sqlalchemy.orm import Mapped, mapped_column

from app.models.base import Base, enum_type, table_args


def partial_index(name: str, *columns: str, where: str, unique: bool = False) -> Index:
    return Index(name, *columns, unique=unique, postgresql_where=text(where), sqlite_where=text(where))


# Which jobs are in the index of keys.
HAS_KEY = text("unique_key IS NOT NULL")


class JobStatus(StrEnum):
    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


class Job(Base):
    """Work that was enqueued in the transaction of its cause.

    `run` counts how often it was claimed: what an earlier run tells of it is ignored. `attempts` are those that ended,
    well or not; `crashes` those that ended with their worker. One without `run_at` is to run at once, whatever the
    clock says. `user_id` is whose it is: it goes with the account.
    """

    __tablename__ = "jobs"
    __table_args__ = table_args(
        # What is ready, in the order in which it is claimed, and what waits for its time: they stay small, however
        # many jobs are kept.
        partial_index("ix_jobs_ready", "priority", "id", where="status = 'queued' AND run_at IS NULL"),
        partial_index("ix_jobs_suspects", "id", where="status = 'queued' AND run_at IS NULL AND crashes > 0"),
        partial_index("ix_jobs_run_at", "run_at", where="status = 'queued' AND run_at IS NOT NULL"),
        partial_index("ix_jobs_worker_id", "worker_id", where="worker_id IS NOT NULL"),
        partial_index("ix_jobs_delete_at", "delete_at", where="delete_at IS NOT NULL"),
        partial_index("ix_jobs_user_id", "user_id", where="user_id IS NOT NULL"),
        partial_index("uq_jobs_kind_unique_key", "kind", "unique_key", where="unique_key IS NOT NULL", unique=True),
        Index(None, "status", "id"),
        Index(None, "kind", "id"),
    )

    kind: Mapped[str] = mapped_column(String(100))
    payload: Mapped[dict[str, Any]] = mapped_column(JSON, repr=False)
    status: Mapped[JobStatus] = mapped_column(enum_type(JobStatus, 16), default=JobStatus.QUEUED)
    priority: Mapped[int] = mapped_column(SmallInteger, default=0)
    run_at: Mapped[datetime | None] = mapped_column(default=None)
    run: Mapped[int] = mapped_column(default=0)
    attempts: Mapped[int] = mapped_column(default=0)
    crashes: Mapped[int] = mapped_column(default=0)
    worker_id: Mapped[int | None] = mapped_column(ForeignKey("job_workers.id"), default=None)
    unique_key: Mapped[str | None] = mapped_column(String(255), default=None)
    error: Mapped[str | None] = mapped_column(String(500), default=None)
    request_id: Mapped[str | None] = mapped_column(String(128), default=None)
    user_id: Mapped[int | None] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), default=None)
    delete_at: Mapped[datetime | None] = mapped_column(default=None)


class JobWorker(Base):
    """A worker that lives as long as `signs` counts up; whoever sees it stand still gives its jobs back."""

    __tablename__ = "job_workers"

    signs: Mapped[int] = mapped_column(BigInteger, default=0)
