"""Resetting a forgotten password by mail, and changing a known one."""

from dataclasses import dataclass

from app.core.clock import utc_now
from app.core.config.settings import Settings
from app.core.db.engine import Database
from app.core.db.session import WriteSession
from app.core.errors import RateLimitedError
from app.core.jobs.kinds import JobKind, Payload
from app.core.security.passwords import PasswordHasher
from app.crud.device_session import sessions
from app.crud.user import users
from app.models.audit import Action
from app.models.one_time_token import Purpose
from app.models.user import User
from app.schemas.account import MailProof
from app.services.accounts.password_policy import check_password
from app.services.audit import Device, record
from app.services.auth.attempts import SignInAttempts
from app.services.auth.identity import Identity
from app.services.auth.reauthentication import Reauthentication, require_same_password
from app.services.jobs import Jobs
from app.services.mail.links import MailLinks
from app.services.mail.notices import Notices


class ResetRequest(Payload):
    email: str
    ip: str | None
    user_agent: str | None
    request_id: str | None


MAIL_RESET_LINK = JobKind("account.mail_reset_link", ResetRequest)


@dataclass(frozen=True, slots=True)
class Passwords:
    """The use cases of passwords. They hash, so they open their own transactions."""

    settings: Settings
    database: Database
    hasher: PasswordHasher
    attempts: SignInAttempts
    proof: Reauthentication
    links: MailLinks
    jobs: Jobs
    notices: Notices

    async def request_reset(self, email: str, device: Device) -> None:
        """Mail a password reset link if the account exists.

        All that depends on it happens after the response, whose timing does not reveal whether the account exists.
        """
        asked = ResetRequest(email=email, ip=device.ip, user_agent=device.user_agent, request_id=device.request_id)
        async with self.database.transaction() as session:
            await self.jobs.enqueue(session, MAIL_RESET_LINK, asked)

    async def mail_reset_link(self, asked: ResetRequest) -> None:
        try:
            await self.links.limit(Purpose.RESET_PASSWORD, asked.email)
        except RateLimitedError:
            return  # the response was sent already, the same as always
        device = Device(asked.ip, asked.user_agent, asked.request_id)
        async with self.database.transaction() as session:
            user = await users.find_by_login(session, asked.email, for_update=True)
            if user is None or not user.is_active:
                return
            await record(session, Action.PASSWORD_RESET_REQUESTED, device, subject_id=user.id)
            await self.links.send(session, Purpose.RESET_PASSWORD, user, ip=device.ip)

    async def reset(self, proof: MailProof, password: str, device: Device) -> None:
        """Set a new password with a mailed link or its code, and end every session.

        Raises:
            InvalidMailTokenError, RateLimitedError, WeakPasswordError: the last leaves link and code valid.
        """
        async with self.database.transaction() as session:
            digest = await self.links.find(session, proof, device, Purpose.RESET_PASSWORD)
            user = await self.links.find_user(session, digest, Purpose.RESET_PASSWORD)
        hashed = await self.hash_new(user, password)
        async with self.database.transaction() as session:
            user, _ = await self.links.redeem(session, digest, Purpose.RESET_PASSWORD)
            await self.store(session, user, hashed, Action.PASSWORD_RESET, device)
        # Failed guesses at the old password must not lock the owner out of the new one.
        for login in (user.username, user.email):
            await self.attempts.succeed(login)

    async def change(self, me: Identity, current: str, password: str, device: Device) -> None:
        """Set a new password and end the other sessions.

        Raises:
            WrongPasswordError, WeakPasswordError, RateLimitedError
        """
        user = await self.proof.require(me, current)
        hashed = await self.hash_new(user, password)
        async with self.database.transaction() as session:
            row = require_same_password(await users.find_for_update(session, user.id), user)
            await self.store(session, row, hashed, Action.PASSWORD_CHANGED, device, keep_session=me.session_key)

    async def hash_new(self, user: User, password: str) -> str:
        await check_password(password, self.settings, username=user.username, email=user.email)
        return await self.hasher.hash(password)

    async def store(
        self,
        session: WriteSession,
        user: User,
        hashed: str,
        action: Action,
        device: Device,
        keep_session: str | None = None,
    ) -> None:
        await users.change_locked(session, user, hashed_password=hashed)
        await sessions.end_all(session, user.id, but=keep_session)
        await record(session, action, device, actor_id=user.id)
        await self.notices.send(
            session, "password_changed", user, at=utc_now(), ip=device.ip, user_agent=device.user_agent
        )
