"""Mails that notify users of changes to their account."""

from dataclasses import dataclass
from typing import Any

from app.core.db.session import WriteSession
from app.models.user import User
from app.services.jobs import Jobs
from app.services.mail.jobs import SEND_NOTICE, Facts, Notice
from app.services.mail.mails import MailName


@dataclass(frozen=True, slots=True)
class Notices:
    """Enqueues notices in the transaction of what they tell."""

    jobs: Jobs

    async def send(self, session: WriteSession, name: MailName, user: User, **facts: Any) -> None:
        """To the user's address as it is now; limited if it is not verified, since it may belong to a stranger."""
        notice = Notice(
            name=name,
            to=user.email,
            is_verified=user.is_verified,
            is_limited=not user.is_verified,
            facts=Facts.model_validate(facts),
        )
        await self.jobs.enqueue(session, SEND_NOTICE, notice, user_id=user.id)
