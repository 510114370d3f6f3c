"""How often a password may be guessed, whoever guesses and from wherever."""

from dataclasses import dataclass
from typing import Self

from app.core.config.settings import Settings
from app.core.limits.ratelimit import RateLimiter
from app.models.user import attempts_key
from app.services.auth.identity import Identity

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
            (await self.limiter.hit(self.rate, "sign-in", attempts_key(login))).require()

    async def succeed(self, login: str) -> None:
        if self.limiter is not None:
            await self.limiter.clear(self.rate, "sign-in", attempts_key(login))


@dataclass(frozen=True, slots=True)
class ReauthenticationAttempts:
    """Counts in the same way how often a signed-in device has shown a wrong password for the account it is on.

    By device: strangers who guess at the account must not keep its owner from changing the password, and neither must
    who has found another of the owner's devices. A success here tells nothing of the guesses at sign-ins, and leaves
    them counted; nor does a sign-in, which is another device, forget these.
    """

    limiter: RateLimiter | None
    rate: str

    async def spend(self, me: Identity) -> None:
        """Raises RateLimitedError after too many failures."""
        if self.limiter is not None:
            (await self.limiter.hit(self.rate, "proof", me.session_key)).require()

    async def succeed(self, me: Identity) -> None:
        if self.limiter is not None:
            await self.limiter.clear(self.rate, "proof", me.session_key)
