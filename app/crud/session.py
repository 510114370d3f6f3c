"""Signed-in devices in the database."""

from datetime import datetime

from sqlalchemy import bindparam, delete, select
from sqlalchemy.ext.asyncio import AsyncSession

from app.crud.base import ExpiringCRUD
from app.models.session import Session
from app.models.user import User

# Built once: every request asks for it.
ACCOUNT = (
    select(User)
    .join(Session, Session.user_id == User.id)
    .where(
        Session.id == bindparam("session_id"),
        Session.expires_at > bindparam("now"),
        User.id == bindparam("user_id"),
        User.is_active,
    )
)


class SessionCRUD(ExpiringCRUD[Session]):
    async def find_account(self, session: AsyncSession, id_: int, user_id: int, now: datetime) -> User | None:
        """The active user behind a session that has neither ended nor expired: one statement a request."""
        return await session.scalar(ACCOUNT, {"session_id": id_, "user_id": user_id, "now": now})

    async def of_user(self, session: AsyncSession, user_id: int, now: datetime) -> list[Session]:
        """The user's live sessions, the one used last first."""
        mine = select(Session).where(Session.user_id == user_id, Session.expires_at > now)
        return list(await session.scalars(mine.order_by(Session.rotated_at.desc(), Session.id.desc())))

    async def end_all(self, session: AsyncSession, user_id: int, *, but: int | None = None) -> None:
        """End every session of a user, except one if given."""
        ended = delete(Session).where(Session.user_id == user_id)
        await session.execute(ended if but is None else ended.where(Session.id != but))

    async def end(self, session: AsyncSession, id_: int, *, user_id: int | None = None) -> bool:
        """Delete a session, of one user only if given; say whether there was one."""
        ended = delete(Session).where(Session.id == id_).returning(Session.id)
        if user_id is not None:
            ended = ended.where(Session.user_id == user_id)
        return await session.scalar(ended) is not None


sessions = SessionCRUD(Session, "session")
