"""The export of items as CSV or NDJSON."""

import csv
from collections.abc import AsyncGenerator, Iterable, Sequence
from io import StringIO
from typing import Literal

from sqlalchemy.ext.asyncio import AsyncSession

from app.core.db.engine import Database
from app.core.db.prepared import Row, row_fields
from app.core.db.retry import retried
from app.crud.batch import Batch, Place, newest_ids
from app.crud.item import ItemFilter, items
from app.schemas.item import ItemRead
from app.services.batches import BATCH, batches

type ExportFormat = Literal["csv", "ndjson"]

COLUMNS = (
    *("id", "sku", "title", "description", "price", "tax_rate", "price_with_tax", "stock", "is_done"),
    *("owner_id", "owner_username", "version", "created_at", "updated_at"),
)
# Characters with which a spreadsheet formula begins.
# Source: OWASP, CSV Injection.
FORMULA_MARKS = ("=", "+", "-", "@", "\t", "\r")


async def export_items(database: Database, filter_: ItemFilter, format_: ExportFormat) -> AsyncGenerator[bytes]:
    """One line per item that exists at the beginning, with its values when its batch is read."""
    # Yields nothing before the first query, so that a database error still gets an error response.
    head = csv_lines([COLUMNS]) if format_ == "csv" else b""

    async def find_last() -> int:
        async with database.read() as session:
            return (await newest_ids(session, items))[0]

    last_id = await retried(find_last)

    async def read(session: AsyncSession, after: Place | None) -> Batch:
        return await items.scan(session, filter_, after, last_id, BATCH)

    async for batch in batches(database.read, read):
        lines = [read_row(row) for row in batch]
        yield head + (csv_lines(map(cells, lines)) if format_ == "csv" else json_lines(lines))
        head = b""
    yield head


def read_row(row: Row) -> ItemRead:
    owner = {"id": row.owner_id, "username": row.owner_username}
    return ItemRead.model_validate({**row_fields(row), "owner": owner})


def json_lines(batch: Iterable[ItemRead]) -> bytes:
    return b"".join(item.model_dump_json().encode() + b"\n" for item in batch)


def csv_lines(rows: Iterable[Sequence[object]]) -> bytes:
    """RFC 4180, in UTF-8."""
    text = StringIO()
    csv.writer(text).writerows(rows)
    return text.getvalue().encode()


def cells(item: ItemRead) -> list[object]:
    fields = item.model_dump(mode="json")
    owner = fields.pop("owner")
    fields |= {"owner_id": owner["id"], "owner_username": owner["username"]}
    return [defuse(fields[column]) for column in COLUMNS]


def defuse(cell: object) -> object:
    """Prefix a cell that a spreadsheet would run as a formula."""
    if isinstance(cell, bool):
        return str(cell).lower()
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(FORMULA_MARKS) else cell
