"""The export of everything stored about an account."""

from collections.abc import AsyncGenerator, AsyncIterator
from datetime import datetime
from functools import partial
from typing import Any

from pydantic import TypeAdapter
from sqlalchemy.ext.asyncio import AsyncSession

from app.core.clock import utc_now
from app.core.db.engine import Database
from app.core.db.retry import retried
from app.crud.audit import audit
from app.crud.batch import Batch, Place, newest_ids
from app.crud.device_session import DeviceSessionFilter, sessions
from app.crud.item import ItemFilter, items
from app.crud.user import users
from app.schemas.account import AuditEventRead, SessionRead
from app.schemas.user import UserRead
from app.services.accounts.export_part import Part
from app.services.accounts.exported_orders import exported_orders
from app.services.auth.auth import session_facts
from app.services.batches import BATCH, batches
from app.services.items.export import read_row

INSTANT = TypeAdapter(datetime)


async def export_account(database: Database, user_id: int, session_key: str) -> AsyncGenerator[bytes]:
    """The schema `Export` as JSON, streamed in batches of the rows that exist at the beginning."""
    now = utc_now()
    parts = parts_of(user_id, session_key, now)
    user, last_ids = await retried(partial(find_beginning, database, user_id, parts))
    yield b'{"exported_at":%b,"user":%b' % (INSTANT.dump_json(now), user.model_dump_json().encode())
    for part, last_id in zip(parts, last_ids, strict=True):
        async for written in write(database, part, last_id):
            yield written
    yield b"}"


async def find_beginning(database: Database, user_id: int, parts: list[Part]) -> tuple[UserRead, list[int]]:
    async with database.primary() as session:
        user = UserRead.model_validate(await users.get(session, user_id))
        return user, await newest_ids(session, *(part.crud for part in parts))


def parts_of(user_id: int, session_key: str, now: datetime) -> list[Part]:
    async def find_sessions(session: AsyncSession, after: Place | None, last_id: int) -> Batch:
        return await sessions.batch(session, DeviceSessionFilter(user_id, now), after, last_id, BATCH)

    async def find_items(session: AsyncSession, after: Place | None, last_id: int) -> Batch:
        return await items.batch(session, ItemFilter(owner_id=user_id), after, last_id, BATCH)

    async def find_events(session: AsyncSession, after: Place | None, last_id: int) -> Batch:
        return await audit.batch_about(session, user_id, after, last_id, BATCH)

    return [
        Part("sessions", sessions, find_sessions, partial(show_session, session_key)),
        Part("items", items, find_items, read_row),
        exported_orders(user_id),
        Part("audit", audit, find_events, lambda row: AuditEventRead.model_validate(audit_facts(row, user_id))),
    ]


async def write(database: Database, part: Part, last_id: int) -> AsyncIterator[bytes]:
    async def read(session: AsyncSession, after: Place | None) -> Batch:
        return await part.find(session, after, last_id)

    yield b',"%b":[' % part.name.encode()
    separator = b""
    async for rows in batches(database.primary, read):
        yield separator + b",".join(part.show(row).model_dump_json().encode() for row in rows)
        separator = b","
    yield b"]"


def show_session(session_key: str, row: Any) -> SessionRead:
    return SessionRead.model_validate(session_facts(row, session_key))


def audit_facts(event: Any, user_id: int) -> dict[str, Any]:
    """An audit event as its subject sees it, without the address and device of an administrator.

    Details of what an administrator changed on another account are omitted as well.
    """
    is_theirs = event.actor_id in {None, user_id}
    return {
        "id": event.id,
        "at": event.at,
        "action": event.action,
        "actor_id": event.actor_id,
        "subject_id": event.subject_id,
        "ip": event.ip if is_theirs else None,
        "user_agent": event.user_agent if is_theirs else None,
        "request_id": event.request_id if is_theirs else None,
        "details": event.details if event.subject_id == user_id else {},
    }
