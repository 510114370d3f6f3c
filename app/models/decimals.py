"""Exact decimals on both databases, and expressions that the databases compute with them."""

from decimal import Decimal
from typing import Any

from sqlalchemy import BigInteger, ColumnElement, Dialect, Numeric
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import TypeDecorator, TypeEngine


class FixedPoint(TypeDecorator[Decimal]):
    """An exact decimal: NUMERIC, or on SQLite, which has none, an integer of the smallest unit."""

    impl = Numeric
    cache_ok = True

    def __init__(self, precision: int, scale: int) -> None:
        super().__init__(precision, scale)
        self.precision = precision
        self.scale = scale

    @property
    def python_type(self) -> type[Decimal]:
        return Decimal

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        return dialect.type_descriptor(BigInteger() if dialect.name == "sqlite" else self.impl_instance)

    def process_bind_param(self, value: Decimal | None, dialect: Dialect) -> Any:
        return int(value.scaleb(self.scale)) if value is not None and dialect.name == "sqlite" else value

    def process_result_value(self, value: Any, dialect: Dialect) -> Decimal | None:
        return Decimal(value).scaleb(-self.scale) if value is not None and dialect.name == "sqlite" else value

    def bind_processor(self, dialect: Dialect) -> Any:
        return super().bind_processor(dialect) if dialect.name == "sqlite" else None

    def result_processor(self, dialect: Dialect, coltype: object) -> Any:
        return super().result_processor(dialect, coltype) if dialect.name == "sqlite" else None


class Trimmed(FixedPoint):
    """Formatted as clients see it: 0.19, not 0.1900."""

    cache_ok = True

    def process_result_value(self, value: Any, dialect: Dialect) -> Decimal | None:
        found = super().process_result_value(value, dialect)
        return None if found is None else found.normalize()

    def column_expression(self, column: ColumnElement[Any]) -> ColumnElement[Any]:
        return Trim(column, type_=self)


class Trim(FunctionElement[Decimal]):
    """Without trailing zeros: PostgreSQL trims them itself; SQLite's integer is scaled here."""

    inherit_cache = True

    def __init__(self, column: ColumnElement[Any], *, type_: FixedPoint) -> None:
        super().__init__(column)
        self.type = type_


@compiles(Trim)
def trim_scale(element: Trim, compiler: SQLCompiler, **options: Any) -> str:
    return f"trim_scale({compiler.process(element.clauses, **options)})"


@compiles(Trim, "sqlite")
def leave_integer(element: Trim, compiler: SQLCompiler, **options: Any) -> str:
    return compiler.process(element.clauses, **options)


class WithTax(FunctionElement[Decimal]):
    """A price with its tax, rounded half up, as the database computes it."""

    inherit_cache = True
    type = FixedPoint(12, 2)


@compiles(WithTax)
def round_numeric(element: WithTax, compiler: SQLCompiler, **options: Any) -> str:
    price, rate = (compiler.process(clause, **options) for clause in element.clauses)
    return f"round({price} * (1 + {rate}), 2)"


@compiles(WithTax, "sqlite")
def round_integers(element: WithTax, compiler: SQLCompiler, **options: Any) -> str:
    """On SQLite prices are stored as cents, and rates as ten-thousandths."""
    price, rate = (compiler.process(clause, **options) for clause in element.clauses)
    return f"({price} * (10000 + {rate}) + 5000) / 10000"
