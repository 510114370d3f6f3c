"""Converts values from the driver as SQLAlchemy's types do."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

from sqlalchemy import Dialect
from sqlalchemy.types import TypeEngine

type Processor = Callable[[Any], Any] | None

# PostgreSQL's type codes, on which what is done with numbers depends: a statement does not tell them before it runs.
OIDS = {Decimal: 1700, float: 701, int: 20}


def result_processor(type_: TypeEngine[Any], dialect: Dialect) -> Processor:
    """What SQLAlchemy does with such values, None for nothing."""
    kind = type_.dialect_impl(dialect)
    by_class = {class_: kind.result_processor(dialect, oid) for class_, oid in OIDS.items()}
    if not any(by_class.values()) or not is_number(type_):
        return by_class[Decimal]

    def process(value: Any) -> Any:
        change = by_class.get(type(value))
        return value if change is None else change(value)

    return process


def is_number(type_: TypeEngine[Any]) -> bool:
    try:
        return issubclass(type_.python_type, Decimal | float)
    except NotImplementedError:
        return False
