"""Conditions that make PostgreSQL plan a statement for the actual values of its parameters."""

from typing import Any

from sqlalchemy import BinaryExpression, BindParameter, Boolean, ColumnElement, or_
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql import operators
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.visitors import iterate


class Unaffordable(ColumnElement[bool]):
    """A condition that the planner estimates to cost more than any list; it is never executed."""

    inherit_cache = True
    type = Boolean()


@compiles(Unaffordable)
def compile_unaffordable(_: Unaffordable, compiler: SQLCompiler, **__: Any) -> str:
    is_planned = compiler.dialect.name == "postgresql"
    return "(SELECT count(*) FROM generate_series(1, 1000000000)) = 0" if is_planned else "1 = 0"


def force_custom_plan(conditions: list[ColumnElement[bool]]) -> list[ColumnElement[bool]]:
    """The conditions, and one that is always true, if the right plan depends on the values that they compare with.

    After five executions PostgreSQL may settle on a generic plan, by its estimate of what that costs. For a search the
    estimate may be wrong a hundredfold: the plan for a frequent word reads the table from the newest row on, and would
    read all of it for a rare one. With the value at hand PostgreSQL sees that `value IS NOT NULL OR …` is true and
    drops it; the cost of a generic plan includes the other half.
    """
    # Equality is left out: most owners have about as many items. A word or a range may match every row, or none.
    selective = [condition for condition in conditions if not is_equality(condition)]
    parameters = [part for each in selective for part in iterate(each) if isinstance(part, BindParameter)]
    return [*conditions, or_(parameters[0].is_not(None), Unaffordable())] if parameters else conditions


def is_equality(condition: ColumnElement[bool]) -> bool:
    return isinstance(condition, BinaryExpression) and condition.operator is operators.eq
