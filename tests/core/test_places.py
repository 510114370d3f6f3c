"""Places are handed on in turn, and none is lost to those who give up."""

import asyncio

import pytest

from app.core.db.driver.places import Places

SECONDS = 5


async def test_those_who_wait_get_a_place_in_the_order_in_which_they_came() -> None:
    places, order = Places(2), []

    async def work(number: int) -> None:
        await places.take(SECONDS)
        order.append(number)
        await asyncio.sleep(0)
        places.give_back()

    await asyncio.gather(*(work(number) for number in range(10)))
    assert order == list(range(10))
    assert places.free == 2


async def test_whoever_waits_too_long_is_told_so_and_takes_nothing() -> None:
    places = Places(1)
    await places.take(SECONDS)
    with pytest.raises(TimeoutError):
        await places.take(0.01)
    places.give_back()
    assert places.free == 1


async def test_whoever_is_cancelled_while_waiting_takes_nothing() -> None:
    places = Places(1)
    await places.take(SECONDS)
    waiting = asyncio.create_task(places.take(SECONDS))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    places.give_back()
    assert places.free == 1


async def test_a_place_that_comes_at_the_moment_of_a_cancellation_goes_to_the_next_one() -> None:
    places = Places(1)
    await places.take(SECONDS)
    first, second = (asyncio.create_task(places.take(SECONDS)) for _ in range(2))
    await asyncio.sleep(0)
    places.give_back()
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    await second
    assert places.free == 0
