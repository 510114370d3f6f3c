"""Sign-in, refresh and sign-out: passwords become sessions, sessions issue tokens."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Self
from uuid import uuid4

from app.core.clock import utc_now
from app.core.config.settings import Settings
from app.core.db.engine import Database
from app.core.db.session import WriteSession
from app.core.errors import InvalidTokenError, UnprocessableError
from app.core.limits.ratelimit import RateLimiter
from app.core.security.passwords import PasswordHasher
from app.core.security.tokens import Claims, Tokens
from app.crud.account import Account
from app.crud.audit import audit
from app.crud.device_session import sessions
from app.crud.user import users
from app.models.audit import Action
from app.models.device_session import DeviceSession
from app.models.user import User
from app.services.audit import Device, record
from app.services.auth.account_cache import AccountCache
from app.services.auth.attempts import SignInAttempts
from app.services.auth.ended_sessions import EndedSessions
from app.services.auth.errors import (
    InactiveUserError,
    InvalidCredentialsError,
    PasswordReplacedError,
    SessionEndedError,
)
from app.services.auth.identity import Identity, identity_of
from app.services.auth.imported_passwords import ImportedPasswords
from app.services.auth.rotation import Rotation
from app.services.auth.scopes import Scopes
from app.services.mail.notices import Notices


@dataclass(frozen=True, slots=True)
class TokenPair:
    access_token: str
    refresh_token: str
    expires_in: int
    scope: str


@dataclass(frozen=True, slots=True)
class Auth:
    """The use cases of `/auth`, one instance per application.

    They open their own short transactions: no connection is held while a password is hashed.
    """

    database: Database
    hasher: PasswordHasher
    tokens: Tokens
    scopes: Scopes
    attempts: SignInAttempts
    rotation: Rotation
    access_ttl: timedelta
    max_sessions: int
    notices: Notices
    account_cache: AccountCache
    ended: EndedSessions
    imported_passwords: ImportedPasswords

    @classmethod
    def from_settings(
        cls,
        settings: Settings,
        database: Database,
        hasher: PasswordHasher,
        tokens: Tokens,
        scopes: Scopes,
        limiter: RateLimiter | None,
        notices: Notices,
    ) -> Self:
        return cls(
            database=database,
            hasher=hasher,
            tokens=tokens,
            scopes=scopes,
            attempts=SignInAttempts.from_settings(settings, limiter),
            rotation=Rotation.from_settings(settings),
            access_ttl=settings.access_token_ttl,
            max_sessions=settings.max_sessions_per_user,
            notices=notices,
            account_cache=AccountCache(),
            ended=EndedSessions(),
            imported_passwords=ImportedPasswords(),
        )

    async def login(self, login: str, password: str, scope: str, device: Device) -> TokenPair:
        """Check a password and open a session.

        Raises:
            InvalidCredentialsError: unknown user or wrong password, with equal timing.
            InactiveUserError: right password, deactivated account.
            RateLimitedError: too many failures for this login.
            OverloadedError: too many passwords are queued for hashing.
        """
        # Before the attempt counts: a request rejected for overload was not a guess.
        self.hasher.require_room()
        await self.attempts.spend(login)
        try:
            return await self.sign_in(login, password, scope, device)
        except PasswordReplacedError:
            # Once more with the current hash: a concurrent sign-in may have rehashed the same password.
            return await self.sign_in(login, password, scope, device)

    async def sign_in(self, login: str, password: str, scope: str, device: Device) -> TokenPair:
        user, new_hash = await self.check_password(login, password, device)
        await self.attempts.succeed(login)
        if not user.is_active:
            raise InactiveUserError
        row = self.new_session(user, scope, device)
        async with self.database.transaction() as session:
            stored = require_unchanged(await users.find_for_update(session, user.id), user)
            if new_hash is not None:
                await users.change_locked(session, stored, hashed_password=new_hash)
            await self.make_room(session, user, device)
            session.add(row)
            await sessions.flush(session)
            pair = self.token_pair(user, row)
            await self.notify_of_new_device(session, user, row)
            await record(session, Action.SIGNED_IN, device, actor_id=user.id, session_id=row.id)
        return pair

    async def make_room(self, session: WriteSession, user: User, device: Device) -> None:
        """End the oldest session over the limit; the user's row is locked against concurrent sign-ins."""
        ended = await sessions.end_oldest(session, user.id, keep=self.max_sessions - 1)
        if ended:
            await record(session, Action.SESSIONS_EVICTED, device, actor_id=user.id, session_ids=sorted(ended))
            self.ended.add(*ended.values())

    async def check_password(self, login: str, password: str, device: Device) -> tuple[User, str | None]:
        """The user with this password, and the new hash if the stored one is outdated."""
        async with self.database.primary() as session:
            user = await users.find_by_login(session, login)
            other = await self.imported_passwords.find_sample(session)
        fits, new_hash = await self.hasher.verify(password, user.hashed_password if user else None, other=other)
        if user is not None and fits:
            return user, new_hash
        async with self.database.transaction() as session:
            await record(session, Action.SIGN_IN_FAILED, device, subject_id=user.id if user else None)
        raise InvalidCredentialsError

    def new_session(self, user: User, scope: str, device: Device) -> DeviceSession:
        now = utc_now()
        return DeviceSession(
            user_id=user.id,
            scope=self.scopes.text(granted_scopes(self.scopes.allowed(user.role), scope)),
            rotated_at=now,
            expires_at=now + min(self.rotation.refresh_ttl, self.rotation.session_max_age),
            ip=device.ip,
            user_agent=device.user_agent,
        )

    async def notify_of_new_device(self, session: WriteSession, user: User, row: DeviceSession) -> None:
        """Mail the user unless a similar device signed in before."""
        if not await audit.knows_device(session, user.id, row.user_agent):
            facts: dict[str, Any] = {"at": row.rotated_at, "ip": row.ip, "user_agent": row.user_agent}
            await self.notices.send(session, "new_device", user, **facts)

    async def refresh(self, token: str, device: Device) -> TokenPair:
        """Exchange a refresh token for a new pair (RFC 9700 section 4.14.2: rotation with reuse detection).

        A token that is used twice within the grace period (two tabs, a lost response) gets the same successor. Later
        reuse counts as theft and ends the session.

        Raises:
            InvalidTokenError: `invalid_token`, `token_expired`, `token_revoked` or `token_reused`.
        """
        claims = self.tokens.verify(token, "refresh")
        id_, key = claims.session_id, claims.session_key
        try:
            async with self.database.transaction() as session:
                # The row lock serializes concurrent calls: the first rotates, the others see it done.
                row = await sessions.find_named_for_update(session, id_, key)
                found = await sessions.find_account(session, id_, key, claims.user_id, utc_now())
                if found is None or row is None:
                    raise SessionEndedError
                await self.rotation.use(session, row, int(claims.jti.rpartition(".")[2]), device)
        except InvalidTokenError:
            self.ended.add(key)
            raise
        return self.token_pair(found[0], row)

    async def logout(self, token: str, device: Device) -> None:
        """End the session of a refresh token, even of one that was rotated already."""
        claims = self.tokens.verify(token, "refresh")
        async with self.database.transaction() as session:
            if await sessions.end_named(session, claims.session_id, claims.session_key):
                await record(session, Action.SIGNED_OUT, device, actor_id=claims.user_id, session_id=claims.session_id)
        self.ended.add(claims.session_key)

    def recall(self, claims: Claims) -> Identity | None:
        """What `identify` would return, from the cache."""
        user = self.account_cache.find(claims.session_key, claims.user_id)
        if user is None:
            return None
        return identity_of(user, claims, self.scopes.allowed(user.role), is_recalled=True)

    async def identify(self, claims: Claims) -> Identity:
        """The current account behind an access token; the tokens of an ended session are invalid.

        Raises:
            InvalidTokenError: `token_revoked`.
        """
        changes = self.account_cache.changes
        async with self.database.primary() as session:
            id_, key = claims.session_id, claims.session_key
            found = await sessions.find_account(session, id_, key, claims.user_id, utc_now())
        if found is None:
            self.ended.add(key)
            raise SessionEndedError
        user, expires_at = found
        self.account_cache.store(key, user, expires_at, changes)
        return identity_of(user, claims, self.scopes.allowed(user.role))

    def token_pair(self, user: User | Account, row: DeviceSession) -> TokenPair:
        now = utc_now()
        scope = self.scopes.text(frozenset(row.scope.split()) & self.scopes.allowed(user.role))
        access_token = self.tokens.issue(
            "access",
            user_id=user.id,
            session_id=row.id,
            session_key=row.key,
            jti=uuid4().hex,
            issued_at=now,
            expires_at=now + self.access_ttl,
            scope=scope,
        )
        refresh_token = self.tokens.issue(
            "refresh",
            user_id=user.id,
            session_id=row.id,
            session_key=row.key,
            jti=f"{row.id}.{row.rotation}",
            issued_at=row.rotated_at,
            expires_at=row.expires_at,
        )
        return TokenPair(access_token, refresh_token, int(self.access_ttl.total_seconds()), scope)


def require_unchanged(stored: User | None, user: User) -> User:
    """Raise if the account changed while its password was hashed.

    Else a sign-in in progress would survive a password change or a deactivation, which end all sessions.
    """
    if stored is None:
        raise InvalidCredentialsError
    if stored.hashed_password != user.hashed_password:
        raise PasswordReplacedError
    if not stored.is_active:
        raise InactiveUserError
    return stored


def session_facts(row: DeviceSession, current_key: str) -> dict[str, Any]:
    """A session as its user sees it."""
    return {
        "id": row.id,
        "created_at": row.created_at,
        "last_used_at": row.rotated_at,
        "ip": row.ip,
        "user_agent": row.user_agent,
        "current": row.key == current_key,
    }


def granted_scopes(allowed: frozenset[str], requested: str) -> frozenset[str]:
    """The role's scopes, narrowed to the requested ones (RFC 6749 section 3.3)."""
    granted = allowed & frozenset(requested.split()) if requested.strip() else allowed
    if not granted:
        raise UnprocessableError("None of the requested scopes can be granted.", code="invalid_scope")
    return granted
