"""Detects imported bcrypt hashes, which take much longer to verify than argon2 hashes."""

from dataclasses import dataclass
from math import inf
from time import monotonic

from sqlalchemy.ext.asyncio import AsyncSession

from app.core.security.passwords import bcrypt_like
from app.crud.user import users

KEPT_SECONDS = 60


@dataclass(slots=True)
class ImportedPasswords:
    """Queried during sign-ins, about once a minute per process."""

    sample: str | None = None
    asked_at: float = -inf

    async def find_sample(self, session: AsyncSession) -> str | None:
        """A hash that matches no password and costs as much to verify as theirs; None if there are none."""
        if monotonic() - self.asked_at > KEPT_SECONDS:
            found = await users.find_bcrypt_hash(session)
            self.sample, self.asked_at = bcrypt_like(found) if found else None, monotonic()
        return self.sample
