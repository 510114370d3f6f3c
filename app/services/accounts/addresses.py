"""Verifying and changing the e-mail address of an account."""

from dataclasses import dataclass
from typing import Any

from app.core.clock import utc_now
from app.core.db.engine import Database
from app.core.db.session import WriteSession
from app.crud.user import users
from app.models.audit import Action
from app.models.one_time_token import Purpose
from app.models.user import User
from app.schemas.account import MailProof
from app.services.audit import Device, differences, record
from app.services.auth.identity import Identity
from app.services.auth.reauthentication import Reauthentication, require_same_password
from app.services.mail.links import MailLinks
from app.services.mail.notices import Notices


@dataclass(frozen=True, slots=True)
class Addresses:
    """The use cases of addresses."""

    database: Database
    proof: Reauthentication
    links: MailLinks
    notices: Notices

    async def request_verification(self, session: WriteSession, user: User) -> None:
        """Mail a verification link unless the address is verified; the user's row must be locked or new.

        Raises:
            RateLimitedError
        """
        if user.is_verified:
            return
        await self.links.limit(Purpose.VERIFY_EMAIL, user.email)
        await self.links.send(session, Purpose.VERIFY_EMAIL, user)

    async def confirm(self, session: WriteSession, proof: MailProof, device: Device) -> None:
        """Redeem a verification link or its code, for the account's address or for its new one.

        Raises:
            InvalidMailTokenError, RateLimitedError, ConflictError (`email_taken`)
        """
        purposes = Purpose.VERIFY_EMAIL, Purpose.CHANGE_EMAIL
        digest = await self.links.find(session, proof, device, *purposes)
        user, row = await self.links.redeem(session, digest, *purposes)
        if row.email is not None:
            await self.move_to(session, user, row.email, device)
            return
        await users.change_locked(session, user, is_verified=True)
        await record(session, Action.EMAIL_VERIFIED, device, actor_id=user.id)

    async def move_to(self, session: WriteSession, user: User, email: str, device: Device) -> None:
        changes = differences(user, email=email, is_verified=True)
        facts: dict[str, Any] = {"new_email": email, "at": utc_now(), "ip": device.ip, "by_admin": False}
        await self.notices.send(session, "email_changed", user, **facts)
        await users.change_locked(session, user, email=email, is_verified=True)
        await record(session, Action.EMAIL_CHANGED, device, actor_id=user.id, changes=changes)

    async def request_change(self, me: Identity, email: str, password: str) -> None:
        """Mail a link to the new address; redeeming it changes the address.

        Raises:
            WrongPasswordError, RateLimitedError, ConflictError (`email_taken`)
        """
        user = await self.proof.require(me, password)
        await self.links.limit(Purpose.CHANGE_EMAIL, email)
        async with self.database.transaction() as session:
            row = require_same_password(await users.find_for_update(session, user.id), user)
            await users.refuse_taken_email(session, email, but=user.id)
            await self.links.send(session, Purpose.CHANGE_EMAIL, row, to=email)
