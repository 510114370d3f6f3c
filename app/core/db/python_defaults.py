"""Python-side `default` and `onupdate` values of columns that a statement leaves out."""

from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy import Column, Dialect
from sqlalchemy.sql.compiler import SQLCompiler

from app.core.db.statement_checks import NotPreparableError


class DefaultContext:
    """What a default may ask for that is called with a context: the values so far."""

    __slots__ = ("current_column", "current_parameters", "dialect")

    current_column: Column[Any]

    def __init__(self, current_parameters: dict[str, Any], dialect: Dialect) -> None:
        self.current_parameters = current_parameters
        self.dialect = dialect

    def get_current_parameters(self, isolate_multiinsert_groups: bool = True) -> dict[str, Any]:  # noqa: ARG002 - SQLAlchemy's signature
        return self.current_parameters

    def __getattr__(self, name: str) -> Any:
        raise NotPreparableError(f"the default of {self.current_column} asks for `{name}`, which only SQLAlchemy has")


class PythonDefaults:
    """In the order in which SQLAlchemy evaluates them."""

    def __init__(self, compiled: SQLCompiler, dialect: Dialect) -> None:
        self.dialect = dialect
        columns = compiled.insert_prefetch or compiled.update_prefetch
        self.by_column = [(column, self.source(compiled, column)) for column in columns]

    def source(self, compiled: SQLCompiler, column: Any) -> Callable[[DefaultContext], Any]:
        default = column.default if compiled.isinsert else column.onupdate
        if column.key in compiled.binds and default is not None:
            if default.is_callable:
                called: Callable[[DefaultContext], Any] = default.arg
                return called
            if default.is_scalar:
                return lambda _: default.arg
        raise NotPreparableError(f"the default of {column}")

    def fill(self, values: Mapping[str, Any]) -> dict[str, Any]:
        filled = dict(values)
        context = DefaultContext(filled, self.dialect)
        for column, source in self.by_column:
            context.current_column = column
            filled[column.key] = source(context)
        return filled
