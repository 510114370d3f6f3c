"""Places are handed on in turn, and none is lost to those who give up."""

import asyncio

import pytest

from app.core.db.driver.timed_semaphore import TimedSemaphore

SECONDS = 5


async def test_those_who_wait_get_a_place_in_the_order_in_which_they_came() -> None:
    semaphore, order = TimedSemaphore(2), []

    async def work(number: int) -> None:
        await semaphore.acquire(SECONDS)
        order.append(number)
        await asyncio.sleep(0)
        semaphore.release()

    await asyncio.gather(*(work(number) for number in range(10)))
    assert order == list(range(10))
    assert semaphore.free == 2


async def test_whoever_waits_too_long_is_told_so_and_takes_nothing() -> None:
    semaphore = TimedSemaphore(1)
    await semaphore.acquire(SECONDS)
    with pytest.raises(TimeoutError):
        await semaphore.acquire(0.01)
    semaphore.release()
    assert semaphore.free == 1


async def test_whoever_is_cancelled_while_waiting_takes_nothing() -> None:
    semaphore = TimedSemaphore(1)
    await semaphore.acquire(SECONDS)
    waiting = asyncio.create_task(semaphore.acquire(SECONDS))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    semaphore.release()
    assert semaphore.free == 1


async def test_a_place_that_comes_at_the_moment_of_a_cancellation_goes_to_the_next_one() -> None:
    semaphore = TimedSemaphore(1)
    await semaphore.acquire(SECONDS)
    first, second = (asyncio.create_task(semaphore.acquire(SECONDS)) for _ in range(2))
    await asyncio.sleep(0)
    semaphore.release()
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    await second
    assert semaphore.free == 0
