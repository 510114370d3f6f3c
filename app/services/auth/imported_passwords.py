"""Whether imported accounts still have bcrypt hashes, which take many times as long to check as ours."""

from dataclasses import dataclass
from math import inf
from time import monotonic

from sqlalchemy.ext.asyncio import AsyncSession

from app.core.security.passwords import bcrypt_like
from app.crud.user import users

KEPT_SECONDS = 60


@dataclass(slots=True)
class ImportedPasswords:
    """Asked for at a sign-in, about once a minute; each process finds out for itself."""

    sample: str | None = None
    asked_at: float = -inf

    async def find_sample(self, session: AsyncSession) -> str | None:
        """A hash that no password has, and that takes as long to check as theirs; None where there are none."""
        if monotonic() - self.asked_at > KEPT_SECONDS:
            found = await users.find_bcrypt_hash(session)
            self.sample, self.asked_at = bcrypt_like(found) if found else None, monotonic()
        return self.sample
