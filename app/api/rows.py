"""JSON responses made from rows: the fields of the schema, without validating them again."""

from collections.abc import Callable, Sequence
from operator import itemgetter
from typing import Annotated, Any, cast, get_args, get_origin

from msgspec import defstruct, to_builtins
from msgspec.json import Encoder
from pydantic import BaseModel, GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema

from app.core.db.prepared import Row

# Structs are written, and made, several times as fast as dictionaries.
type MakeStructs = Callable[[Sequence[Row]], list[Any]]

ENCODER = Encoder(decimal_format="string")


class Encoded(dict[str, Any]):
    """What a row or a page becomes, of nothing but JSON's own types: it only needs to be written."""


class FromRows:
    """Stands beside a response model: `Annotated[ItemRead, FromRows()]`.

    Rows hold what the database has checked; to check it once more would cost more than to read it. Only fields of the
    schema are shown of a row. What is no row goes Pydantic's own way.
    """

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        encoder = RowEncoder(source)

        def validate(value: Any, validate_otherwise: Callable[[Any], Any]) -> Any:
            content = encoder.content(value)
            return validate_otherwise(value) if content is None else Encoded(to_builtins(content))

        return core_schema.no_info_wrap_validator_function(
            validate,
            handler(source),
            serialization=core_schema.wrap_serializer_function_ser_schema(
                lambda value, serialize: value if type(value) is Encoded else serialize(value)
            ),
        )


class RowEncoder:
    """How a schema, or a page of a schema, shows rows."""

    def __init__(self, model: Any) -> None:
        self.model = model
        self.fields = tuple(model.model_fields) if is_schema(model) else ()
        self.lists = lists_of(model)
        self.makers: dict[tuple[str, type[Row]], MakeStructs] = {}

    @classmethod
    def of(cls, response_model: Any) -> "RowEncoder | None":
        """That of a model which is marked by `FromRows`."""
        model, *marks = get_args(response_model) if get_origin(response_model) is Annotated else (None,)
        return cls(model) if any(isinstance(mark, FromRows) for mark in marks) else None

    def encode(self, value: Any) -> bytes | None:
        """None where there are no rows to show."""
        content = self.content(value)
        return None if content is None else ENCODER.encode(content)

    def content(self, value: Any) -> Any:
        """Structs of what is shown, for msgspec to write; None where there are no rows."""
        if isinstance(value, Row):
            return self.structs("", self.model, [value])[0]
        if type(value) is not dict:
            return None
        for name, model in self.lists.items():
            rows = value.get(name)
            if rows and isinstance(rows[0], Row):
                page = {field: value[field] for field in self.fields}
                page[name] = self.structs(name, model, rows)
                return page
        return None

    def structs(self, name: str, model: type[BaseModel], rows: Sequence[Row]) -> list[Any]:
        key = (name, type(rows[0]))
        if key not in self.makers:
            self.makers[key] = maker(model, rows[0]._fields)
        return self.makers[key](rows)


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


def maker(model: type[BaseModel], columns: tuple[str, ...], prefix: str = "") -> MakeStructs:
    """What `model` shows of rows. The fields of a model within it are columns with its name before theirs.

    Raises:
        TypeError: if a column is missing.
    """
    names = [name for name in model.model_fields if prefix + name in columns]
    nested = {
        name: maker(cast(type[BaseModel], field.annotation), columns, f"{prefix}{name}_")
        for name, field in model.model_fields.items()
        if name not in names and is_schema(field.annotation)
    }
    if missing := model.model_fields.keys() - {*names, *nested}:
        raise TypeError(f"{model.__name__} shows {', '.join(sorted(missing))}, which the row does not have")
    places = [columns.index(prefix + name) for name in names]
    values = itemgetter(*places) if len(places) > 1 else lambda row: [row[place] for place in places]
    struct = defstruct(model.__name__, [*names, *nested], gc=False)
    inner = list(nested.values())

    def make(rows: Sequence[Row]) -> list[Any]:
        if not inner:
            return [struct(*values(row)) for row in rows]
        within = zip(*(make_inner(rows) for make_inner in inner), strict=True)
        return [struct(*values(row), *more) for row, more in zip(rows, within, strict=True)]

    return make


def is_schema(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)
