"""`/items`: what users offer."""

from typing import Annotated, Any, Literal

from fastapi import Depends, Path, Query, status

from app.api.deps import (
    AutocommitSessionDep,
    ConditionalDep,
    CreatedDep,
    ETagDep,
    IfMatchDep,
    PagingDep,
    ReadSessionDep,
    SessionDep,
)
from app.api.deps.idempotency import IdempotencyDep
from app.api.deps.paging import SORT
from app.api.errors import responses
from app.api.router import Router
from app.crud.guard import Guard
from app.crud.item import ItemFilter, ItemInsert, ItemRow, items
from app.schemas.base import Page
from app.schemas.decimals import PriceQuery
from app.schemas.item import ItemCreate, ItemRead, ItemReplace, ItemUpdate
from app.schemas.parameters import IdParameter, SearchQuery
from app.services.auth.identity import Identity

router = Router(prefix="/items", tag="items", about="What users offer.", responses=responses(401, 403))

ItemReader = Annotated[Identity, router.requires("items:read", "See items")]
ItemWriter = Annotated[Identity, router.requires("items:write", "Offer, change and withdraw items")]
ItemId = Annotated[IdParameter, Path(examples=[42])]
ItemSort = Annotated[Literal["id", "-id", "created_at", "-created_at", "price", "-price", "title", "-title"], SORT]
IS_DONE: dict[str, bool | None] = {"true": True, "false": False, "any": None}


async def get_filter(
    me: ItemReader,
    q: Annotated[SearchQuery | None, Query(description="Text in title or description.")] = None,
    owner: Annotated[Literal["me"] | IdParameter | None, Query(description="`me`, or a user's id.")] = None,
    is_done: Annotated[Literal["true", "false", "any"], Query(description="`any` for both.")] = "false",
    min_price: Annotated[PriceQuery | None, Query()] = None,
    max_price: Annotated[PriceQuery | None, Query()] = None,
) -> ItemFilter:
    owner_id = me.user.id if owner == "me" else owner
    return ItemFilter(q, owner_id, IS_DONE[is_done], min_price, max_price)


async def get_guard(me: ItemWriter, if_match: IfMatchDep) -> Guard:
    return Guard(None if me.is_admin else me.user.id, if_match.versions)


FilterDep = Annotated[ItemFilter, Depends(get_filter)]
GuardDep = Annotated[Guard, Depends(get_guard)]


@router.get("", response_model=Page[ItemRead], summary="List items")
async def list_items(
    filter_: FilterDep, paging: PagingDep, session: ReadSessionDep, sort: ItemSort = "-created_at"
) -> dict[str, Any]:
    """Open items of everyone, the newest first; filters narrow it, `is_done=any` shows closed ones too."""
    return await paging.run(items, session, filter_, sort)


@router.post(
    "", response_model=ItemRead, status_code=status.HTTP_201_CREATED, summary="Offer an item", responses=responses(409)
)
async def create_item(
    data: ItemCreate, me: ItemWriter, _: IdempotencyDep, session: AutocommitSessionDep, created: CreatedDep
) -> ItemRow:
    item = await items.insert(session, ItemInsert(owner_id=me.user.id, **data.model_dump()))
    created.at("read_item", item_id=item.id)
    return created.tag(item)


@router.get("/{item_id}", response_model=ItemRead, summary="See an item", responses=responses(304, 404))
async def read_item(item_id: ItemId, _: ItemReader, session: ReadSessionDep, conditional: ConditionalDep) -> ItemRow:
    return conditional.tag(await items.read_row(session, item_id))


@router.put("/{item_id}", response_model=ItemRead, summary="Replace an item", responses=responses(404, 409, 412))
async def replace_item(
    item_id: ItemId, data: ItemReplace, guard: GuardDep, session: AutocommitSessionDep, etag: ETagDep
) -> ItemRow:
    """What the body leaves out goes back to its default."""
    return etag.tag(await items.update_row(session, item_id, guard, **data.model_dump()))


@router.patch("/{item_id}", response_model=ItemRead, summary="Change an item", responses=responses(404, 409, 412))
async def update_item(
    item_id: ItemId, data: ItemUpdate, guard: GuardDep, session: AutocommitSessionDep, etag: ETagDep
) -> ItemRow:
    """Changes what the body names; `null` clears."""
    return etag.tag(await items.update_row(session, item_id, guard, **data.model_dump()))


@router.delete(
    "/{item_id}", status_code=status.HTTP_204_NO_CONTENT, summary="Withdraw an item", responses=responses(404, 412)
)
async def delete_item(item_id: ItemId, guard: GuardDep, session: SessionDep) -> None:
    await items.delete_row(session, item_id, guard)
