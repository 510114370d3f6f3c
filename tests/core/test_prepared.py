"""What is `Prepared` does what SQLAlchemy would do with the statement, or is refused when it is built."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import (
    BigInteger,
    Column,
    Enum,
    Float,
    Integer,
    MetaData,
    String,
    Table,
    bindparam,
    func,
    insert,
    literal_column,
    or_,
    select,
    true,
    update,
)
from sqlalchemy.dialects.postgresql import asyncpg

from app.core.config.settings import Settings
from app.core.db.engine import Database
from app.core.db.prepared import Prepared
from app.core.db.session import fetch
from app.crud.filters import contains
from app.models.item import Item

pytestmark = pytest.mark.real_database


def shouted(context: Any) -> str:
    return f"{context.get_current_parameters()['name']}!"


def of_connection(context: Any) -> str:
    return str(context.connection)


THINGS = Table(
    "things",
    MetaData(),
    Column("id", Integer, primary_key=True),
    Column("name", String(50)),
    Column("scalar", Integer, default=7),
    Column("called", String(50), default=lambda: "called"),
    Column("of_name", String(50), default=shouted),
    Column("computed", Integer, default=func.abs(-3)),
    Column("stored", Integer, server_default="5"),
    Column("changed", String(50), onupdate=lambda: "changed"),
    Column("raised", Integer, default=1, onupdate=literal_column("raised") + 1),
    Column("exact", Float(asdecimal=True)),
)
SHOWN = [column for column in THINGS.c if column.name != "id"]
FIELDS = [column.name for column in SHOWN]
MADE = dict(zip(FIELDS, ("name", 7, "called", "name!", 3, 5, None, 1, None), strict=True))
INSERT = THINGS.insert().values(name=bindparam("name"))


@pytest.fixture
async def database(real_settings: Settings) -> AsyncIterator[Database]:
    database = Database(real_settings)
    async with database.engine.begin() as connection:
        await connection.run_sync(THINGS.metadata.create_all)
    yield database
    await database.close()


async def run(database: Database, prepared: Prepared, **values: Any) -> list[dict[str, Any]]:
    async with database.transaction() as session:
        rows = await fetch(session, prepared, **values)
    return [{name: getattr(row, name) for name in row._fields} for row in rows]


@pytest.mark.parametrize("is_conditional", [False, True])
async def test_columns_that_an_insert_leaves_out_get_their_defaults(database: Database, is_conditional: bool) -> None:
    prepared = Prepared(INSERT.returning(*SHOWN), inserts=["name"])
    if is_conditional:
        prepared = prepared.provided(true())
    assert await run(database, prepared, name="name") == [MADE]
    assert await run(database, Prepared(select(*SHOWN))) == [MADE]


async def test_a_default_may_depend_on_those_before_it(database: Database) -> None:
    prepared = Prepared(THINGS.insert().values(scalar=bindparam("scalar"), name="given").returning(THINGS.c.of_name))
    assert await run(database, prepared, scalar=1) == [{"of_name": "given!"}]


async def test_each_column_with_onupdate_is_updated(database: Database) -> None:
    await run(database, Prepared(INSERT.returning(THINGS.c.id)), name="old")
    changed = THINGS.update().values(name=bindparam("name")).returning(THINGS.c.name, THINGS.c.changed, THINGS.c.raised)
    expected = {"name": "new", "changed": "changed", "raised": 2}
    assert await run(database, Prepared(changed), name="new") == [expected]


async def test_a_float_that_is_to_be_a_decimal_is_one(database: Database) -> None:
    stored = THINGS.insert().values(exact=bindparam("exact"), name="").returning(THINGS.c.exact)
    assert await run(database, Prepared(stored), exact=Decimal("1.5")) == [{"exact": Decimal("1.5")}]
    ((row),) = await run(database, Prepared(select(THINGS.c.exact)))
    assert type(row["exact"]) is Decimal


async def test_a_default_that_needs_more_than_the_values_is_refused_by_name(database: Database) -> None:
    if database.engine.dialect.name == "sqlite":
        pytest.skip("there SQLAlchemy runs it")
    table = Table("things", MetaData(), Column("name", String), Column("scalar", Integer, default=of_connection))
    prepared = Prepared(table.insert().values(name=bindparam("name")).returning(table.c.name))
    with pytest.raises(TypeError, match=r"things\.scalar.*connection"):
        await run(database, prepared, name="name")


@pytest.mark.parametrize("values", [{"name": "x", "scalar": 1}, {"name": "x", "nonsense": 1}])
async def test_a_value_that_no_parameter_takes_is_refused(database: Database, values: dict[str, Any]) -> None:
    """SQLAlchemy would take one with a column's name for another column to write."""
    with pytest.raises(TypeError, match=r"scalar|nonsense"):
        await run(database, Prepared(INSERT.returning(THINGS.c.id)), **values)


NAMES: Any = bindparam("names", expanding=True)
TEXT: Any = bindparam("text")
STATEMENTS = {
    "expanding": select(THINGS.c.id).where(THINGS.c.name.in_(NAMES)),
    "a list": select(THINGS.c.id).where(THINGS.c.name.in_(["a", "b"])),
    "literal_execute": select(THINGS.c.id).limit(bindparam("most", type_=Integer(), literal_execute=True)),
    "callable": select(THINGS.c.id).where(THINGS.c.name == bindparam("name", callable_=lambda: "name")),
    "entities": select(Item),
    "several rows": THINGS.insert().values([{"name": "a"}, {"name": "b"}]).returning(THINGS.c.id),
    "entities that are inserted": insert(Item).values(title=bindparam("title")).returning(Item.id),
    "entities that are updated": update(Item).values(title=bindparam("title")).returning(Item.id),
    "options": select(THINGS.c.id).execution_options(schema_translate_map={None: "other"}),
    "a write within": select(INSERT.returning(THINGS.c.id).cte("made").c.id),
    "text in two types": select(THINGS.c.id).where(or_(contains(Item.title, TEXT), THINGS.c.name == TEXT)),
    "a name twice": select(THINGS.c.id.label("a"), THINGS.c.name.label("a")),
    "a sequence of rows": THINGS.insert().returning(THINGS.c.id, sort_by_parameter_order=True),
    "no rows": THINGS.delete(),
    "no name": select(func.now() + func.now()),
}


@pytest.mark.parametrize("name", STATEMENTS)
def test_what_cannot_run_as_sqlalchemy_would_is_refused_when_it_is_built(name: str) -> None:
    with pytest.raises((TypeError, ValueError)):
        Prepared(STATEMENTS[name])


def test_a_statement_of_ordinary_parts_is_not_refused() -> None:
    mood = Enum("good", "bad", name="mood")
    statement = select(THINGS.c.id, Item.title, literal_column("1", BigInteger()).label("one"))
    for prepared in (
        Prepared(statement.where(THINGS.c.id == bindparam("id"), Item.id == bindparam("id"))),
        Prepared(statement.where(THINGS.c.name == bindparam("text"), Item.title == bindparam("text"))),
        Prepared(select(bindparam("mood", type_=mood).label("mood"))),
    ):
        assert not prepared.writes


def test_what_writes_says_so() -> None:
    now = datetime.now(UTC)
    for statement in (INSERT, THINGS.update().values(name=str(now)), THINGS.delete()):
        assert Prepared(statement.returning(THINGS.c.id)).writes


def test_a_parameter_is_changed_also_where_its_last_place_would_leave_it_as_it_is() -> None:
    searched = or_(contains(Item.title, bindparam("q")), bindparam("q").is_not(None))
    made = Prepared(select(Item.id).where(searched)).for_driver(asyncpg.dialect(), tuple)  # type: ignore[no-untyped-call] # has no types
    assert made.arguments({"q": "a_b"}) == ["%a/_b%"]
