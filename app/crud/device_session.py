"""Signed-in devices in the database."""

from dataclasses import fields
from datetime import datetime
from typing import Any

from sqlalchemy import and_, bindparam, delete, literal_column, select
from sqlalchemy.ext.asyncio import AsyncSession

from app.core.config.settings import MAX_SESSIONS
from app.core.db.caller_check import CallerCheck, CallerCondition
from app.core.db.prepared import Prepared
from app.core.db.session import WriteSession, fetch
from app.crud.account import Account
from app.crud.base import ExpiringCRUD
from app.crud.filters import Filter, after, equals
from app.crud.typed import StoredRow
from app.models.device_session import DeviceSession
from app.models.user import User

USERS, SESSIONS = (model.metadata.tables[model.__tablename__] for model in (User, DeviceSession))
# The caller: an active user with a session that has neither ended nor expired.
IS_CALLER = and_(
    SESSIONS.c.user_id == USERS.c.id,
    SESSIONS.c.id == bindparam("caller_session_id"),
    SESSIONS.c.key == bindparam("caller_session_key"),
    SESSIONS.c.expires_at > bindparam("caller_now"),
    USERS.c.id == bindparam("caller_id"),
    USERS.c.is_active,
)
ACCOUNT = Prepared(select(*(USERS.c[field.name] for field in fields(Account)), SESSIONS.c.expires_at).where(IS_CALLER))
CALLER_IS_SAME = CallerCondition(
    select(literal_column("1"))
    .select_from(USERS, SESSIONS)
    .where(IS_CALLER, USERS.c.role == bindparam("caller_role"))
    .correlate(None)
    .exists()
)


def caller_parameters(id_: int, key: str, user_id: int, now: datetime) -> dict[str, Any]:
    return {"caller_session_id": id_, "caller_session_key": key, "caller_id": user_id, "caller_now": now}


def caller_check(id_: int, key: str, account: Account, now: datetime) -> CallerCheck:
    """That the session is there, and its user active and of the same role."""
    return CallerCheck(CALLER_IS_SAME, {**caller_parameters(id_, key, account.id, now), "caller_role": account.role})


LAST_USED_FIRST = (DeviceSession.rotated_at.desc(), DeviceSession.id.desc())


class DeviceSessionFilter(Filter):
    """A user's sessions that have not expired by then."""

    user_id: int = equals(DeviceSession.user_id)
    now: datetime = after(DeviceSession.expires_at)


class DeviceSessionRow(StoredRow):
    key: str
    user_id: int
    scope: str
    expires_at: datetime
    rotated_at: datetime
    ip: str | None
    user_agent: str | None


class DeviceSessionCRUD(ExpiringCRUD[DeviceSession, DeviceSessionRow]):
    async def find_account(
        self, session: AsyncSession, id_: int, key: str, user_id: int, now: datetime
    ) -> tuple[Account, datetime] | None:
        """The active user behind a session that has neither ended nor expired, and when it will expire."""
        found = await fetch(session, ACCOUNT, **caller_parameters(id_, key, user_id, now))
        return (Account(*found[0][:-1]), found[0][-1]) if found else None

    async def find_named_for_update(self, session: WriteSession, id_: int, key: str) -> DeviceSession | None:
        """The session that a token names, which nobody else changes until the transaction ends."""
        named = select(DeviceSession).where(DeviceSession.id == id_, DeviceSession.key == key)
        return await session.scalar(named.with_for_update())

    async def of_user(self, session: AsyncSession, user_id: int, now: datetime) -> list[DeviceSession]:
        """The user's live sessions, the one used last first."""
        mine = select(DeviceSession).where(DeviceSession.user_id == user_id, DeviceSession.expires_at > now)
        return list(await session.scalars(mine.order_by(*LAST_USED_FIRST).limit(MAX_SESSIONS)))

    async def end_oldest(self, session: WriteSession, user_id: int, *, keep: int) -> dict[int, str]:
        """End those that were not used for the longest time, beyond a number to keep; return their ids and keys.

        Where there are none nothing is written, which everybody would be told of.
        """
        mine = select(DeviceSession.id).where(DeviceSession.user_id == user_id).order_by(*LAST_USED_FIRST)
        ids = list(await session.scalars(mine.offset(keep).limit(MAX_SESSIONS)))
        if not ids:
            return {}
        # In the order of their ids, so that no two can wait for each other.
        locked = select(DeviceSession.id).where(DeviceSession.id.in_(ids)).order_by(DeviceSession.id).with_for_update()
        ended = delete(DeviceSession).where(DeviceSession.id.in_(locked)).returning(DeviceSession.id, DeviceSession.key)
        return {row.id: row.key for row in await session.execute(ended)}

    async def end_all(self, session: WriteSession, user_id: int, *, but: str | None = None) -> list[str]:
        """End every session of a user, except that of one key if given; return the keys of those that ended."""
        ended = delete(DeviceSession).where(DeviceSession.user_id == user_id).returning(DeviceSession.key)
        return list(await session.scalars(ended if but is None else ended.where(DeviceSession.key != but)))

    async def end(self, session: WriteSession, id_: int, user_id: int) -> str | None:
        """End a session that a user has chosen among their own; return its key, if there was one."""
        ended = delete(DeviceSession).where(DeviceSession.id == id_, DeviceSession.user_id == user_id)
        return await session.scalar(ended.returning(DeviceSession.key))

    async def end_named(self, session: WriteSession, id_: int, key: str) -> bool:
        """End the session that a token names; say whether there was one."""
        ended = delete(DeviceSession).where(DeviceSession.id == id_, DeviceSession.key == key)
        return await session.scalar(ended.returning(DeviceSession.id)) is not None


sessions = DeviceSessionCRUD(DeviceSession, DeviceSessionRow, "session", sorts={"created_at": DeviceSession.created_at})
