"""Signed-in devices in the database."""

from datetime import datetime

from sqlalchemy import delete, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from app.crud.base import CRUD
from app.models.session import Session
from app.models.user import User


class SessionCRUD(CRUD[Session]):
    async def find_account(self, session: AsyncSession, id_: int, user_id: int, now: datetime) -> User | None:
        """The active user behind a session that has neither ended nor expired: one statement a request."""
        return await session.scalar(
            select(User)
            .join(Session, Session.user_id == User.id)
            .where(Session.id == id_, Session.expires_at > now, User.id == user_id, User.is_active)
        )

    async def rotate(
        self, session: AsyncSession, id_: int, rotation: int, *, now: datetime, expires_at: datetime
    ) -> bool:
        """Count the session's refresh token on, unless somebody already has: of racing calls one succeeds."""
        rotated = await session.scalar(
            update(Session)
            .where(Session.id == id_, Session.rotation == rotation, Session.expires_at > now)
            .values(rotation=rotation + 1, rotated_at=now, expires_at=expires_at)
            .returning(Session.id)
        )
        return rotated is not None

    async def end(self, session: AsyncSession, id_: int) -> None:
        await session.execute(delete(Session).where(Session.id == id_))


sessions = SessionCRUD(Session, "session")
