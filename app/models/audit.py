"""The audit log."""

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import JSON, BigInteger, Enum, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from app.models.base import Base, LongText, table_args


class Action(StrEnum):
    """What is written down. Names only grow: old rows keep theirs."""

    REGISTERED = "registered"
    SIGNED_IN = "signed_in"
    SIGN_IN_FAILED = "sign_in_failed"
    SIGNED_OUT = "signed_out"
    SIGNED_OUT_EVERYWHERE = "signed_out_everywhere"
    SESSION_REVOKED = "session_revoked"
    SESSIONS_EVICTED = "sessions_evicted"
    REFRESH_REPEATED = "refresh_repeated"
    REFRESH_REUSED = "refresh_reused"
    EMAIL_VERIFIED = "email_verified"
    EMAIL_CHANGED = "email_changed"
    PASSWORD_CHANGED = "password_changed"
    PASSWORD_RESET_REQUESTED = "password_reset_requested"
    PASSWORD_RESET = "password_reset"
    ACCOUNT_DELETED = "account_deleted"
    DATA_EXPORTED = "data_exported"
    USER_CREATED = "user_created"
    USER_CHANGED = "user_changed"
    USER_DELETED = "user_deleted"
    JOB_RETRIED = "job_retried"
    JOB_CANCELLED = "job_cancelled"


class AuditEvent(Base):
    """One event; triggers reject updates and deletes.

    The ids are not foreign keys: an event outlives the account. `actor_id` is the account that acted (None: nobody was
    signed in), `subject_id` the account it acted on.
    """

    __tablename__ = "audit_events"
    __table_args__ = table_args(
        Index(None, "actor_id", "id"), Index(None, "subject_id", "id"), Index(None, "action", "id")
    )

    action: Mapped[Action] = mapped_column(
        Enum(Action, native_enum=False, length=64, values_callable=lambda actions: [action.value for action in actions])
    )
    actor_id: Mapped[int | None] = mapped_column(BigInteger)
    subject_id: Mapped[int | None] = mapped_column(BigInteger)
    ip: Mapped[LongText | None]
    user_agent: Mapped[LongText | None]
    request_id: Mapped[str | None] = mapped_column(String(128))
    details: Mapped[dict[str, Any]] = mapped_column(JSON)

    @property
    def at(self) -> datetime:
        return self.created_at
