"""Filters of lists: each field says once which rows it leaves, as a condition with a parameter."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple, dataclass_transform, get_args, get_type_hints

from sqlalchemy import BindParameter, ColumnElement, Dialect, String, TypeDecorator, bindparam, false, true, type_coerce
from sqlalchemy.orm import InstrumentedAttribute
from sqlalchemy.sql.visitors import iterate

from app.crud.planning import force_custom_plan

# Parameters of the list's own.
RESERVED = {"skip", "after_value", "after_id", "last_id"}

type Column = InstrumentedAttribute[Any]


@dataclass(frozen=True, slots=True)
class Condition:
    """`write` makes SQL of a parameter, or for `any_of` of several."""

    write: Callable[[Any], Any]
    is_list: bool = False


def where(write: Callable[[Any], Any]) -> Any:
    """Whatever `write` says of the parameter that it is called with, which has no value yet."""
    return Condition(write)


def equals(column: Column) -> Any:
    return Condition(lambda parameter: column == parameter)


def at_least(column: Column) -> Any:
    return Condition(lambda parameter: column >= parameter)


def at_most(column: Column) -> Any:
    return Condition(lambda parameter: column <= parameter)


def after(column: Column) -> Any:
    return Condition(lambda parameter: column > parameter)


def before(column: Column) -> Any:
    return Condition(lambda parameter: column < parameter)


def any_of(column: Column) -> Any:
    """One of several values; of none, no row."""
    return Condition(lambda parameters: column.in_(parameters) if parameters else false(), is_list=True)


@dataclass_transform(frozen_default=True)
class Filter:
    """A frozen dataclass of its annotated fields, each with a condition; None filters nothing.

    A field whose type has no None is required. A condition never sees a value: one statement serves all of them.
    """

    conditions: ClassVar[dict[str, Condition]] = {}
    required: ClassVar[tuple[str, ...]] = ()

    def __init_subclass__(cls) -> None:
        hints = {name: hint for name, hint in get_type_hints(cls).items() if name not in get_type_hints(Filter)}
        cls.conditions = {name: condition_of(cls, name) for name in hints}
        cls.required = tuple(name for name, hint in hints.items() if type(None) not in get_args(hint))
        for name in set(cls.required) & vars(cls).keys():
            delattr(cls, name)
        for name in hints.keys() & vars(cls).keys():
            setattr(cls, name, None)
        dataclass(frozen=True)(cls)

    def __post_init__(self) -> None:
        for name in self.required:
            if getattr(self, name) is None:
                raise TypeError(f"{type(self).__name__}.{name} must not be None: it would filter nothing")

    def narrowed(self) -> tuple["FilterShape", dict[str, Any]]:
        """The shape of the fields that narrow the list, and the values of its parameters."""
        forms: list[tuple[str, Any]] = []
        values: dict[str, Any] = {}
        for name, condition in self.conditions.items():
            value = getattr(self, name)
            if value is None:
                continue
            if condition.is_list:
                padded = pad(list(value))
                forms.append((name, len(padded)))
                values.update(zip(numbered(name, len(padded)), padded, strict=True))
            elif type(value) is bool:
                forms.append((name, value))
            else:
                forms.append((name, None))
                values[name] = value
        return FilterShape(type(self), tuple(forms)), values


class FilterShape(NamedTuple):
    """What two filters have in common that are the same SQL."""

    filter_: type[Filter]
    # Of each field that narrows: how many values it has, or the one that stands in the statement as it is.
    forms: tuple[tuple[str, int | None], ...]

    def conditions(self) -> list[ColumnElement[bool]]:
        conditions = self.filter_.conditions
        return force_custom_plan([conditions[name].write(self.operand(name, form)) for name, form in self.forms])

    def operand(self, name: str, form: int | None) -> Any:
        if self.filter_.conditions[name].is_list:
            return [bindparam(each) for each in numbered(name, form or 0)]
        # PostgreSQL would take a parameter for either.
        literal_bools: dict[int | None, ColumnElement[bool]] = {None: bindparam(name), True: true(), False: false()}
        return literal_bools[form]


def condition_of(cls: type[Filter], name: str) -> Condition:
    """Raises TypeError where there is none, or none that depends on its parameter."""
    condition = getattr(cls, name, None) or cls.conditions.get(name)
    if not isinstance(condition, Condition):
        raise TypeError(f"{cls.__name__}.{name} has no condition: give it one, as in `equals(Model.{name})`")
    if name in RESERVED:
        raise TypeError(f"{cls.__name__}.{name} is what a parameter of the list is called")
    probe: BindParameter[Any] = bindparam(name)
    written = condition.write([probe] if condition.is_list else probe)
    if not any(isinstance(part, BindParameter) and part.key == name for part in iterate(written)):
        raise TypeError(f"the condition of {cls.__name__}.{name} does not depend on its parameter")
    return condition


def numbered(name: str, count: int) -> list[str]:
    return [f"{name}__{number}" for number in range(count)]


def pad(values: list[Any]) -> list[Any]:
    """The last one again, until there are so many that few lists differ in their number."""
    count = 1 << (len(values) - 1).bit_length() if values else 0
    return [*values, *values[-1:] * (count - len(values))]


class Containing(TypeDecorator[str]):
    """A text to look for, as the pattern that finds it: `%` and `_` are characters like any other."""

    impl = String
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:  # noqa: ARG002 - SQLAlchemy's signature
        return None if value is None else f"%{re.sub(r'([/%_])', r'/\1', value)}%"


def contains(column: Column, text: Any) -> ColumnElement[bool]:
    """Whether a column has the text somewhere, in any letter case."""
    return column.ilike(type_coerce(text, Containing()), escape="/")
