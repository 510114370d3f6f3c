"""The identity of the caller."""

from dataclasses import dataclass

from app.core.clock import utc_now
from app.core.db.caller_check import CallerCheck
from app.core.errors import InsufficientScopeError
from app.core.security.tokens import Claims
from app.crud.account import Account
from app.crud.device_session import caller_check


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
    def caller_check(self) -> CallerCheck | None:
        """None where the database was asked for this request."""
        return caller_check(self.session_id, self.session_key, self.user, utc_now()) if self.is_recalled else None

    def require(self, scope: str) -> None:
        """Raises InsufficientScopeError."""
        if scope not in self.scopes:
            raise InsufficientScopeError(scope)

    @property
    def is_admin(self) -> bool:
        return "admin" in self.scopes


def identity_of(user: Account, claims: Claims, allowed: frozenset[str], *, is_recalled: bool = False) -> Identity:
    return Identity(user, claims.session_id, claims.session_key, claims.scopes & allowed, is_recalled)
