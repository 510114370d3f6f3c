"""Rows and inserts with static types, checked against the columns of their model."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from types import UnionType, get_original_bases
from typing import Any, ClassVar, dataclass_transform, get_args, get_origin, get_type_hints

from sqlalchemy import Column, ColumnElement, inspect

from app.models.base import Base

# A field of an `Insert` that is left out: the column's default stands.
UNSET: Any = type("Unset", (), {"__repr__": lambda _: "UNSET", "__slots__": ()})()
# Beside what a row shows, for the list's own use.
TOTAL = "rows_in_total"


class StoredRow:
    """What a CRUD object reads; a subclass annotates what is shown beside this, and mypy refuses the rest."""

    id: int
    created_at: datetime
    updated_at: datetime


class VersionedRow(StoredRow):
    version: int


@dataclass_transform(kw_only_default=True, frozen_default=True)
class Insert[M: Base]:
    """A new row: a frozen dataclass of columns, whose subclasses annotate what can be given."""

    keys: ClassVar[dict[str, str]] = {}

    def __init_subclass__(cls) -> None:
        (model,) = get_args(get_original_bases(cls)[0])
        columns = columns_by_attribute(model)
        names = [name for name in get_type_hints(cls) if name != "keys"]
        if unknown := [name for name in names if name not in columns]:
            raise TypeError(f"{cls.__name__}.{unknown[0]} is no column of {model.__tablename__}")
        if missing := [name for name, column in columns.items() if needs_value(column) and name not in names]:
            raise TypeError(f"{cls.__name__} lacks {missing[0]}, which has no default")
        cls.keys = {name: columns[name].key for name in names}
        dataclass(frozen=True, kw_only=True)(cls)

    def values(self) -> dict[str, Any]:
        """By the keys of columns."""
        keys = self.keys
        return {keys[name]: value for name, value in vars(self).items() if value is not UNSET}


def columns_by_attribute(model: type[Base]) -> dict[str, Column[Any]]:
    """All that is stored, and no `column_property`."""
    return {name: column for name, column in inspect(model).columns.items() if hasattr(column, "nullable")}


def needs_value(column: Column[Any]) -> bool:
    has_value = column.nullable or column.primary_key or column.key == "version"
    return not has_value and column.default is None and column.server_default is None


def shown_columns(model: type[Base], row: type[StoredRow], computed: Mapping[str, Any]) -> list[ColumnElement[Any]]:
    """What a row shows, in the order of its annotations.

    Raises:
        TypeError: naming an annotation that is no such column.
    """
    hints = get_type_hints(row)
    columns = columns_by_attribute(model)
    if wrong := [name for name in hints if name not in {*columns, *computed} or name == TOTAL]:
        raise TypeError(f"{row.__name__}.{wrong[0]} is no column of {model.__tablename__}, and not computed")
    if wrong := [name for name in computed if name not in hints]:
        raise TypeError(f"{wrong[0]} is computed, but {row.__name__} does not show it")
    for name in hints.keys() - computed.keys():
        check_type(f"{row.__name__}.{name}", hints[name], columns[name])
    shown = {**columns, **computed}
    return [shown[name].label(name) if name in computed or columns[name].key != name else shown[name] for name in hints]


def check_type(name: str, hint: Any, column: Column[Any]) -> None:
    kinds = set(get_args(hint)) if get_origin(hint) is UnionType else {hint}
    if (type(None) in kinds) is not column.nullable:
        raise TypeError(f"{name} says None {'can' if type(None) in kinds else 'cannot'} be, the column says otherwise")
    try:
        stored = column.type.python_type
    except NotImplementedError:
        return
    if stored is object:
        return
    classes = [get_origin(kind) or kind for kind in kinds - {type(None)}]
    if not any(isinstance(kind, type) and issubclass(stored, kind) for kind in classes):
        raise TypeError(f"{name} is annotated {hint}, but the column has {stored.__name__}")
