"""Rotation of refresh tokens, with reuse detection."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Self

from app.core.clock import utc_now
from app.core.config.settings import Settings
from app.core.db.session import WriteSession
from app.core.limits.networks import network_of
from app.crud.device_session import sessions
from app.models.audit import Action
from app.models.device_session import DeviceSession
from app.services.audit import Device, record
from app.services.auth.errors import TokenReusedError

# Reuse from elsewhere within the grace period: a phone that changes networks may lose a response.
MAX_FOREIGN_USES = 3


@dataclass(frozen=True, slots=True)
class Rotation:
    """RFC 9700 section 4.14.2, with a grace period for parallel tabs and lost responses."""

    refresh_ttl: timedelta
    reuse_grace: timedelta
    session_max_age: timedelta

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        return cls(settings.refresh_token_ttl, settings.refresh_reuse_grace, settings.session_max_age)

    async def use(self, session: WriteSession, row: DeviceSession, number: int, device: Device) -> None:
        """Use refresh token `number` of a session, whose row is locked.

        Raises:
            TokenReusedError: the token was reused, and the session has ended.
        """
        if row.rotation == number:
            await self.advance(session, row, device)
        elif row.rotation == number + 1 and utc_now() - row.rotated_at <= self.reuse_grace:
            await self.repeat(session, row, device)
        else:
            await self.end(session, row, device)

    async def advance(self, session: WriteSession, row: DeviceSession, device: Device) -> None:
        now = utc_now()
        row.rotation += 1
        row.rotated_at, row.rotated_ip, row.rotated_user_agent = now, device.ip, device.user_agent
        row.expires_at = min(now + self.refresh_ttl, row.created_at + self.session_max_age)
        await sessions.flush(session)

    async def repeat(self, session: WriteSession, row: DeviceSession, device: Device) -> None:
        """Issue the same successor again, unless the requests keep coming from elsewhere (a thief within the grace)."""
        is_foreign = place(device.ip, device.user_agent) != place(row.rotated_ip, row.rotated_user_agent)
        if is_foreign:
            row.foreign_uses += 1
            await sessions.flush(session)
            if row.foreign_uses >= MAX_FOREIGN_USES:
                await self.end(session, row, device)
        action = Action.REFRESH_REPEATED
        await record(session, action, device, subject_id=row.user_id, session_id=row.id, is_foreign=is_foreign)

    async def end(self, session: WriteSession, row: DeviceSession, device: Device) -> None:
        """Raises TokenReusedError."""
        await sessions.end_named(session, row.id, row.key)
        await record(session, Action.REFRESH_REUSED, device, subject_id=row.user_id, session_id=row.id)
        raise TokenReusedError


def place(ip: str | None, user_agent: str | None) -> tuple[str, str | None]:
    return network_of(ip or ""), user_agent
