"""Which parts of a database are this project's: what its models have, and what its migrations have made.

All else belongs to extensions, to other programs, or to whoever added it by hand, and no migration drops it. It is read
from the migrations' code, of which nothing runs here.
"""

import ast
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from sqlalchemy import MetaData

WORD = re.compile(r"\w+")
# Operations that make tables or columns, and how many of their arguments are names of tables.
MAKERS = {"create_table": 1, "add_column": 1, "alter_column": 1, "batch_alter_table": 1, "rename_table": 2}


@dataclass(frozen=True, slots=True)
class SchemaOwner:
    """`columns` are pairs of table and column. An index or constraint need only be named, also in SQL."""

    tables: frozenset[str]
    columns: frozenset[tuple[str, str]]
    names: frozenset[str]

    @classmethod
    def of(cls, metadata: MetaData, migrations: Iterable[Path]) -> Self:
        sources = [path.read_text("utf-8") for path in migrations]
        made = {pair for source in sources for pair in made_columns(ast.parse(source))}
        known = {(table.name, column.name) for table in metadata.tables.values() for column in table.columns}
        indexes = (index.name for table in metadata.tables.values() for index in table.indexes)
        constraints = (constraint.name for table in metadata.tables.values() for constraint in table.constraints)
        named = {word for source in sources for word in WORD.findall(source)}
        return cls(
            frozenset(table for table, _ in made | known),
            frozenset(made | known),
            frozenset(named | {str(name) for name in (*indexes, *constraints)}),
        )

    def owns(self, kind: str, name: str | None, table: str | None) -> bool:
        """`kind` as Alembic calls it. What has no name, as constraints on SQLite may, is its table's."""
        if name is None or kind == "schema":
            return True
        if kind == "table":
            return name in self.tables
        return (table, name) in self.columns if kind == "column" else name in self.names


def made_columns(module: ast.Module) -> Iterator[tuple[str, str]]:
    """Table and column of each call that makes some; the table alone has the column `""`."""
    constants = module_constants(module)
    for node in ast.walk(module):
        # What `with op.batch_alter_table("t") as t:` makes stands in its block.
        calls = [item.context_expr for item in node.items] if isinstance(node, ast.With) else [node]
        for call in calls:
            if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and call.func.attr in MAKERS:
                tables = texts(call.args[: MAKERS[call.func.attr]], constants)
                yield from (
                    (table, column) for table in tables for column in ("", *texts(new_columns(node), constants))
                )


def module_constants(module: ast.Module) -> dict[str, ast.expr]:
    assigned = [node for node in module.body if isinstance(node, ast.Assign)]
    return {target.id: node.value for node in assigned for target in node.targets if isinstance(target, ast.Name)}


def texts(nodes: Iterable[ast.expr], constants: dict[str, ast.expr]) -> list[str]:
    """Those that are written out, or are a constant of the module."""
    found = [constants.get(node.id, node) if isinstance(node, ast.Name) else node for node in nodes]
    return [node.value for node in found if isinstance(node, ast.Constant) and isinstance(node.value, str)]


def new_columns(node: ast.AST) -> Iterator[ast.expr]:
    for call in ast.walk(node):
        if isinstance(call, ast.Call):
            yield from (keyword.value for keyword in call.keywords if keyword.arg == "new_column_name")
            if isinstance(call.func, ast.Attribute) and call.func.attr == "Column":
                yield from call.args[:1]
