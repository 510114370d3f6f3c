"""Mailed tokens in the database."""

import hashlib
import secrets
from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import ColumnElement, and_, delete, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from app.core.clock import utc_now
from app.core.db.session import WriteSession
from app.core.db.upsert import insert
from app.crud.base import ExpiringCRUD
from app.crud.typed import StoredRow
from app.models.one_time_token import OneTimeToken, Purpose
from app.models.user import User, identity_key, login_keys

# Of 20^8 there are, before a mail is void.
MAX_WRONG_CODES = 10


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def binding_of(user: User, purpose: Purpose) -> str:
    """All that makes a token legitimate; whatever of it changes, by whichever way, voids the token."""
    return sha256(f"{purpose}\n{user.email_key}\n{user.hashed_password}\n{user.role}\n{user.is_active}")


class OneTimeTokenCRUD(ExpiringCRUD[OneTimeToken, StoredRow]):
    """Whoever writes tokens of a user has locked the user's row before, or the two could block each other."""

    async def issue(
        self,
        session: WriteSession,
        user: User,
        purpose: Purpose,
        *,
        expires_at: datetime,
        email: str | None = None,
        code_digest: str | None = None,
    ) -> str:
        """Make a token that replaces the user's earlier one for the same purpose; only its hash is stored."""
        token = secrets.token_urlsafe(32)
        values = {
            "digest": sha256(token),
            "binding": binding_of(user, purpose),
            "expires_at": expires_at,
            "email": email,
            "address_key": identity_key(email or user.email),
            "code_digest": code_digest,
            "wrong_codes": 0,
            "updated_at": utc_now(),
        }
        new = insert(session, OneTimeToken).values(user_id=user.id, purpose=purpose, **values)
        await session.execute(new.on_conflict_do_update(index_elements=["user_id", "purpose"], set_=values))
        return token

    async def find_user_id(
        self, session: AsyncSession, digest: str, purposes: set[Purpose], now: datetime
    ) -> int | None:
        """Whose token it is, as long as it is good. It locks nothing."""
        return await session.scalar(select(OneTimeToken.user_id).where(is_good(digest, purposes, now)))

    async def lock_mailed_to(
        self, session: WriteSession, email: str, purposes: set[Purpose], now: datetime
    ) -> Sequence[OneTimeToken]:
        """What is still good of all that was mailed to an address, with the rows of the users locked.

        There may be several: of one user for each purpose, and of others who want the address for theirs.
        """
        is_candidate = and_(OneTimeToken.address_key.in_(login_keys(email)), is_live(purposes, now))
        owners = select(User.id).where(User.id.in_(select(OneTimeToken.user_id).where(is_candidate)))
        locked = await session.scalars(owners.order_by(User.id).with_for_update())
        found = select(OneTimeToken).where(is_candidate, OneTimeToken.user_id.in_(locked.all()))
        return (await session.scalars(found.order_by(OneTimeToken.id))).all()

    async def count_wrong_code(self, session: WriteSession, rows: Sequence[OneTimeToken]) -> None:
        counted = update(OneTimeToken).where(OneTimeToken.id.in_([row.id for row in rows]))
        await session.execute(counted.values(wrong_codes=OneTimeToken.wrong_codes + 1))

    async def end_all(self, session: WriteSession, user_id: int) -> None:
        await session.execute(delete(OneTimeToken).where(OneTimeToken.user_id == user_id))

    async def redeem(
        self, session: WriteSession, digest: str, purposes: set[Purpose], now: datetime
    ) -> OneTimeToken | None:
        """Take a token out: of any number of callers at once, one gets it."""
        return await session.scalar(delete(OneTimeToken).where(is_good(digest, purposes, now)).returning(OneTimeToken))


def is_good(digest: str, purposes: set[Purpose], now: datetime) -> ColumnElement[bool]:
    return and_(OneTimeToken.digest == digest, is_live(purposes, now))


def is_live(purposes: set[Purpose], now: datetime) -> ColumnElement[bool]:
    return and_(
        OneTimeToken.purpose.in_(purposes),
        OneTimeToken.expires_at > now,
        OneTimeToken.wrong_codes < MAX_WRONG_CODES,
    )


one_time_tokens = OneTimeTokenCRUD(OneTimeToken, StoredRow, "token")
