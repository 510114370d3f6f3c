"""Mailed tokens in the database."""

import hashlib
import secrets
from datetime import datetime

from sqlalchemy import ColumnElement, and_, delete, select
from sqlalchemy.ext.asyncio import AsyncSession

from app.core.clock import utc_now
from app.core.db.session import WriteSession
from app.core.db.upsert import insert
from app.crud.base import ExpiringCRUD
from app.crud.typed import StoredRow
from app.models.one_time_token import OneTimeToken, Purpose
from app.models.user import User


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def binding_of(user: User, purpose: Purpose) -> str:
    """All that makes a token legitimate; whatever of it changes, by whichever way, voids the token."""
    return sha256(f"{purpose}\n{user.email_key}\n{user.hashed_password}\n{user.role}\n{user.is_active}")


class OneTimeTokenCRUD(ExpiringCRUD[OneTimeToken, StoredRow]):
    """Whoever writes tokens of a user has locked the user's row before, or the two could block each other."""

    async def issue(
        self, session: WriteSession, user: User, purpose: Purpose, *, expires_at: datetime, email: str | None = None
    ) -> str:
        """Make a token that replaces the user's earlier one for the same purpose; only its hash is stored."""
        token = secrets.token_urlsafe(32)
        values = {
            "digest": sha256(token),
            "binding": binding_of(user, purpose),
            "expires_at": expires_at,
            "email": email,
            "updated_at": utc_now(),
        }
        new = insert(session, OneTimeToken).values(user_id=user.id, purpose=purpose, **values)
        await session.execute(new.on_conflict_do_update(index_elements=["user_id", "purpose"], set_=values))
        return token

    async def find_user_id(
        self, session: AsyncSession, token: str, purposes: set[Purpose], now: datetime
    ) -> int | None:
        """Whose token it is, as long as it has not expired. It locks nothing."""
        return await session.scalar(select(OneTimeToken.user_id).where(is_good(token, purposes, now)))

    async def end_all(self, session: WriteSession, user_id: int) -> None:
        await session.execute(delete(OneTimeToken).where(OneTimeToken.user_id == user_id))

    async def redeem(
        self, session: WriteSession, token: str, purposes: set[Purpose], now: datetime
    ) -> OneTimeToken | None:
        """Take a token out: of any number of callers at once, one gets it."""
        return await session.scalar(delete(OneTimeToken).where(is_good(token, purposes, now)).returning(OneTimeToken))


def is_good(token: str, purposes: set[Purpose], now: datetime) -> ColumnElement[bool]:
    return and_(OneTimeToken.digest == sha256(token), OneTimeToken.purpose.in_(purposes), OneTimeToken.expires_at > now)


one_time_tokens = OneTimeTokenCRUD(OneTimeToken, StoredRow, "token")
