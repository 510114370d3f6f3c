"""Typed rows, each read or written by one prepared statement."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import BigInteger, ColumnElement, bindparam, or_, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from app.core.db.errors import violated_constraint
from app.core.db.prepared import Prepared
from app.core.db.session import WriteSession, fetch
from app.core.errors import AppError, ConflictError, NotFoundError, VersionConflictError
from app.crud.batch import BatchCRUD
from app.crud.guard import UNGUARDED, Guard
from app.crud.invalidation import bump_dependents
from app.crud.typed import Insert, StoredRow
from app.models.base import Base


class RowCRUD[M: Base, R: StoredRow](BatchCRUD[M, R]):
    """read_row insert update_row delete_row."""

    async def read_row(self, session: AsyncSession, id_: int) -> R:
        """Raise NotFoundError (`<noun>_not_found`) if there is none."""
        rows: list[Any] = await fetch(session, self.cached_statement(self.selected_by_id), id=id_)
        row: R = self.found(rows[0] if rows else None, id_)
        return row

    def selected_by_id(self) -> Prepared:
        return Prepared(select(*self.shown).where(self.table.c.id == bindparam("id")))

    async def insert(self, session: WriteSession, new: Insert[M]) -> R:
        """Return the row as it is shown. Columns that are left out get their defaults."""
        values = new.values()
        if "version" in self.columns:
            values["version"] = 1
        return (await self.write(session, self.cached_statement(self.inserted, tuple(values)), **values))[0]

    def inserted(self, names: Sequence[str]) -> Prepared:
        new = self.table.insert().values({name: bindparam(name) for name in names})
        return Prepared(new.returning(*self.shown), inserts=names)

    async def update_row(
        self, session: WriteSession, id_: int, guard: Guard = UNGUARDED, *, version: int | None = None, **changes: Any
    ) -> R:
        """Change columns of a row; return it as it is shown then. `version`, if given, must be the row's.

        Raises:
            TypeError: if there is no such column.
            NotFoundError, NotOwnerError, PreconditionFailedError, VersionConflictError: and nothing is changed,
                once the transaction has been rolled back.
        """
        if not changes:
            row = await self.read_row(session, id_)
            self.check(guard, row, version, id_)
            return row
        if guard.checks_afterwards:
            session.require_transaction()
        values = {"guard_id": id_, **guard.parameters(version), **changes}
        rows = await self.write(session, self.cached_statement(self.changed, tuple(changes)), **values)
        if not rows:
            raise await self.refusal(session, id_, guard, version)
        guard.check_changed(rows[0])
        return rows[0]

    def changed(self, names: Sequence[str]) -> Prepared:
        if unknown := [name for name in names if name not in self.columns]:
            raise TypeError(f"{self.table.name} has no column {', '.join(unknown)}")
        columns: Any = {self.columns[name]: bindparam(name) for name in names}
        changed = self.table.update().where(*self.guarded()).values(columns)
        if "version" in self.columns:
            changed = changed.values(version=self.table.c.version + 1)
        return Prepared(changed.returning(*self.shown))

    async def delete_row(self, session: WriteSession, id_: int, guard: Guard = UNGUARDED) -> None:
        """Delete a row; raises what `update_row` does."""
        session.require_transaction()
        rows = await self.write(session, self.cached_statement(self.removed), guard_id=id_, **guard.parameters(None))
        if not rows:
            raise await self.refusal(session, id_, guard, None)
        self.check(guard, rows[0], None, id_)
        await bump_dependents(session, self.table)

    def removed(self) -> Prepared:
        columns = [column for column in self.table.c if column.name in {"id", "owner_id", "version"}]
        return Prepared(self.table.delete().where(*self.guarded()).returning(*columns))

    def guarded(self) -> list[ColumnElement[bool]]:
        """The row with the id, if the guard's parameters let it be changed."""
        columns: Any = self.table.c
        conditions = [columns.id == bindparam("guard_id")]
        for parameter, name in (("guard_owner", "owner_id"), ("guard_version", "version")):
            wanted = bindparam(parameter, type_=BigInteger())
            conditions.append(or_(wanted.is_(None), columns[name] == wanted) if name in columns else wanted.is_(None))
        return conditions

    async def refusal(self, session: AsyncSession, id_: int, guard: Guard, version: int | None) -> AppError:
        """Why the row was not changed."""
        self.check(guard, await self.read_row(session, id_), version, id_)
        return VersionConflictError()  # it was another one a moment ago

    def check(self, guard: Guard, row: Any, version: int | None, id_: int) -> None:
        if (refusal := guard.refusal(row, version)) is not None:
            raise self.missing(id_) if isinstance(refusal, NotFoundError) else refusal

    async def write(self, session: WriteSession, statement: Prepared, **values: Any) -> list[R]:
        """What all statements pass that change rows as they are shown."""
        try:
            found: list[Any] = await fetch(session, statement, **values)
        except IntegrityError as error:
            raise self.conflict(error) from error
        return found

    def found[T](self, row: T | None, id_: int) -> T:
        if row is None:
            raise self.missing(id_)
        return row

    def missing(self, id_: int) -> NotFoundError:
        return NotFoundError(f"There is no {self.noun} with id {id_}.", code=f"{self.noun}_not_found")

    def conflict(self, error: IntegrityError) -> AppError | IntegrityError:
        code = self.conflicts.get(violated_constraint(error) or "")
        if code is None:
            return error
        return ConflictError(f"This {code.removesuffix('_taken')} is already in use.", code=code)
