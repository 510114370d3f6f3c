"""Rows for tests to start from, stored the way the application stores them."""

import itertools
from datetime import timedelta
from typing import Any

from app.api.deps import AppServices
from app.core.clock import utc_now
from app.crud.device_session import sessions
from app.models.device_session import DeviceSession
from app.models.item import Item
from app.models.order import Order
from app.models.user import Role, User
from app.services.auth.auth import TokenPair
from app.services.orders import place_order

PASSWORD = "correct horse battery staple"
# argon2id of PASSWORD with the application's parameters, made once: hashing it for each test would take minutes.
PASSWORD_HASH = "$argon2id$v=19$m=19456,t=2,p=1$WSsFIESI0VoLASBEiDEGIA$vINzctocE7K4FTUvxkv+EGVM07W3HvZDjNXaSOiVUL8"


class Factory:
    """Makes users, tokens and items in committed transactions of their own."""

    def __init__(self, services: AppServices) -> None:
        self.services = services
        self.numbers = itertools.count(1)

    async def store[M](self, row: M) -> M:
        async with self.services.database.transaction() as session:
            session.add(row)
        return row

    def number(self) -> int:
        """Another one each time, for rows that must differ; small enough for the day of a month."""
        return 1 + next(self.numbers) % 28

    async def user(self, **fields: Any) -> User:
        name = f"user{next(self.numbers)}"
        defaults = {"username": name, "email": f"{name}@example.com", "hashed_password": PASSWORD_HASH}
        return await self.store(User(**defaults | fields))

    async def admin(self, **fields: Any) -> User:
        return await self.user(role=Role.ADMIN, **fields)

    async def item(self, owner: User, **fields: Any) -> Item:
        defaults: dict[str, Any] = {"title": f"Item {next(self.numbers)}", "owner": owner}
        return await self.store(Item(**defaults | fields))

    async def order(self, buyer: User, *items: Item) -> Order:
        """One of each; where none is named, of an item of somebody else's."""
        items = items or (await self.item(await self.user(), stock=1),)
        async with self.services.database.transaction() as session:
            return await place_order(session, buyer.id, {item.id: 1 for item in items})

    async def tokens(self, user: User, scope: str | None = None) -> TokenPair:
        """A signed-in device's tokens, without the cost of the password."""
        now, scopes = utc_now(), self.services.auth.scopes
        row = DeviceSession(
            user_id=user.id,
            scope=scope if scope is not None else scopes.text(scopes.allowed(user.role)),
            rotated_at=now,
            expires_at=now + timedelta(days=7),
        )
        async with self.services.database.transaction() as session:
            session.add(row)
            await sessions.flush(session)
        return self.services.auth.token_pair(user, row)

    async def bearer(self, user: User, scope: str | None = None) -> dict[str, str]:
        """Headers of a signed-in user."""
        return {"Authorization": f"Bearer {(await self.tokens(user, scope)).access_token}"}
