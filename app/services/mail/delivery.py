"""Sends the mails that were enqueued."""

from dataclasses import dataclass
from email.message import EmailMessage

from app.core.clock import utc_now
from app.core.config.mail_url import parse_address
from app.core.config.settings import Settings
from app.core.db.engine import Database
from app.core.jobs.kinds import JobError, PermanentJobError
from app.core.limits.ratelimit import RateLimiter
from app.core.outbound.mail import Mailer, MailRefusedError, MailServerError, compose
from app.core.security.mail_codes import MailCodes, make_code
from app.crud.one_time_token import binding_of, one_time_tokens
from app.crud.user import users
from app.models.one_time_token import Purpose
from app.models.user import identity_key
from app.services.jobs import Jobs
from app.services.mail.jobs import SEND_NOTICE, Link, Notice, Text
from app.services.mail.links import MAILS, TTLS
from app.services.mail.mails import render


@dataclass(frozen=True, slots=True)
class MailDelivery:
    """One attempt each. Raises JobError if the mail server has a reason, PermanentJobError if it is a final one."""

    settings: Settings
    database: Database
    mailer: Mailer
    limiter: RateLimiter | None
    jobs: Jobs
    codes: MailCodes

    async def send_notice(self, notice: Notice, user_id: int | None) -> None:
        if notice.is_limited:
            await self.count(notice, user_id)
            return
        facts = notice.facts.model_dump(exclude_unset=True)
        await self.send(render(notice.name, notice.to, self.settings, is_verified=notice.is_verified, **facts))

    async def count(self, notice: Notice, user_id: int | None) -> None:
        """Once for all attempts: those are of another job."""
        key = "notice", identity_key(notice.to)
        if self.limiter is None or (await self.limiter.hit(self.settings.rate_limit_mail, *key)).allowed:
            counted = notice.model_copy(update={"is_limited": False})
            async with self.database.transaction() as session:
                await self.jobs.enqueue(session, SEND_NOTICE, counted, user_id=user_id)

    async def send_link(self, link: Link) -> None:
        """With a new token and code, which replace those of an attempt before: none is stored, nor waits in a queue."""
        ttl, code = TTLS[link.purpose], make_code()
        async with self.database.transaction() as session:
            # Locked: else the link could survive a change that voids links.
            user = await users.find_for_update(session, link.user_id)
            if user is None or not user.is_active or binding_of(user, link.purpose) != link.binding:
                return
            to_new = link.to if link.purpose is Purpose.CHANGE_EMAIL else None
            token = await one_time_tokens.issue(
                session,
                user,
                link.purpose,
                expires_at=utc_now() + ttl,
                email=to_new,
                code_digest=self.codes.digest(code, link.purpose, user.id),
            )
            is_verified = user.is_verified and to_new is None
        facts = link.facts.model_dump(exclude_unset=True)
        facts |= {"token": token, "code": code, "minutes": int(ttl.total_seconds() // 60)}
        await self.send(render(MAILS[link.purpose], link.to, self.settings, is_verified=is_verified, **facts))

    async def send_text(self, text: Text) -> None:
        await self.send(compose(parse_address(self.settings.mail_from), text.to, text.subject, text.message))

    async def send(self, message: EmailMessage) -> None:
        try:
            await self.mailer.send(message)
        except MailRefusedError as error:
            raise PermanentJobError(str(error)) from error
        except MailServerError as error:
            raise JobError(str(error)) from error
