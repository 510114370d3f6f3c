"""Registration, changes and deletion of one's own account."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self

from app.core.config.settings import Settings
from app.core.db.engine import Database
from app.core.db.session import WriteSession
from app.core.limits.ratelimit import RateLimiter
from app.core.security.mail_codes import MailCodes
from app.core.security.passwords import PasswordHasher
from app.crud.user import users
from app.models.audit import Action
from app.models.user import User
from app.services.accounts.addresses import Addresses
from app.services.accounts.edits import AccountEdits, remove_account
from app.services.accounts.managed import ManagedAccounts
from app.services.accounts.password_policy import check_password
from app.services.accounts.passwords import Passwords
from app.services.accounts.usernames import refuse_reserved
from app.services.audit import Device, record
from app.services.auth.attempts import ReauthenticationAttempts, SignInAttempts
from app.services.auth.identity import Identity
from app.services.auth.reauthentication import Reauthentication, WrongPasswordError, require_same_password
from app.services.jobs import Jobs
from app.services.mail.codes import CodeGuesses
from app.services.mail.links import MailLinks
from app.services.mail.notices import Notices


@dataclass(frozen=True, slots=True)
class Accounts:
    """The use cases of accounts, one instance per application. Those that hash open their own transactions."""

    settings: Settings
    database: Database
    hasher: PasswordHasher
    proof: Reauthentication
    addresses: Addresses
    passwords: Passwords
    edits: AccountEdits
    managed: ManagedAccounts

    @classmethod
    def from_settings(
        cls,
        settings: Settings,
        database: Database,
        hasher: PasswordHasher,
        attempts: SignInAttempts,
        limiter: RateLimiter | None,
        jobs: Jobs,
        notices: Notices,
        codes: MailCodes,
    ) -> Self:
        proof = Reauthentication(database, hasher, ReauthenticationAttempts(limiter, attempts.rate))
        links = MailLinks(limiter, settings.rate_limit_mail, jobs, CodeGuesses(codes, limiter))
        addresses = Addresses(database, proof, links, notices)
        passwords = Passwords(settings, database, hasher, attempts, proof, links, jobs, notices)
        edits = AccountEdits(notices)
        managed = ManagedAccounts(settings, hasher, edits)
        return cls(settings, database, hasher, proof, addresses, passwords, edits, managed)

    async def register(self, session: WriteSession, password: str, device: Device, **fields: Any) -> User:
        """Create an account and mail a link that verifies the address.

        Raises:
            WeakPasswordError, UsernameReservedError, ConflictError: nothing is stored.
        """
        refuse_reserved(fields["username"])
        await check_password(password, self.settings, username=fields["username"], email=fields["email"])
        hashed = await self.hasher.hash(password)
        user = User(**fields, hashed_password=hashed)
        session.add(user)
        await users.flush(session)
        await record(session, Action.REGISTERED, device, actor_id=user.id)
        await self.addresses.request_verification(session, user)
        return user

    async def change_profile(
        self,
        session: WriteSession,
        me: Identity,
        changes: dict[str, Any],
        password: str | None,
        device: Device,
        check: Callable[[User], None],
    ) -> User:
        """Change one's own account unless `check` raises; a new username needs the password.

        Raises:
            WrongPasswordError, UsernameReservedError, ConflictError, RateLimitedError
        """
        # An unchanged username in a form needs no password.
        changes = {name: value for name, value in changes.items() if (name, value) != ("username", me.user.username)}
        verified = (
            await self.require_password_for_new_name(me, changes["username"], password)
            if "username" in changes
            else None
        )
        user = await users.get_for_update(session, me.user.id)
        if verified is not None:
            require_same_password(user, verified)
        check(user)
        return await self.edits.change(session, user, changes, device, actor_id=user.id)

    async def require_password_for_new_name(self, me: Identity, username: str, password: str | None) -> User:
        refuse_reserved(username)
        if password is None:
            raise WrongPasswordError("Send `password` as well: another name wants it.")
        return await self.proof.require(me, password)

    async def delete(self, me: Identity, password: str, device: Device, check: Callable[[User], None]) -> None:
        """Delete one's own account and what it owns, unless `check` raises.

        Raises:
            WrongPasswordError, LastAdminError, RateLimitedError
        """
        verified = await self.proof.require(me, password)

        def check_deletable(user: User) -> None:
            require_same_password(user, verified)
            check(user)

        async with self.database.transaction() as session:
            await remove_account(session, me.user.id, check_deletable)
            await record(session, Action.ACCOUNT_DELETED, device, actor_id=me.user.id)
