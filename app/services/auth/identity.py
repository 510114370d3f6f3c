"""Who is asking."""

from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncSession

from app.core.clock import utc_now
from app.core.db.transaction import CallerCheck
from app.core.errors import InsufficientScopeError
from app.core.security.tokens import Claims
from app.crud.account import Account
from app.crud.device_session import account_claim, sessions
from app.services.auth.scopes import allowed_scopes


@dataclass(frozen=True, slots=True)
class Identity:
    """Who is asking, and what their token lets them do: its scopes, as far as their role still allows them."""

    user: Account
    session_id: int
    session_key: str
    scopes: frozenset[str]
    # Known from before: whatever writes has to ask whether it is still so.
    is_recalled: bool = False

    @property
    def claim(self) -> CallerCheck | None:
        """What has to be asked, for a transaction to begin with; None where it was asked just now."""
        return account_claim(self.session_id, self.session_key, self.user) if self.is_recalled else None

    async def still_holds(self, session: AsyncSession) -> bool:
        """The same question for a transaction that has begun."""
        found = await sessions.find_account(session, self.session_id, self.session_key, self.user.id, utc_now())
        return found is not None and found[0].role is self.user.role

    def require(self, scope: str) -> None:
        """Raises InsufficientScopeError."""
        if scope not in self.scopes:
            raise InsufficientScopeError(scope)

    @property
    def is_admin(self) -> bool:
        return "admin" in self.scopes


def identity_of(user: Account, claims: Claims, *, is_recalled: bool = False) -> Identity:
    return Identity(user, claims.session_id, claims.session_key, claims.scopes & allowed_scopes(user.role), is_recalled)
