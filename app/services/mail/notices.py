"""Mails that notify users of changes to their account."""

from dataclasses import dataclass
from email.message import EmailMessage
from functools import partial
from typing import Any

from app.core.config.settings import Settings
from app.core.db.session import WriteSession
from app.core.limits.ratelimit import RateLimiter
from app.core.outbound.mail import Mailer
from app.models.user import User, identity_key
from app.services.after_commit import AfterCommit
from app.services.mail.mails import MailName, render


@dataclass(frozen=True, slots=True)
class Notices:
    """Renders a mail and enqueues it to be sent after the commit."""

    settings: Settings
    after_commit: AfterCommit
    mailer: Mailer
    limiter: RateLimiter | None = None

    async def send(self, session: WriteSession, name: MailName, user: User, **values: Any) -> None:
        """Send a notice; limited for unverified addresses, which may belong to a stranger."""
        message = render(name, user.email, self.settings, is_verified=user.is_verified, **values)
        if user.is_verified:
            await self.after_commit.enqueue(session, partial(self.mailer.send, message))
        else:
            await self.after_commit.enqueue(session, partial(self.send_limited, message, identity_key(user.email)))

    async def send_link(
        self, session: WriteSession, name: MailName, user: User, *, to: str | None = None, **values: Any
    ) -> None:
        """Send a link to the user's address, or to `to` for verification. The caller applies the limit."""
        is_verified = user.is_verified and to is None
        message = render(name, to or user.email, self.settings, is_verified=is_verified, **values)
        await self.after_commit.enqueue(session, partial(self.mailer.send, message))

    async def send_limited(self, message: EmailMessage, mailbox: str) -> None:
        """Limited outside of the transaction, which must not wait for Redis, and counted once for all retries."""
        if self.limiter is None or (await self.limiter.hit(self.settings.rate_limit_mail, "notice", mailbox)).allowed:
            await self.after_commit.post(partial(self.mailer.send, message))
