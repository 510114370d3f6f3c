"""Telling users by mail what happened to their account."""

from dataclasses import dataclass
from functools import partial
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from app.core.config import Settings
from app.core.mail import Mailer
from app.models.user import User
from app.services.mails import MailName, render
from app.services.outbox import Outbox


@dataclass(frozen=True, slots=True)
class Notices:
    """Writes a mail and hands it to the outbox: it leaves once the transaction has committed."""

    settings: Settings
    outbox: Outbox
    mailer: Mailer

    async def send(
        self, session: AsyncSession, name: MailName, user: User, *, to: str | None = None, **values: Any
    ) -> None:
        """To the user's address, or to `to` where another one is to be proven."""
        message = render(name, to or user.email, self.settings, username=user.username, **values)
        await self.outbox.enqueue(session, partial(self.mailer.send, message))
