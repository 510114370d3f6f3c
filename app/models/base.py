"""What all tables share: naming, keys, timestamps, versions and column types."""

from datetime import UTC, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Any, ClassVar

from sqlalchemy import BigInteger, DateTime, Dialect, Enum, Integer, MetaData, String, Text
from sqlalchemy.engine.default import DefaultExecutionContext
from sqlalchemy.orm import DeclarativeBase, Mapped, MappedAsDataclass, declared_attr, mapped_column
from sqlalchemy.types import TypeDecorator

from app.core.clock import utc_now
from app.models.decimals import FixedPoint, Trimmed


class UTCDateTime(TypeDecorator[datetime]):
    """An aware timestamp in UTC; SQLite stores no time zone and always holds UTC."""

    impl = DateTime(timezone=True)
    cache_ok = True

    @property
    def python_type(self) -> type[datetime]:
        return datetime

    def bind_processor(self, dialect: Dialect) -> Any:
        # PostgreSQL accepts aware timestamps in any time zone.
        return super().bind_processor(dialect) if dialect.name == "sqlite" else None

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return value if value is None else value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return value if value is None or value.tzinfo else value.replace(tzinfo=UTC)

    def result_processor(self, dialect: Dialect, coltype: object) -> Any:
        # PostgreSQL returns aware UTC timestamps already, and lists have many of them.
        return super().result_processor(dialect, coltype) if dialect.name == "sqlite" else None


Money = Annotated[Decimal, mapped_column(FixedPoint(12, 2))]
TotalMoney = Annotated[Decimal, mapped_column(FixedPoint(16, 2))]
Rate = Annotated[Decimal, mapped_column(Trimmed(5, 4))]
Str100 = Annotated[str, mapped_column(String(100))]
Str255 = Annotated[str, mapped_column(String(255))]
Str2000 = Annotated[str, mapped_column(String(2000))]
LongText = Annotated[str, mapped_column(Text)]


def enum_type(names: type[StrEnum], length: int) -> Enum:
    """An enum stored as text: a new member needs no ALTER TYPE, and the length leaves room for longer names."""
    return Enum(
        names, native_enum=False, length=length, values_callable=lambda members: [str(name) for name in members]
    )


def created_at_of(context: DefaultExecutionContext) -> datetime:
    """`updated_at` of a new row equals its `created_at`, to the microsecond."""
    created_at: datetime = context.get_current_parameters()["created_at"]  # type: ignore[no-untyped-call] # has no types
    return created_at


class Base(MappedAsDataclass, DeclarativeBase, kw_only=True):
    """A table with a BIGINT key that is never reused, and timestamps."""

    metadata = MetaData(
        naming_convention={
            "pk": "pk_%(table_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
        }
    )
    type_annotation_map: ClassVar = {datetime: UTCDateTime}

    @declared_attr.directive
    def __table_args__(cls) -> Any:  # noqa: N805 - SQLAlchemy calls it with the class
        return table_args()

    id: Mapped[int] = mapped_column(
        BigInteger().with_variant(Integer, "sqlite"), primary_key=True, init=False, sort_order=-1
    )
    created_at: Mapped[datetime] = mapped_column(init=False, insert_default=utc_now, sort_order=1)
    updated_at: Mapped[datetime] = mapped_column(
        init=False, insert_default=created_at_of, onupdate=utc_now, sort_order=1
    )


def table_args(*constraints: Any, **info: Any) -> tuple[Any, ...]:
    """A model's `__table_args__`. Without AUTOINCREMENT SQLite would reuse the id of a deleted row."""
    return (*constraints, {"sqlite_autoincrement": True, "info": info})


class ExpiringBase(Base):
    """A table whose rows are purged after `expires_at` (`app/services/purge.py`)."""

    __abstract__ = True

    expires_at: Mapped[datetime] = mapped_column(index=True)


class Versioned(MappedAsDataclass, kw_only=True):
    """Counts the writes to a row: the ETag of the resource, and the guard against lost updates."""

    version: Mapped[int] = mapped_column(init=False)

    @declared_attr.directive
    def __mapper_args__(cls) -> dict[str, Any]:  # noqa: N805 - SQLAlchemy calls it with the class
        return {"version_id_col": cls.version}
