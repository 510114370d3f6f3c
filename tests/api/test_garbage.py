"""What a request leaves behind: nothing that has to wait for the garbage collector, which comes late under load."""

import gc
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from app.core.config.settings import Settings
from tests.api.busiest import Call, busiest

REQUESTS = 20
ROUNDS = 5


@contextmanager
def garbage() -> Iterator[Counter[str]]:
    """What only the collector can free of what was made meanwhile, by type."""
    found = Counter[str]()
    gc.collect()
    gc.disable()
    try:
        yield found
        gc.set_debug(gc.DEBUG_SAVEALL)
        gc.collect()
        found.update(type(each).__qualname__ for each in gc.garbage)
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()


@pytest.mark.real_database
async def test_a_request_leaves_no_circles(real_settings: Settings) -> None:
    if real_settings.database.get_backend_name() != "postgresql":
        pytest.skip("SQLite's driver leaves some")
    left: dict[str, Counter[str]] = {}
    async with busiest(real_settings) as requests:
        for name, request in requests.items():
            await request()
            # What else the process does at times is no part of it.
            left[name] = min([await left_by(request) for _ in range(ROUNDS)], key=Counter.total)
    assert {name: kinds for name, kinds in left.items() if kinds.total() >= REQUESTS} == {}


async def left_by(request: Call) -> Counter[str]:
    with garbage() as found:
        for _ in range(REQUESTS):
            await request()
    return found
