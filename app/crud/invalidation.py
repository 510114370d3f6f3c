"""Invalidates cached responses by counting the writes to their resource."""

from collections.abc import Iterator

from sqlalchemy import Table

from app.core.db.session import WriteSession
from app.core.db.upsert import insert
from app.models.generation import Generation

# In a table's `info`, where it is declared: a delete elsewhere that cascades to it is a write to what is cached.
IS_CACHED = "is_cached"


async def bump_generation(session: WriteSession, resource: str) -> None:
    """One statement, after which other writers to the resource wait for this transaction to end."""
    counted = insert(session, Generation).values(resource=resource, number=1)
    await session.execute(
        counted.on_conflict_do_update(index_elements=["resource"], set_={"number": Generation.number + 1})
    )


async def bump_dependents(session: WriteSession, table: Table) -> None:
    """After a delete: the database changes or deletes rows of other tables too, past their CRUD objects."""
    for resource in cached_dependents(table):
        await bump_generation(session, resource)


def cached_dependents(table: Table) -> list[str]:
    """The cached tables whose rows change or go when one of this table's is deleted, in an order that all keep."""
    return sorted({dependent.name for dependent in dependents(table, set()) if dependent.info.get(IS_CACHED)})


def dependents(table: Table, seen: set[Table]) -> Iterator[Table]:
    seen.add(table)
    for other in table.metadata.tables.values():
        actions = {key.ondelete for key in other.foreign_keys if key.column.table is table}
        if other not in seen and actions & {"CASCADE", "SET NULL"}:
            yield other
            if "CASCADE" in actions:
                yield from dependents(other, seen)
