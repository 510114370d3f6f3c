"""Estimates the number of rows where counting all of them would take too long."""

import json
from collections.abc import Mapping
from typing import Any

from sqlalchemy import ClauseElement, Executable, Select, func, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler

# Larger totals are estimates.
MAX_COUNTED = 10_000


class Explain(Executable, ClauseElement):
    inherit_cache = False

    def __init__(self, statement: Select[Any]) -> None:
        self.statement = statement


@compiles(Explain)
def explain(element: Explain, compiler: SQLCompiler, **options: Any) -> str:
    return f"EXPLAIN (FORMAT JSON) {compiler.process(element.statement, **options)}"


async def estimate(session: AsyncSession, matching: Select[Any], values: Mapping[str, Any]) -> int:
    """How many rows PostgreSQL expects a statement to have, but more than were counted; SQLite counts them."""
    if session.get_bind().dialect.name == "sqlite":
        return (await session.scalar(select(func.count()).select_from(matching.subquery()), values)) or 0
    plan: Any = (await session.execute(Explain(matching), values)).scalar_one()
    (found,) = json.loads(plan) if isinstance(plan, str) else plan
    return max(int(found["Plan"]["Plan Rows"]), MAX_COUNTED + 1)
