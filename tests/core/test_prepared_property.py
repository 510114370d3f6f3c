"""Random tables and statements: `fetch` on the driver finds and stores what SQLAlchemy does."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum as PythonEnum
from itertools import count
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.strategies import DataObject, SearchStrategy
from sqlalchemy import (
    ARRAY,
    JSON,
    BigInteger,
    Boolean,
    Column,
    Date,
    DateTime,
    Enum,
    Float,
    Integer,
    Interval,
    LargeBinary,
    MetaData,
    Numeric,
    Sequence,
    String,
    Table,
    Text,
    Time,
    Uuid,
    bindparam,
    func,
    literal,
    or_,
    select,
)
from sqlalchemy.types import TypeEngine

from app.core.config.settings import Settings
from app.core.db.engine import Database
from app.core.db.prepared import Prepared
from app.core.db.session import fetch
from app.models.base import UTCDateTime
from app.models.decimals import FixedPoint, Trimmed

pytestmark = pytest.mark.real_database

TEXTS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=5)
MOMENTS = st.datetimes(datetime(1900, 1, 1), datetime(2200, 1, 1))  # noqa: DTZ001 - a zone comes with the column
CENTS = st.decimals(-999, 999, places=2)
NUMBERS = count()


class Mood(PythonEnum):
    GOOD = "good"
    BAD = "bad"


@dataclass(frozen=True)
class Kind:
    """A type of column, and its values."""

    type_: TypeEngine[Any]
    values: SearchStrategy[Any]


KINDS = [
    Kind(Integer(), st.integers(-(2**31), 2**31 - 1)),
    Kind(BigInteger(), st.integers(-(2**63), 2**63 - 1)),
    Kind(String(20), TEXTS),
    Kind(Text(), TEXTS),
    Kind(Boolean(), st.booleans()),
    Kind(Numeric(12, 2), CENTS),
    Kind(Numeric(12, 2, asdecimal=False), CENTS.map(float)),
    Kind(Float(), st.floats(-1e9, 1e9)),
    Kind(Float(asdecimal=True), CENTS),
    Kind(FixedPoint(12, 2), CENTS),
    Kind(Trimmed(5, 4), st.decimals(-9, 9, places=4)),
    Kind(Date(), st.dates()),
    Kind(Time(), st.times()),
    Kind(DateTime(), MOMENTS),
    Kind(DateTime(timezone=True), MOMENTS.map(lambda each: each.replace(tzinfo=UTC))),
    Kind(UTCDateTime(), MOMENTS.map(lambda each: each.replace(tzinfo=UTC))),
    Kind(Interval(), st.timedeltas(timedelta(-9999), timedelta(9999))),
    Kind(LargeBinary(), st.binary(max_size=5)),
    Kind(Uuid(), st.uuids()),
    Kind(Uuid(as_uuid=False), st.uuids().map(str)),
    Kind(JSON(), st.recursive(st.none() | st.booleans() | st.integers(0, 9) | TEXTS, st.lists, max_leaves=3)),
    Kind(Enum(Mood, native_enum=False, length=8), st.sampled_from(Mood)),
    Kind(Enum(Mood, name="mood"), st.sampled_from(Mood)),
    Kind(ARRAY(Integer()), st.lists(st.integers(0, 9), max_size=3)),
    Kind(ARRAY(Text()), st.lists(TEXTS, max_size=3)),
]
DEFAULTS = ("none", "scalar", "called", "of_context", "sql", "server", "sequence")


@pytest.fixture
async def database(real_settings: Settings) -> AsyncIterator[Database]:
    if real_settings.database.get_backend_name() != "postgresql":
        pytest.skip("SQLite has no driver path: `fetch` calls `session.execute`, with which this compares it")
    database = Database(real_settings)
    yield database
    await database.close()


def always_seven() -> Sequence:
    """No rollback takes a sequence back: this one starts over each time."""
    return Sequence(f"sequence_{next(NUMBERS)}", start=7, increment=2, minvalue=7, maxvalue=8, cycle=True)


def plan_column(data: DataObject, number: int) -> tuple[Column[Any], Kind]:
    """With a default and an `onupdate` of any sort; its key may be another than its name."""
    kind, default = data.draw(st.sampled_from(KINDS)), data.draw(st.sampled_from(DEFAULTS))
    value, later = data.draw(kind.values), data.draw(kind.values)
    sorts: dict[str, dict[str, Any]] = {
        "none": {},
        "scalar": {"default": value if not isinstance(value, list | dict) else None},
        "called": {"default": lambda: value, "onupdate": lambda: later},
        "of_context": {"default": lambda context: value if context.get_current_parameters() else None},
        "sql": {"default": literal(value, kind.type_), "onupdate": literal(later, kind.type_)},
        "server": {"server_default": "7"} if isinstance(kind.type_, Integer | BigInteger) else {},
        "sequence": {"default": always_seven()} if isinstance(kind.type_, Integer | BigInteger) else {},
    }
    key = f"key_{number}" if data.draw(st.booleans()) else f"column_{number}"
    return Column(f"column_{number}", kind.type_, key=key, **sorts[default]), kind


def typed(rows: list[Any]) -> list[list[tuple[type, Any]]]:
    return [[(type(value), value) for value in row] for row in rows]


async def both(database: Database, prepared: Prepared, table: Table, values: dict[str, Any]) -> None:
    """By `fetch`, taken back, and by SQLAlchemy, taken back too: they return and store the same."""
    async with database.transaction() as session:
        one = typed(await fetch(session, prepared, **values))
        stored = typed(await fetch(session, Prepared(select(*table.c[1:]))))
        await session.rollback()
    async with database.transaction() as session:
        two = typed(list(await session.execute(prepared.statement, values)))
        assert one == two
        assert stored == typed(list(await session.execute(select(*table.c[1:]))))
        await session.rollback()


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
async def test_it_does_what_sqlalchemy_does(database: Database, data: DataObject) -> None:
    planned = [plan_column(data, number) for number in range(data.draw(st.integers(1, 6)))]
    table = Table(f"random_{next(NUMBERS)}", MetaData(), Column("id", Integer, primary_key=True))
    for column, _ in planned:
        table.append_column(column)
    # The id is of a sequence, which goes on where a transaction is taken back.
    shown = [column for column in table.c if column.key != "id"]
    async with database.engine.begin() as connection:
        await connection.run_sync(table.metadata.create_all)
    given_ = [pair for pair in planned if data.draw(st.booleans())] or planned[:1]
    values = {column.key: data.draw(st.none() | kind.values) for column, kind in given_}
    new = table.insert().values({column: bindparam(column.key) for column, _ in given_})
    changed = table.update().values({column: bindparam(column.key) for column, _ in given_})
    await both(database, Prepared(new.returning(*shown)), table, values)
    async with database.engine.begin() as connection:
        await connection.execute(new, values)
    await both(database, Prepared(changed.returning(*shown)), table, values)
    column, kind = data.draw(st.sampled_from(planned))
    # JSON has no `=`.
    condition = column.is_not(None) if isinstance(kind.type_, JSON) else column == bindparam("wanted")
    wanted = {} if isinstance(kind.type_, JSON) else {"wanted": data.draw(st.none() | kind.values)}
    found = select(*shown, func.count().over().label("n")).where(or_(condition, column.is_(None)))
    await both(database, Prepared(found), table, wanted)
    async with database.engine.begin() as connection:
        await connection.run_sync(table.metadata.drop_all)
