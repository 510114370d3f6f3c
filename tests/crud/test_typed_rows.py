"""What rows show, INSERTs give and UPDATEs change are columns: mypy says so, and the classes when they are made."""

from decimal import Decimal
from typing import Any

import pytest

from app.core.db.session import WriteSession
from app.crud.base import CRUD
from app.crud.generation import CachedCRUD
from app.crud.item import ItemInsert, ItemRow, items
from app.crud.typed import UNSET, Insert, StoredRow, VersionedRow
from app.models.item import Item
from tests.factories import Factory


async def test_an_insert_gives_what_it_names_and_the_defaults_the_rest(session: WriteSession, make: Factory) -> None:
    owner = await make.user()
    row = await items.insert(session, ItemInsert(owner_id=owner.id, title="a"))
    assert (row.price, row.stock, row.is_done, row.sku, row.version) == (Decimal(0), 0, False, None, 1)
    assert row.created_at == row.updated_at
    changed = await items.update_row(session, row.id, title="b")
    assert (changed.title, changed.version, changed.owner_username) == ("b", 2, owner.username)
    assert changed.updated_at > row.updated_at == changed.created_at
    assert (await items.read_row(session, row.id)).updated_at == changed.updated_at


async def test_a_column_that_is_not_there_cannot_be_changed(session: WriteSession, make: Factory) -> None:
    item = await make.item(await make.user())
    with pytest.raises(TypeError, match="items has no column titel"):
        await items.update_row(session, item.id, titel="b")


def mypy_refuses(row: ItemRow) -> None:
    """mypy fails on an ignore that is not needed."""
    assert row.versoin  # type: ignore[attr-defined] # there is `version`
    ItemInsert(owner_id=1, titel="a")  # type: ignore[call-arg] # there is `title`
    ItemInsert(owner_id=1)  # type: ignore[call-arg] # the title has no default
    ItemInsert(owner_id=1, title=1)  # type: ignore[arg-type] # it is a text


def make_class(base: Any, **annotations: Any) -> Any:
    values = {"__annotations__": annotations}
    bases = (base,) if isinstance(base, type) else (Insert,)
    return type("Made", bases, values if isinstance(base, type) else {**values, "__orig_bases__": (base,)})


def test_an_insert_of_what_is_no_column_is_refused() -> None:
    with pytest.raises(TypeError, match=r"Made\.amuont is no column of items"):
        make_class(Insert[Item], owner_id=int, title=str, amuont=int)


def test_an_insert_without_a_column_that_has_no_default_is_refused() -> None:
    with pytest.raises(TypeError, match="Made lacks title"):
        make_class(Insert[Item], owner_id=int)


@pytest.mark.parametrize(
    ("annotations", "refusal"),
    [
        ({"titel": str}, r"Made\.titel is no column"),
        ({"title": str | None}, r"Made\.title says None can be"),
        ({"sku": str}, r"Made\.sku says None cannot be"),
        ({"price": int}, r"Made\.price is annotated <class 'int'>, but the column has Decimal"),
    ],
)
def test_a_row_that_shows_what_the_table_does_not_have_is_refused(annotations: dict[str, Any], refusal: str) -> None:
    row: type[StoredRow] = make_class(VersionedRow, **annotations)
    with pytest.raises(TypeError, match=refusal):
        CRUD(Item, row, "item")


def test_a_list_is_sorted_by_what_its_rows_show() -> None:
    with pytest.raises(TypeError, match="does not show title"):
        CRUD(Item, VersionedRow, "item", sorts={"title": Item.title})
    with pytest.raises(TypeError, match="VersionedRow does not show it"):
        CRUD(Item, VersionedRow, "item", computed={"price_with_tax": Item.price_with_tax})


def test_what_is_left_out_shows() -> None:
    assert "sku=UNSET" in repr(ItemInsert(owner_id=1, title="a"))
    assert repr(UNSET) == "UNSET"


def test_what_is_cached_is_declared_so_in_its_model() -> None:
    with pytest.raises(TypeError, match="Item is cached"):
        CachedCRUD(Item, StoredRow, "item")
