"""Checks that a statement runs on the driver as in SQLAlchemy; others are refused by name."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from sqlalchemy import BindParameter, CompoundSelect, Delete, Enum, Insert, Integer, Select, String, Update, UpdateBase
from sqlalchemy.sql.selectable import TextualSelect
from sqlalchemy.sql.visitors import iterate

KINDS = (Select, CompoundSelect, Insert, Update, Delete, TextualSelect)


class NotPreparableError(TypeError):
    """A statement that would do something else on the driver than in SQLAlchemy."""


def check_statement(statement: Any, inserts: Sequence[str]) -> frozenset[str]:
    """Return the names of its parameters."""
    parts = list(iterate(statement))
    if not isinstance(statement, KINDS):
        raise NotPreparableError(f"{type(statement).__name__} cannot be prepared")
    if statement.get_execution_options():
        raise NotPreparableError(f"execution options: {', '.join(statement.get_execution_options())}")
    if any(isinstance(part, UpdateBase) and part is not statement for part in parts):
        raise NotPreparableError("a statement that writes within another one")
    check_entities(statement)
    if isinstance(statement, Insert):
        check_insert(statement, inserts)
    return check_parameters([part for part in parts if isinstance(part, BindParameter)])


def check_entities(statement: Any) -> None:
    """SQLAlchemy would make entities of rows, or write as its unit of work does."""
    if isinstance(statement, Select):
        entities = [each["name"] for each in statement.column_descriptions if each["expr"] is each.get("entity", ())]
    else:
        written = getattr(statement, "entity_description", {})
        entities = [written["name"]] if "entity" in written and written["entity"] is not written["table"] else []
    if entities:
        raise NotPreparableError(f"the entity {entities[0]}: name its columns, and write to its table")
    if isinstance(statement, Select):
        check_names(statement)


def check_names(statement: Select[Any]) -> None:
    """A mapped attribute may have another name than its column, by which SQLAlchemy's rows know it."""
    for described, column in zip(statement.column_descriptions, statement.exported_columns, strict=True):
        if described["name"] != column.key:
            raise NotPreparableError(f"{described['name']}, whose column is called {column.key}: give it a label")


def check_insert(statement: Any, inserts: Sequence[str]) -> None:
    # Neither has a public name; tests tell when it is another one.
    if statement._multi_values or statement._sort_by_parameter_order:  # noqa: SLF001 - see above
        raise NotPreparableError("an INSERT of several rows")
    values = {getattr(column, "key", column) for column in statement._values or ()}  # noqa: SLF001 - as above
    if inserts and statement.select is None and values != set(inserts):
        raise NotPreparableError(f"an INSERT of {', '.join(sorted(values))}, but `inserts` says {', '.join(inserts)}")


def check_parameters(parameters: Sequence[BindParameter[Any]]) -> frozenset[str]:
    kinds = defaultdict(set)
    for parameter in parameters:
        if parameter.expanding or parameter.literal_execute:
            raise NotPreparableError(
                f"the parameter {parameter.key} expands: give it as `any_of` does, one for each value"
            )
        if parameter.callable is not None:
            raise NotPreparableError(f"the parameter {parameter.key} calls a function for its value")
        kinds[parameter.key].add(type(parameter.type))
    for name, types in kinds.items():
        # They share one value, which SQLAlchemy would change as the last of them does.
        if len(types) > 1 and not all(is_plain(kind) for kind in types):
            raise NotPreparableError(
                f"the parameter {name} has several types: {', '.join(sorted(kind.__name__ for kind in types))}"
            )
    return frozenset(parameter.key for parameter in parameters if parameter.required)


def is_plain(kind: type) -> bool:
    return issubclass(kind, String | Integer) and not issubclass(kind, Enum)
