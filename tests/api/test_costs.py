"""What the busiest operations cost: counted in instructions of Python's, which no other program on the machine changes.

STRATA_RECORD_COSTS=1 writes the numbers down anew, in the commit that makes something dearer on purpose.
"""

import json
import os
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import CodeType

import pytest

from app.core.config.settings import Settings
from tests.api.busiest import Call, busiest
from tests.conftest import FAST_PATH, of_the_fast_path

RECORDED = Path(__file__).with_name("costs.json")
MARGIN = 1.15
ROUNDS = 7
VERSION = f"{sys.version_info.major}.{sys.version_info.minor}"


@contextmanager
def instructions() -> Iterator[Counter[str]]:
    """How many instructions this thread executes meanwhile, by file."""
    monitoring, count, thread = sys.monitoring, Counter[str](), threading.get_ident()

    def add(code: CodeType, _: int) -> None:
        if threading.get_ident() == thread:
            count[code.co_filename] += 1

    monitoring.use_tool_id(monitoring.PROFILER_ID, "costs")
    monitoring.register_callback(monitoring.PROFILER_ID, monitoring.events.INSTRUCTION, add)
    monitoring.set_events(monitoring.PROFILER_ID, monitoring.events.INSTRUCTION)
    try:
        yield count
    finally:
        monitoring.set_events(monitoring.PROFILER_ID, monitoring.events.NO_EVENTS)
        monitoring.register_callback(monitoring.PROFILER_ID, monitoring.events.INSTRUCTION, None)
        monitoring.free_tool_id(monitoring.PROFILER_ID)


def layer(file: str) -> str:
    """`app/api` and the like of ours, the distribution of others, asyncio, else the standard library."""
    if "/asyncio/" in file and "site-packages" not in file:
        return "asyncio"
    _, _, installed = file.rpartition("site-packages/")
    if installed != file:
        return installed.partition("/")[0]
    _, is_ours, path = file.rpartition("/app/")
    return f"app/{path.partition('/')[0]}" if is_ours else "standard library"


async def cost(request: Call) -> Counter[str]:
    """The least of some rounds: what else the process has to do at times is no part of it."""
    for _ in range(3):
        await request()
    found = []
    for _ in range(ROUNDS):
        with instructions() as count:
            await request()
        found.append(count)
    layers = Counter[str]()
    for file, number in min(found, key=Counter.total).items():
        layers[layer(file)] += number
    return layers


@of_the_fast_path
@pytest.mark.skipif(FAST_PATH == "off", reason="the figures are those of the fast path")
@pytest.mark.real_database
async def test_no_operation_has_become_dearer(real_settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    if real_settings.database.get_backend_name() != "postgresql":
        pytest.skip("SQLite's driver is another one")
    recorded = json.loads(RECORDED.read_text())
    is_recording = "STRATA_RECORD_COSTS" in os.environ
    if recorded["python"] != VERSION and not is_recording:
        pytest.skip(f"recorded with Python {recorded['python']}, whose instructions are others")
    monkeypatch.undo()  # answers are not checked in production
    settings = real_settings.model_copy(update={"rate_limit_enabled": True, "rate_limit_default": "1000000/minute"})
    async with busiest(settings) as requests:
        costs = {name: await cost(request) for name, request in requests.items()}
    if is_recording:
        layers = {name: dict(sorted(found.items())) for name, found in costs.items()}
        RECORDED.write_text(json.dumps({"python": VERSION, "instructions": layers}, indent=2) + "\n")
        return
    before = {name: sum(found.values()) for name, found in recorded["instructions"].items()}
    dearer = {
        name: (cost.total(), before[name]) for name, cost in costs.items() if cost.total() > MARGIN * before[name]
    }
    assert not dearer, f"instructions now and as recorded: {dearer}"
