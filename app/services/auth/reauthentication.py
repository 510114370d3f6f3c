"""Reauthentication: asking for the password before sensitive changes."""

from dataclasses import dataclass

from app.core.db.engine import Database
from app.core.errors import ForbiddenError
from app.core.security.passwords import PasswordHasher
from app.crud.user import users
from app.models.user import User
from app.services.auth.attempts import ReauthenticationAttempts
from app.services.auth.identity import Identity


class WrongPasswordError(ForbiddenError):
    code = "wrong_password"
    detail = "The password is wrong."


@dataclass(frozen=True, slots=True)
class Reauthentication:
    """Verifies that the user acts, not somebody who found a signed-in device."""

    database: Database
    hasher: PasswordHasher
    attempts: ReauthenticationAttempts

    async def require(self, me: Identity, password: str) -> User:
        """The account as it was when the password was verified.

        Raises:
            WrongPasswordError, NotFoundError, OverloadedError, or RateLimitedError after too many failures.
        """
        self.hasher.require_room()  # before the attempt counts
        async with self.database.primary() as session:
            user = await users.get(session, me.user.id)
        await self.attempts.spend(me)
        fits, _ = await self.hasher.verify(password, user.hashed_password)
        if not fits:
            raise WrongPasswordError
        await self.attempts.succeed(me)
        return user


def require_same_password(stored: User | None, verified: User) -> User:
    """The locked row of the verified user. Raises WrongPasswordError if the password has changed since."""
    if stored is None or stored.hashed_password != verified.hashed_password:
        raise WrongPasswordError
    return stored
