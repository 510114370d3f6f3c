"""`/items/bulk`, `/items/by-sku` and `/items/export`: what synchronizes a shop with another system."""

from typing import Annotated, Any

from fastapi import Path, Query, Response, status

from app.api.deps import AppServicesDep, CreatedDep, IfMatchDep, SessionDep
from app.api.deps.idempotency import IdempotencyDep
from app.api.download import Download, DownloadSlotDep
from app.api.errors import responses
from app.api.router import Router
from app.api.v1.items.items import FilterDep, ItemWriter
from app.crud.item import items
from app.models.item import Item
from app.schemas.item import ItemRead, ItemUpsert, Sku
from app.schemas.item_batch import ItemBatchCreate, ItemBatchCreated, ItemBatchUpdate, ItemBatchUpdated
from app.services.items.export import ExportFormat, export_items

MEDIA_TYPES: dict[ExportFormat, str] = {"csv": "text/csv; charset=utf-8", "ndjson": "application/x-ndjson"}
EXPORTED: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "A line for each item; in CSV after a line with the names of the columns.",
        "content": {name.partition(";")[0]: {"schema": {"type": "string"}} for name in MEDIA_TYPES.values()},
    }
}

router = Router(prefix="/items", tag="items", responses=responses(401, 403))


@router.post(
    "/bulk",
    response_model=ItemBatchCreated,
    status_code=status.HTTP_201_CREATED,
    summary="Offer many items",
    responses=responses(409),
)
async def create_bulk(
    data: ItemBatchCreate, me: ItemWriter, _: IdempotencyDep, session: SessionDep
) -> ItemBatchCreated:
    """All or none."""
    ids = await items.add_all(session, me.user.id, [item.model_dump() for item in data.items])
    return ItemBatchCreated(created=len(ids), ids=ids)


@router.patch("/bulk", response_model=ItemBatchUpdated, summary="Close or reopen many items")
async def update_bulk(data: ItemBatchUpdate, me: ItemWriter, session: SessionDep) -> ItemBatchUpdated:
    """Only your own; other ids are ignored."""
    return ItemBatchUpdated(updated=await items.set_done(session, me.user.id, data.ids, is_done=data.is_done))


@router.put(
    "/by-sku/{sku}",
    response_model=ItemRead,
    summary="Offer or replace the item of a SKU",
    responses={201: {"model": ItemRead, "description": "It is new."}, **responses(404, 412)},
)
async def upsert_by_sku(
    sku: Annotated[Sku, Path()],
    data: ItemUpsert,
    me: ItemWriter,
    session: SessionDep,
    if_match: IfMatchDep,
    created: CreatedDep,
) -> Item:
    """Your own item of this SKU becomes what the body says; what it leaves out goes back to its default."""
    item = await items.upsert(session, me.user, sku, data.model_dump())
    if_match.check_version(item.version - 1 or None)
    if item.version == 1:
        created.response.status_code = status.HTTP_201_CREATED
        created.at("read_item", item_id=item.id)
    return created.tag(item)


@router.get("/export", response_class=Response, summary="Download items", responses={**EXPORTED, **responses(429)})
async def export(
    filter_: FilterDep,
    _: DownloadSlotDep,
    services: AppServicesDep,
    format_: Annotated[ExportFormat, Query(alias="format", description="A table, or one JSON object a line.")],
) -> Download:
    """All there are when the download begins, by id, each as it is when it is read; the filters are those of the list.

    A user may have two downloads at once. One that the client does not read is aborted.
    """
    chunks = export_items(services.database, filter_, format_)
    return Download(chunks, MEDIA_TYPES[format_], f"items.{format_}")
