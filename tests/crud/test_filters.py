"""A filter's conditions are declared, and do what they say whatever the values are."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import String, func, literal, or_
from sqlalchemy.ext.asyncio import AsyncSession

from app.crud.base import CRUD
from app.crud.filters import Filter, after, any_of, at_least, at_most, before, contains, equals, where
from app.crud.item import ItemRow, items
from app.crud.page import PageQuery
from app.models.item import Item
from tests.factories import Factory


class Wanted(Filter):
    q: str | None = where(lambda text: or_(contains(Item.title, text), contains(Item.description, text)))
    title: str | None = equals(Item.title)
    titles: list[str] | None = any_of(Item.title)
    long: int | None = where(lambda length: func.length(Item.title) >= length)
    is_done: bool | None = equals(Item.is_done)
    is_open: bool | None = where(lambda is_open: Item.is_done != is_open)
    at_least: Decimal | None = at_least(Item.price)
    at_most: Decimal | None = at_most(Item.price)
    above: Decimal | None = after(Item.price)
    below: Decimal | None = before(Item.price)


class OfTitle(Filter):
    title: str = equals(Item.title)
    price: Decimal | None = equals(Item.price)


ALL: CRUD[Item, ItemRow] = items
TITLES = ["a", "bb", "ccc", "dddd", "eeeee"]


@pytest.mark.parametrize(
    ("filter_", "found"),
    [
        (Wanted(), TITLES),
        (Wanted(q="B"), ["bb"]),
        (Wanted(q="%"), []),
        (Wanted(title="a"), ["a"]),
        (Wanted(titles=[]), []),
        (Wanted(titles=["a"]), ["a"]),
        (Wanted(titles=["a", "ccc", "none"]), ["a", "ccc"]),
        (Wanted(titles=TITLES), TITLES),
        (Wanted(long=4), ["dddd", "eeeee"]),
        (Wanted(is_done=True), ["a", "ccc", "eeeee"]),
        (Wanted(is_open=True), ["bb", "dddd"]),
        (Wanted(is_open=False, long=2), ["ccc", "eeeee"]),
        (Wanted(at_least=Decimal(2), at_most=Decimal(3)), ["ccc", "dddd"]),
        (Wanted(above=Decimal(2), below=Decimal(4)), ["dddd"]),
        (OfTitle("bb"), ["bb"]),
        (OfTitle("bb", Decimal(7)), []),
    ],
)
async def test_a_list_shows_what_its_filter_leaves(
    session: AsyncSession, make: Factory, filter_: Filter, found: list[str]
) -> None:
    owner = await make.user()
    for number, title in enumerate(TITLES):
        await make.item(owner, title=title, price=Decimal(number), is_done=number % 2 == 0)
    page = await ALL.page(session, PageQuery("title", 10), filter_)
    assert [row.title for row in page.rows] == found
    assert page.total == len(found)


def test_lists_of_similar_lengths_are_one_statement() -> None:
    shapes = {Wanted(titles=["x"] * count).narrowed()[0] for count in range(1, 9)}
    assert len(shapes) == 4


def test_a_cursor_of_before_still_fits() -> None:
    assert repr(OfTitle("bb")) == "OfTitle(title='bb', price=None)"


def make_filter(annotation: Any, value: Any = None, name: str = "field") -> None:
    type("Made", (Filter,), {"__annotations__": {name: annotation}, **({} if value is None else {name: value})})


def test_a_field_without_a_condition_is_refused() -> None:
    for value in (None, "text"):
        with pytest.raises(TypeError, match=r"Made\.field has no condition"):
            make_filter(str | None, value)


def test_a_condition_that_does_not_depend_on_its_parameter_is_refused() -> None:
    writes: list[Callable[[Any], Any]] = [lambda _: Item.is_done, lambda _: literal("x", String()) == Item.title]
    for write in writes:
        with pytest.raises(TypeError, match="does not depend"):
            make_filter(str | None, where(write))


def test_a_condition_cannot_look_at_a_value() -> None:
    with pytest.raises(TypeError, match="not defined"):
        make_filter(bool | None, where(lambda value: Item.is_done == value if value else Item.title == value))


def test_a_field_with_the_name_of_the_lists_own_parameter_is_refused() -> None:
    with pytest.raises(TypeError, match="after_id"):
        make_filter(int | None, equals(Item.id), "after_id")


def test_a_field_that_cannot_be_none_is_required() -> None:
    with pytest.raises(TypeError):
        OfTitle()
    with pytest.raises(TypeError, match=r"OfTitle\.title must not be None"):
        OfTitle(None)  # type: ignore[arg-type] # as an unset variable may be
