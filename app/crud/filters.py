"""Filters of lists: each field declares its condition once, as SQL with a parameter."""

import operator
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple, dataclass_transform, get_args, get_type_hints

from sqlalchemy import BindParameter, ColumnElement, Dialect, String, TypeDecorator, bindparam, false, true, type_coerce
from sqlalchemy.orm import InstrumentedAttribute
from sqlalchemy.sql.visitors import iterate

from app.crud.planning import force_custom_plan

# Parameters of the list's own.
RESERVED = {"skip", "after_value", "after_id", "last_id"}

type Column = InstrumentedAttribute[Any]
# The names of a field's parameters, or a boolean that is written into the statement: its plan depends on it.
type Form = tuple[str, ...] | bool


@dataclass(frozen=True, slots=True)
class Condition:
    """`write` makes SQL of a parameter, or for `any_of` of several."""

    write: Callable[[Any], ColumnElement[bool]]
    is_list: bool = False

    def written(self, form: Form) -> ColumnElement[bool]:
        if isinstance(form, bool):
            return self.write(true() if form else false())
        parameters: list[Any] = [bindparam(name) for name in form]
        return self.write(parameters if self.is_list else parameters[0])


def where(write: Callable[[Any], Any]) -> Any:
    """Whatever `write` says of the parameter that it is called with, which has no value yet."""
    return Condition(write)


def compares(compare: Callable[[Any, Any], Any]) -> Callable[[Column], Any]:
    return lambda column: Condition(lambda parameter: compare(column, parameter))


equals, after, before = compares(operator.eq), compares(operator.gt), compares(operator.lt)
at_least, at_most = compares(operator.ge), compares(operator.le)


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
        forms: list[tuple[str, Form]] = []
        values: dict[str, Any] = {}
        for name, condition in self.conditions.items():
            value = getattr(self, name)
            if value is None:
                continue
            if type(value) is bool:
                forms.append((name, value))
            else:
                given = numbered(name, list(value)) if condition.is_list else {name: value}
                forms.append((name, tuple(given)))
                values |= given
        return FilterShape(type(self), tuple(forms)), values


class FilterShape(NamedTuple):
    """What two filters have in common that are the same SQL: the form of each field that narrows."""

    filter_: type[Filter]
    forms: tuple[tuple[str, Form], ...]

    def conditions(self) -> list[ColumnElement[bool]]:
        return force_custom_plan([self.filter_.conditions[name].written(form) for name, form in self.forms])


def condition_of(cls: type[Filter], name: str) -> Condition:
    """Raises TypeError where there is none, or none that depends on its parameter."""
    condition = getattr(cls, name, None) or cls.conditions.get(name)
    if not isinstance(condition, Condition):
        raise TypeError(f"{cls.__name__}.{name} has no condition: give it one, as in `equals(Model.{name})`")
    if name in RESERVED:
        raise TypeError(f"{cls.__name__}.{name} is what a parameter of the list is called")
    parts = iterate(condition.written((name,)))
    if not any(isinstance(part, BindParameter) and part.key == name for part in parts):
        raise TypeError(f"the condition of {cls.__name__}.{name} does not depend on its parameter")
    return condition


def numbered(name: str, values: Sequence[Any]) -> dict[str, Any]:
    """A parameter for each value; the last value is repeated up to a power of two, so that few statements differ."""
    count = 1 << (len(values) - 1).bit_length() if values else 0
    return {f"{name}__{number}": values[min(number, len(values) - 1)] for number in range(count)}


class Containing(TypeDecorator[str]):
    """A text to look for, as the pattern that finds it: `%` and `_` are characters like any other."""

    impl = String
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:  # noqa: ARG002 - SQLAlchemy's signature
        return None if value is None else f"%{re.sub(r'([/%_])', r'/\1', value)}%"


def contains(column: Column, text: Any) -> ColumnElement[bool]:
    """Whether a column has the text somewhere, in any letter case."""
    return column.ilike(type_coerce(text, Containing()), escape="/")
