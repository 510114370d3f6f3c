"""Columns that are more than stored values: sequences and `column_property`, prepared and the plain way alike."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from sqlalchemy import Column, Integer, MetaData, Sequence, String, bindparam, func, select, true
from sqlalchemy.orm import DeclarativeBase, Mapped, column_property, mapped_column

from app.core.config.settings import Settings
from app.core.db.engine import Database
from app.core.db.prepared import Prepared
from app.core.db.session import fetch
from app.core.db.statement_checks import NotPreparableError

pytestmark = pytest.mark.real_database


class Model(DeclarativeBase):
    metadata = MetaData()


class Thing(Model):
    __tablename__ = "counted_things"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(20))
    # SQLite has no sequences: it leaves the column empty.
    number = Column("number_", Integer, Sequence("thing_numbers", start=7))
    renamed: Mapped[str] = column_property(Column("other_name", String(20), default="other"))
    shouted: Mapped[str] = column_property(func.upper(name))
    labelled: Mapped[str] = column_property(func.trim(name).label("some_label"))
    later: Mapped[str] = column_property(func.lower(name), deferred=True)


TABLE: Any = Thing.__table__
SHOWN = [Thing.name, Thing.number.label("number"), Thing.renamed.label("renamed")]
PROPERTIES = [Thing.shouted, Thing.labelled, Thing.later]
INSERT = TABLE.insert().values(name=bindparam("name"))
STATEMENTS = {
    "an insert": Prepared(INSERT.returning(*TABLE.c), inserts=["name"]),
    "a conditional insert": Prepared(INSERT.returning(*TABLE.c), inserts=["name"]).provided(true()),
    "an update": Prepared(TABLE.update().values(name=bindparam("name")).returning(*TABLE.c)),
    "an insert that returns properties": Prepared(
        INSERT.returning(TABLE.c.id, *(each.label(each.key) for each in PROPERTIES))
    ),
    "a select": Prepared(select(*SHOWN, *PROPERTIES).where(Thing.name != bindparam("name"))),
    "a search in a property": Prepared(select(*SHOWN).where(Thing.shouted == func.upper(bindparam("name")))),
    "a sort by a property": Prepared(select(Thing.id, Thing.later).order_by(Thing.shouted, bindparam("name"))),
}


@pytest.fixture
async def database(real_settings: Settings) -> AsyncIterator[Database]:
    database = Database(real_settings)
    async with database.engine.begin() as connection:
        await connection.run_sync(Model.metadata.create_all)
        await connection.execute(INSERT, {"name": "Before"})
    yield database
    await database.close()


async def rows(database: Database, prepared: Prepared, *, is_plain: bool) -> list[dict[str, Any]]:
    """By the names of columns, and with sequences where they were before."""
    async with database.transaction() as session:
        if database.engine.dialect.name == "postgresql":
            await fetch(session, Prepared(select(func.setval("thing_numbers", 100).label("set"))))
        values = {"name": "Name"}
        found: Any = await (
            session.execute(prepared.statement, values) if is_plain else fetch(session, prepared, **values)
        )
        stored = [{name: getattr(row, name) for name in row._fields} for row in found]
        left = [tuple(row) for row in await fetch(session, Prepared(select(*TABLE.c).order_by(TABLE.c.id)))]
        await session.rollback()
    return [*stored, {"left": [row[1:] for row in left]}]


@pytest.mark.parametrize("name", STATEMENTS)
async def test_sequences_and_properties_are_what_sqlalchemy_makes_of_them(database: Database, name: str) -> None:
    prepared = await rows(database, STATEMENTS[name], is_plain=False)
    plain = await rows(database, STATEMENTS[name], is_plain=True)
    for found in (prepared, plain):
        for row in found:
            row.pop("id", None)  # of a sequence that goes on where a transaction is taken back
    assert prepared == plain
    assert len(prepared) > 1 or name == "a search in a property"


async def test_a_sequence_has_its_next_number_on_postgresql_and_none_on_sqlite(database: Database) -> None:
    found = await rows(database, STATEMENTS["an insert"], is_plain=False)
    assert found[0]["number_"] == (101 if database.engine.dialect.name == "postgresql" else None)


@pytest.mark.parametrize("attribute", [Thing.number, Thing.renamed])
def test_an_attribute_whose_column_has_another_name_is_refused_by_name(attribute: Any) -> None:
    """SQLAlchemy's rows have the attribute's name, the driver's would have the column's."""
    with pytest.raises(NotPreparableError, match=f"{attribute.key}, whose column is called"):
        Prepared(select(Thing.id, attribute))
