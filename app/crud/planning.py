"""Statements that PostgreSQL is to plan each time by the values of their parameters.

After five times it decides for good whether one plan for whatever values does as well, by what the planner guesses that
they cost. For a word that it knows nothing of, the guess may be wrong a hundredfold: a search for what is rare would
read the table from the newest row to the oldest, since that is good for what is frequent.
"""

from typing import Any

from sqlalchemy import BinaryExpression, BindParameter, Boolean, ColumnElement, or_
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql import operators
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.visitors import iterate


class Unaffordable(ColumnElement[bool]):
    """Something that a planner takes for dearer than any list; nobody runs it."""

    inherit_cache = True
    type = Boolean()


@compiles(Unaffordable)
def compile_nowhere(_: Unaffordable, __: SQLCompiler, **___: Any) -> str:
    return "1 = 0"


@compiles(Unaffordable, "postgresql")
def compile_on_postgresql(_: Unaffordable, __: SQLCompiler, **___: Any) -> str:
    return "(SELECT count(*) FROM generate_series(1, 1000000000)) = 0"


def force_custom_plan(conditions: list[ColumnElement[bool]]) -> list[ColumnElement[bool]]:
    """The conditions, and one that is always true, if the right plan depends on the values that they compare with.

    With its value at hand PostgreSQL sees that `value IS NOT NULL OR …` is true and drops it; a plan for any value has
    to reckon with the other half.
    """
    telling = [parameter for condition in conditions for parameter in parameters_that_tell(condition)]
    return [*conditions, or_(telling[0].is_not(None), Unaffordable())] if telling else conditions


def parameters_that_tell(condition: ColumnElement[bool]) -> list[BindParameter[Any]]:
    """None where it does not matter much what the value is: most owners have about as many items.

    Of a word or a range it does: one may be in every row, the next in none.
    """
    if isinstance(condition, BinaryExpression) and condition.operator is operators.eq:
        return []
    return [part for part in iterate(condition) if isinstance(part, BindParameter)]
