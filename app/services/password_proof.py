"""Asking for the password again, before what cannot be undone."""

from dataclasses import dataclass

from app.core.errors import ForbiddenError
from app.core.passwords import PasswordHasher
from app.models.user import User
from app.services.attempts import SignInAttempts


class WrongPasswordError(ForbiddenError):
    code = "wrong_password"
    detail = "The password is wrong."


@dataclass(frozen=True, slots=True)
class PasswordProof:
    """That it is the user who asks, and not somebody who found a signed-in device."""

    hasher: PasswordHasher
    attempts: SignInAttempts

    async def require(self, user: User, password: str) -> None:
        """Raises WrongPasswordError, or RateLimitedError after too many failures."""
        await self.attempts.spend(user.username)
        fits, _ = await self.hasher.verify(password, user.hashed_password)
        if not fits:
            raise WrongPasswordError
        await self.attempts.succeed(user.username)
