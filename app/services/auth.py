"""Signing in and staying signed in: passwords become sessions, sessions become tokens."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Self
from uuid import uuid4

from app.core.config import Settings
from app.core.database import Database
from app.core.errors import ForbiddenError, InvalidTokenError, UnauthorizedError, UnprocessableError
from app.core.security import PasswordHasher, Tokens
from app.crud.session import sessions
from app.crud.user import users
from app.models.base import utc_now
from app.models.scope import allowed_scopes, scope_text
from app.models.session import Session
from app.models.user import User


class InvalidCredentialsError(UnauthorizedError):
    def __init__(self) -> None:
        super().__init__("The username or the password is wrong.")
        self.code = "invalid_credentials"


class InactiveUserError(ForbiddenError):
    code = "inactive_user"
    detail = "This account has been deactivated."


class SessionEndedError(InvalidTokenError):
    def __init__(self) -> None:
        super().__init__("The session has ended. Log in again.", code="token_revoked")


class TokenReusedError(InvalidTokenError):
    """A refresh token came back after it had been used: whoever holds its successor loses it too."""

    keeps_changes = True

    def __init__(self) -> None:
        super().__init__("The refresh token was used before; the session has ended. Log in again.", code="token_reused")


@dataclass(frozen=True, slots=True)
class Device:
    """Where a request comes from, as far as it can be told."""

    ip: str | None
    user_agent: str | None


@dataclass(frozen=True, slots=True)
class Identity:
    """Who is asking, and what their token lets them do: its scopes, as far as their role still allows them."""

    user: User
    session_id: int
    scopes: frozenset[str]

    @property
    def is_admin(self) -> bool:
        return "admin" in self.scopes


@dataclass(frozen=True, slots=True)
class TokenPair:
    access_token: str
    refresh_token: str
    expires_in: int
    scope: str


@dataclass(frozen=True, slots=True)
class Auth:
    """The use cases of `/auth`; one for each application.

    They open their own short transactions: no connection waits while a password is hashed.
    """

    database: Database
    hasher: PasswordHasher
    tokens: Tokens
    access_ttl: timedelta
    refresh_ttl: timedelta
    reuse_grace: timedelta

    @classmethod
    def from_settings(cls, settings: Settings, database: Database, hasher: PasswordHasher, tokens: Tokens) -> Self:
        return cls(
            database=database,
            hasher=hasher,
            tokens=tokens,
            access_ttl=settings.access_token_ttl,
            refresh_ttl=settings.refresh_token_ttl,
            reuse_grace=settings.refresh_reuse_grace,
        )

    async def login(self, login: str, password: str, scope: str, device: Device) -> TokenPair:
        """Check a password and open a session.

        Raises:
            InvalidCredentialsError: unknown user or wrong password, after the same time.
            InactiveUserError: right password, deactivated account.
        """
        async with self.database.primary() as session:
            user = await users.find_by_login(session, login)
        fits, new_hash = await self.hasher.verify(password, user.hashed_password if user else None)
        if user is None or not fits:
            raise InvalidCredentialsError
        if not user.is_active:
            raise InactiveUserError
        now = utc_now()
        row = Session(
            user_id=user.id,
            scope=scope_text(granted_scopes(user, scope)),
            rotated_at=now,
            expires_at=now + self.refresh_ttl,
            ip=device.ip,
            user_agent=device.user_agent,
        )
        async with self.database.transaction() as session:
            if new_hash is not None:
                await users.replace_hash(session, user.id, user.hashed_password, new_hash)
            return self.token_pair(user, await sessions.add(session, row))

    async def refresh(self, token: str) -> TokenPair:
        """Trade a refresh token for a new pair (RFC 9700 section 4.14.2: rotation with reuse detection).

        A token that comes twice within the grace time gets the very same successor: two tabs, or an
        answer lost on the way. Later it can only be a copy, and the session ends.

        Raises:
            InvalidTokenError: `invalid_token`, `token_expired`, `token_revoked` or `token_reused`.
        """
        claims = self.tokens.verify(token, "refresh")
        rotation = int(claims.jti.rpartition(".")[2])
        now = utc_now()
        async with self.database.transaction() as session:
            await sessions.rotate(session, claims.session_id, rotation, now=now, expires_at=now + self.refresh_ttl)
            user = await sessions.find_account(session, claims.session_id, claims.user_id, now)
            row = await sessions.find(session, claims.session_id)
            if user is None or row is None:
                raise SessionEndedError
            if row.rotation != rotation + 1 or now - row.rotated_at > self.reuse_grace:
                await sessions.end(session, row.id)
                raise TokenReusedError
        return self.token_pair(user, row)

    async def logout(self, token: str) -> None:
        """End the session of a refresh token, also of one that is no longer the newest."""
        claims = self.tokens.verify(token, "refresh")
        async with self.database.transaction() as session:
            await sessions.end(session, claims.session_id)

    async def identify(self, token: str) -> Identity:
        """The account behind an access token, as it is now: a session that has ended ends its tokens.

        Raises:
            InvalidTokenError: `invalid_token`, `token_expired` or `token_revoked`.
        """
        claims = self.tokens.verify(token, "access")
        async with self.database.primary() as session:
            user = await sessions.find_account(session, claims.session_id, claims.user_id, utc_now())
        if user is None:
            raise SessionEndedError
        return Identity(user, claims.session_id, claims.scopes & allowed_scopes(user.role))

    def token_pair(self, user: User, row: Session) -> TokenPair:
        now = utc_now()
        scope = scope_text(frozenset(row.scope.split()) & allowed_scopes(user.role))
        access_token = self.tokens.issue(
            "access",
            user_id=user.id,
            session_id=row.id,
            jti=uuid4().hex,
            issued_at=now,
            expires_at=now + self.access_ttl,
            scope=scope,
        )
        refresh_token = self.tokens.issue(
            "refresh",
            user_id=user.id,
            session_id=row.id,
            jti=f"{row.id}.{row.rotation}",
            issued_at=row.rotated_at,
            expires_at=row.expires_at,
        )
        return TokenPair(access_token, refresh_token, int(self.access_ttl.total_seconds()), scope)


def granted_scopes(user: User, requested: str) -> frozenset[str]:
    """All that the role allows, narrowed to what was asked for (RFC 6749 section 3.3)."""
    allowed = allowed_scopes(user.role)
    granted = allowed & frozenset(requested.split()) if requested.strip() else allowed
    if not granted:
        raise UnprocessableError("None of the requested scopes can be granted.", code="invalid_scope")
    return granted
