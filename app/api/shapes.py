"""Answers made of rows: what the schema names of them, as JSON, and not validated again."""

from collections.abc import Callable, Sequence
from operator import itemgetter
from typing import Any, cast, get_args, get_origin

from pydantic import BaseModel, GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema

from app.core.prepared import Row

type Pick = Callable[[Sequence[Row]], list[dict[str, Any]]]


class Shaped(dict[str, Any]):
    """An answer in the form of its schema: it only needs to be written."""


class FromRows:
    """Stands beside a response model: `Annotated[ItemRead, FromRows()]`.

    Rows hold what the database has checked; to check it once more would cost more than to read it. Only fields of the
    schema are shown of a row. What is no row goes Pydantic's own way.
    """

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        shape = Shape(source)
        return core_schema.no_info_wrap_validator_function(
            lambda value, validate: shape.of(value) or validate(value),
            handler(source),
            serialization=core_schema.wrap_serializer_function_ser_schema(
                lambda value, serialize: value if type(value) is Shaped else serialize(value)
            ),
        )


class Shape:
    """How a schema, or a page of a schema, shows rows."""

    def __init__(self, model: Any) -> None:
        self.model = model
        self.fields = tuple(model.model_fields) if is_schema(model) else ()
        self.lists = lists_of(model)
        self.picks: dict[tuple[str, type[Row]], Pick] = {}

    def of(self, value: Any) -> Shaped | None:
        """None where there are no rows to show."""
        if isinstance(value, Row):
            (picked,) = self.pick("", self.model, value)([value])
            return Shaped(picked)
        if type(value) is not dict:
            return None
        for name, model in self.lists.items():
            rows = value.get(name)
            if rows and isinstance(rows[0], Row):
                pick = self.pick(name, model, rows[0])
                shown = Shaped({field: value[field] for field in self.fields})
                shown[name] = pick(rows)
                return shown
        return None

    def pick(self, name: str, model: type[BaseModel], row: Row) -> Pick:
        key = (name, type(row))
        if key not in self.picks:
            self.picks[key] = picker(model, row._fields)
        return self.picks[key]


def lists_of(model: Any) -> dict[str, type[BaseModel]]:
    """The fields of a page that hold its rows, and the schema of each."""
    if not is_schema(model):
        return {}
    of = {name: field.annotation for name, field in model.model_fields.items()}
    return {
        name: get_args(kind)[0]
        for name, kind in of.items()
        if get_origin(kind) is list and is_schema(get_args(kind)[0])
    }


def picker(model: type[BaseModel], columns: tuple[str, ...], prefix: str = "") -> Pick:
    """What `model` shows of rows. The fields of a model within it are columns with its name before theirs.

    Raises:
        TypeError: if a column is missing.
    """
    names = [name for name in model.model_fields if prefix + name in columns]
    nested = {
        name: picker(cast(type[BaseModel], field.annotation), columns, f"{prefix}{name}_")
        for name, field in model.model_fields.items()
        if name not in names and is_schema(field.annotation)
    }
    if missing := model.model_fields.keys() - {*names, *nested}:
        raise TypeError(f"{model.__name__} shows {', '.join(sorted(missing))}, which the row does not have")
    places = [columns.index(prefix + name) for name in names]
    values = itemgetter(*places) if len(places) > 1 else lambda row: [row[place] for place in places]

    def pick(rows: Sequence[Row]) -> list[dict[str, Any]]:
        picked: list[dict[str, Any]] = [dict(zip(names, values(row), strict=True)) for row in rows]
        for name, pick_inner in nested.items():
            for each, inner in zip(picked, pick_inner(rows), strict=True):
                each[name] = inner
        return picked

    return pick


def is_schema(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)
