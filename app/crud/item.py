"""Items in the database."""

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any, NamedTuple

from sqlalchemy import BigInteger, case, cast, literal_column, or_, select, update
from sqlalchemy import insert as sql_insert
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm.attributes import set_committed_value

from app.core.clock import utc_now
from app.core.db.session import WriteSession
from app.core.db.upsert import insert
from app.core.numbers import MAX_INT32
from app.crud.account import Account
from app.crud.base import CRUD
from app.crud.filters import Filter, at_least, at_most, contains, equals, where
from app.crud.typed import UNSET, Insert, VersionedRow
from app.models.item import Item
from app.models.user import User

# As a subquery, which fits RETURNING too; the column as a text, since INSERT has no FROM for it to be of.
OWNER_NAME = select(User.username).where(User.id == literal_column("items.owner_id")).scalar_subquery()


class ItemFilter(Filter):
    """`q` is looked for in title and description, its `%` and `_` taken literally."""

    q: str | None = where(lambda text: or_(contains(Item.title, text), contains(Item.description, text)))
    owner_id: int | None = equals(Item.owner_id)
    is_done: bool | None = equals(Item.is_done)
    min_price: Decimal | None = at_least(Item.price)
    max_price: Decimal | None = at_most(Item.price)


class ItemRow(VersionedRow):
    owner_id: int
    owner_username: str
    title: str
    sku: str | None
    description: str | None
    price: Decimal
    tax_rate: Decimal
    price_with_tax: Decimal
    stock: int
    is_done: bool


class ItemInsert(Insert[Item]):
    owner_id: int
    title: str
    sku: str | None = UNSET
    description: str | None = UNSET
    price: Decimal = UNSET
    tax_rate: Decimal = UNSET
    stock: int = UNSET
    is_done: bool = UNSET


class ItemForSale(NamedTuple):
    """What a sale needs to know of an item."""

    id: int
    owner_id: int
    title: str
    price: Decimal
    tax_rate: Decimal
    stock: int
    is_done: bool


class ItemCRUD(CRUD[Item, ItemRow]):
    async def lock_for_sale(self, session: WriteSession, ids: Iterable[int]) -> list[ItemForSale]:
        """Those that there are; nobody else changes them until the transaction ends."""
        columns = [getattr(Item, name) for name in ItemForSale._fields]
        # In the order of ids, so that no two transactions wait for each other.
        locked = select(*columns).where(Item.id.in_(ids)).order_by(Item.id).with_for_update(key_share=True)
        return [ItemForSale(*row) for row in await session.execute(locked)]

    async def add_stock(self, session: WriteSession, amounts: Mapping[int, int]) -> None:
        """Add so many of each item, or take them away; one UPDATE of rows that the caller has locked.

        What comes back to an item that has all it can have meanwhile is not counted.
        """
        if amounts:
            changed = update(Item).where(Item.id.in_(amounts))
            more = cast(Item.stock, BigInteger) + case(dict(amounts), value=Item.id)
            stock = case((more > MAX_INT32, MAX_INT32), else_=more)
            await session.execute(changed.values(stock=stock, version=Item.version + 1))

    async def upsert(self, session: WriteSession, owner: Account, sku: str, fields: Mapping[str, Any]) -> Item:
        """Make the owner's item of this SKU what `fields` say, in one statement; a new one has the version 1."""
        new = insert(session, Item).values(owner_id=owner.id, sku=sku, version=1, **fields)
        changes = {**fields, "version": Item.version + 1, "updated_at": utc_now()}
        stored = new.on_conflict_do_update(index_elements=["owner_id", "sku"], set_=changes).returning(Item)
        item = (await session.scalars(stored)).one()
        set_committed_value(item, "owner", owner)
        return item

    async def add_all(self, session: WriteSession, owner_id: int, rows: Sequence[Mapping[str, Any]]) -> list[int]:
        """Insert them in one statement and return their ids, in the same order."""
        values = [{"owner_id": owner_id, "version": 1, **row} for row in rows]
        # SQLite counts ids up in the order of VALUES; SQLAlchemy, not relying on it, would insert row by row.
        is_sqlite = session.get_bind().dialect.name == "sqlite"
        new = sql_insert(Item).returning(Item.id, sort_by_parameter_order=not is_sqlite)
        # Rows that leave out what is null would need a statement each time that the columns change.
        new = new.execution_options(render_nulls=True)
        try:
            return sorted(await session.scalars(new, values))
        except IntegrityError as error:
            raise self.conflict(error) from error

    async def set_done(self, session: WriteSession, owner_id: int, ids: Sequence[int], *, is_done: bool) -> int:
        """Open or close those of the ids that are the owner's, in one statement; return how many."""
        mine = select(Item.id).where(Item.id.in_(ids), Item.owner_id == owner_id)
        # In the order of ids, so that no two transactions wait for each other.
        mine = mine.order_by(Item.id).with_for_update(key_share=True)
        changed = update(Item).where(Item.id.in_(mine)).values(is_done=is_done, version=Item.version + 1)
        return len(list(await session.scalars(changed.returning(Item.id))))


items = ItemCRUD(
    Item,
    ItemRow,
    "item",
    computed={"price_with_tax": Item.price_with_tax, "owner_username": OWNER_NAME},
    sorts={"id": Item.id, "created_at": Item.created_at, "price": Item.price, "title": Item.title},
    conflicts={"uq_items_owner_id_sku": "sku_taken"},
)
