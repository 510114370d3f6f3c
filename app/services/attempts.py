"""How often a password may be guessed, whoever guesses and from wherever."""

from dataclasses import dataclass
from typing import Self

from app.core.config import Settings
from app.core.ratelimit import RateLimiter
from app.models.user import identity_key

# After the setting's own window: the more was guessed, the longer the wait.
LONGER_WINDOWS = "20/hour;50/day"


@dataclass(frozen=True, slots=True)
class SignInAttempts:
    """Counts the failed sign-ins of each account, known or not, by the name or address that was given.

    By that and not by the account: a limit that name and address had in common would tell that they belong together.
    An attempt counts before its password is hashed and is forgotten if the password fits; counted only after
    the failure, a thousand guesses sent at once would all pass.
    """

    limiter: RateLimiter | None
    rate: str

    @classmethod
    def from_settings(cls, settings: Settings, limiter: RateLimiter | None) -> Self:
        return cls(limiter, f"{settings.rate_limit_login};{LONGER_WINDOWS}")

    async def spend(self, login: str) -> None:
        """Raises RateLimitedError after too many failures."""
        if self.limiter is not None:
            (await self.limiter.hit(self.rate, "sign-in", identity_key(login))).require()

    async def succeed(self, login: str) -> None:
        if self.limiter is not None:
            await self.limiter.clear(self.rate, "sign-in", identity_key(login))
