"""Signed-in devices in the database."""

from dataclasses import dataclass, fields
from datetime import datetime
from functools import partial

from sqlalchemy import ColumnElement, bindparam, delete, func, literal_column, select
from sqlalchemy.ext.asyncio import AsyncSession

from app.core.prepared import Prepared
from app.core.session import fetch
from app.core.transaction import Claim
from app.crud.base import ExpiringCRUD
from app.models.account import Account
from app.models.session import Session
from app.models.user import Role, User

USERS, SESSIONS = (model.metadata.tables[model.__tablename__] for model in (User, Session))
ACCOUNT = Prepared(
    select(*(USERS.c[field.name] for field in fields(Account)), SESSIONS.c.expires_at)
    .join_from(USERS, SESSIONS, SESSIONS.c.user_id == USERS.c.id)
    .where(
        SESSIONS.c.id == bindparam("session_id"),
        SESSIONS.c.expires_at > bindparam("now"),
        USERS.c.id == bindparam("user_id"),
        USERS.c.is_active,
    )
)


ACCOUNT_IS_SAME = (
    select(literal_column("1"))
    .join_from(USERS, SESSIONS, SESSIONS.c.user_id == USERS.c.id)
    .where(
        SESSIONS.c.id == bindparam("claimed_session_id"),
        SESSIONS.c.expires_at > func.now(),
        USERS.c.id == bindparam("claimed_user_id"),
        USERS.c.is_active,
        USERS.c.role == bindparam("claimed_role"),
    )
    .correlate(None)
    .exists()
)


def account_claim(id_: int, account: Account) -> Claim:
    """That the session is there and its user what they are."""
    values = {"claimed_session_id": id_, "claimed_user_id": account.id, "claimed_role": account.role}
    return Claim(ACCOUNT_IS_SAME, values, partial(account_claim_sql, id_, account))


def account_claim_sql(id_: int, account: Account) -> str:
    return (
        f"SELECT 1 FROM sessions JOIN users ON users.id = sessions.user_id WHERE sessions.id = {int(id_)} "  # noqa: S608 - numbers, and a name of ours
        f"AND sessions.expires_at > now() AND users.id = {int(account.id)} AND users.is_active "
        f"AND users.role = '{Role(account.role)}'"
    )


@dataclass(frozen=True, slots=True)
class SessionFilter:
    """A user's sessions that have not expired by then."""

    user_id: int
    now: datetime

    def conditions(self) -> list[ColumnElement[bool]]:
        return [Session.user_id == self.user_id, Session.expires_at > self.now]


class SessionCRUD(ExpiringCRUD[Session]):
    async def find_account(
        self, session: AsyncSession, id_: int, user_id: int, now: datetime
    ) -> tuple[Account, datetime] | None:
        """The active user behind a session that has neither ended nor expired, and when it will expire."""
        found = await fetch(session, ACCOUNT, session_id=id_, user_id=user_id, now=now)
        return (Account(*found[0][:-1]), found[0][-1]) if found else None

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


sessions = SessionCRUD(Session, "session", sorts={"created_at": Session.created_at})
