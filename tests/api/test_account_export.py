"""`/users/me/export`: all that is stored about an account, however much, in the shape that the document promises."""

import asyncio
import gc
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any

import httpx
from sqlalchemy import func, insert, select
from sqlalchemy.ext.asyncio import AsyncSession

from app.api.deps import AppServices
from app.core.config.settings import Settings
from app.models.audit import Action, AuditEvent
from app.models.item import Item
from app.models.order import Order, OrderLine
from app.schemas.account import Export
from app.services.accounts.exported_orders import FEW
from app.services.audit import Device, record
from app.services.batches import BATCH
from tests.api.calls import code
from tests.conftest import connected, in_one_transaction, running
from tests.factories import Factory

EXPORT = "/api/v1/users/me/export"
# CPU of the event loop between two turns of another task; what is written all at once takes twice as long here.
LONGEST_STEP = 0.03


@asynccontextmanager
async def longest_step() -> AsyncIterator[list[float]]:
    """Seconds of CPU, so that a busy machine makes no difference, that others waited for at most.

    Without the garbage collector, which has all of the tests to look through.
    """
    steps: list[float] = []

    async def tick() -> None:
        while True:
            before = time.thread_time()
            await asyncio.sleep(0)
            steps.append(time.thread_time() - before)

    gc.collect()
    gc.disable()
    task = asyncio.create_task(tick())
    await asyncio.sleep(0)
    longest: list[float] = []
    try:
        yield longest
    finally:
        task.cancel()
        gc.enable()
        longest.append(max(steps))


async def many_items(session: AsyncSession, owner_id: int, count: int) -> None:
    rows = [{"owner_id": owner_id, "title": f"Item {n}", "version": 1, "price": Decimal(n)} for n in range(count)]
    await session.execute(insert(Item), rows)
    await session.commit()


async def many_orders(session: AsyncSession, buyer_id: int, count: int, lines: int) -> None:
    order = {"buyer_id": buyer_id, "total": Decimal(lines), "version": 1}
    await session.execute(insert(Order), [order] * count)
    ids = list(await session.scalars(select(Order.id).where(Order.buyer_id == buyer_id)))
    line = {"item_id": None, "title": "Lamp", "unit_price": Decimal(1), "tax_rate": Decimal(0), "quantity": 1}
    await session.execute(
        insert(OrderLine), [{**line, "order_id": id_, "total": Decimal(1)} for id_ in ids for _ in range(lines)]
    )
    await session.commit()


def exported(answer: httpx.Response) -> dict[str, Any]:
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/json"
    Export.model_validate_json(answer.content, strict=False)
    document: dict[str, Any] = json.loads(answer.content)
    assert list(document) == list(Export.model_fields)
    for name in ("sessions", "items", "orders", "audit"):
        for entry in document[name]:
            assert list(entry) == list(Export.model_fields[name].annotation.__args__[0].model_fields)  # type: ignore[union-attr] # a list of schemas
    return document


async def test_more_than_a_batch_of_everything_comes_whole_and_in_order_and_holds_up_nobody(
    client: httpx.AsyncClient, make: Factory, services: AppServices, session: AsyncSession
) -> None:
    alice, bob = await make.user(), await make.user()
    for owner in (alice, bob):
        await many_items(session, owner.id, 20 * BATCH + 1)
        await many_orders(session, owner.id, 3 * FEW + 1, 100)
    headers = await make.bearer(alice)
    for _ in range(BATCH + 5):
        await make.tokens(alice)
    device = Device("192.0.2.1", "a phone", "r")
    async with services.database.transaction() as writing:
        for number in range(BATCH + 5):
            others = number % 3 == 0
            actor_id, subject_id = (bob.id, alice.id) if others else (alice.id, bob.id if number % 3 == 1 else None)
            await record(writing, Action.USER_CHANGED, device, actor_id=actor_id, subject_id=subject_id)
            await record(writing, Action.USER_CHANGED, device, actor_id=bob.id)
    exported(await client.get(EXPORT, headers=await make.bearer(bob)))  # what is made once is made
    async with longest_step() as longest:
        answer = await client.get(EXPORT, headers=headers | {"Accept-Encoding": "identity"})
    document = exported(answer)
    for model, name, owner_id in ((Item, "items", Item.owner_id), (Order, "orders", Order.buyer_id)):
        mine = list(await session.scalars(select(model.id).where(owner_id == alice.id).order_by(model.id)))
        assert [entry["id"] for entry in document[name]] == mine
    assert {len(order["lines"]) for order in document["orders"]} == {100}
    assert len(document["sessions"]) == BATCH + 6
    about = (AuditEvent.actor_id == alice.id) | (AuditEvent.subject_id == alice.id)
    events = list(await session.scalars(select(AuditEvent.id).where(about).order_by(AuditEvent.id)))
    assert [event["id"] for event in document["audit"]] == events
    assert len(events) == BATCH + 6
    assert longest[0] < LONGEST_STEP


async def test_what_is_made_after_the_event_of_the_export_is_not_in_it(
    client: httpx.AsyncClient, make: Factory
) -> None:
    headers = await make.bearer(await make.user())
    first, second = [exported(await client.get(EXPORT, headers=headers)) for _ in range(2)]
    assert [event["action"] for event in first["audit"]] == ["data_exported"]
    assert [event["action"] for event in second["audit"]] == ["data_exported"] * 2


async def test_an_account_is_exported_a_few_times_an_hour(settings: Settings) -> None:
    limited = settings.model_copy(update={"rate_limit_enabled": True, "rate_limit_export": "2/hour"})
    async with (
        running(limited) as (_, manager, services),
        in_one_transaction(services) as session,
        connected(manager.app) as client,
    ):
        make = Factory(services)
        alice, bob = await make.bearer(await make.user()), await make.bearer(await make.user())
        assert (await client.head(EXPORT, headers=alice)).status_code == 200, "which exports nothing"
        for remaining in ("1", "0"):
            answer = await client.get(EXPORT, headers=alice)
            assert (answer.status_code, answer.headers["ratelimit-remaining"]) == (200, remaining)
        refused = await client.get(EXPORT, headers=alice)
        assert code(refused) == (429, "rate_limited")
        assert int(refused.headers["retry-after"]) > 60
        assert (await client.get(EXPORT, headers=bob)).status_code == 200
        written_down = select(func.count()).where(AuditEvent.action == Action.DATA_EXPORTED)
        assert await session.scalar(written_down) == 3
