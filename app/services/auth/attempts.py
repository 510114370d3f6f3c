"""Limits on password guesses."""

from dataclasses import dataclass
from typing import Self

from app.core.config.settings import Settings
from app.core.limits.ratelimit import RateLimiter
from app.models.user import attempts_key
from app.services.auth.identity import Identity

# In addition to the setting's own window: more guesses, longer waits.
LONGER_WINDOWS = "20/hour;50/day"


@dataclass(frozen=True, slots=True)
class SignInAttempts:
    """Counts failed sign-ins per submitted login, whether or not the account exists.

    Not per account: a limit shared by a name and an address would reveal that they belong together. An attempt counts
    before its password is hashed and is cleared on success; counted after the failure, a thousand parallel guesses
    would all pass.
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
    """Counts failed reauthentications per signed-in device, in the same way.

    Per device: guesses by strangers, or on a stolen device, must not keep the owner from changing the password on
    another. Sign-ins and reauthentications do not clear each other's counts.
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
