"""Redeems codes of mails, which stand for the link beside them."""

from dataclasses import dataclass

from app.core.clock import utc_now
from app.core.db.session import WriteSession
from app.core.errors import AppError
from app.core.limits.networks import network_of
from app.core.limits.ratelimit import RateLimiter
from app.core.security.mail_codes import MailCodes
from app.crud.one_time_token import one_time_tokens
from app.models.one_time_token import OneTimeToken, Purpose

# Wrong codes of one client, whosever they are: what it can void is three links an hour. More than wrong passwords for
# one login, since many phones share an address.
RATE = "30/hour;100/day"


class InvalidMailTokenError(AppError):
    status = 400
    code = "invalid_token"
    detail = "This link or code is wrong, has been used, has expired, or was replaced by a newer one; ask for another."


class WrongMailCodeError(InvalidMailTokenError):
    """The guess has been counted, and stays so."""

    keeps_changes = True


@dataclass(frozen=True, slots=True)
class CodeGuesses:
    """Per account the database counts, `MAX_WRONG_CODES` for each mail; a lock beyond would be in strangers' hands."""

    codes: MailCodes
    limiter: RateLimiter | None

    async def find_link(
        self, session: WriteSession, email: str, code: str, purposes: set[Purpose], ip: str | None
    ) -> str:
        """The digest of the link that was mailed to this address with this code.

        An unknown address takes the same statements.

        Raises:
            WrongMailCodeError, RateLimitedError
        """
        client = network_of(ip or "")
        await self.require_room(client)
        rows = await one_time_tokens.lock_mailed_to(session, email, purposes, utc_now())
        fitting = [row for row in rows if self.fits(row, code)]
        if not fitting:
            await one_time_tokens.count_wrong_code(session, rows)
            await self.count(client)
            raise WrongMailCodeError
        return fitting[0].digest

    def fits(self, row: OneTimeToken, code: str) -> bool:
        return self.codes.fits(row.code_digest, code, row.purpose, row.user_id)

    async def require_room(self, client: str) -> None:
        if self.limiter is not None:
            (await self.limiter.check(RATE, "mail-code", client)).require()

    async def count(self, client: str) -> None:
        """Wrong codes alone: an office may verify a hundred addresses a day. RATE_LIMIT_REGISTER counts before."""
        if self.limiter is not None:
            await self.limiter.hit(RATE, "mail-code", client)
