"""What the busiest operations cost: counted in instructions of Python's, which no other program on the machine changes.

STRATA_RECORD_COSTS=1 writes the numbers down anew, in the commit that makes something dearer on purpose.
"""

import json
import os
import sys
import threading
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import CodeType
from typing import Any

import pytest

from app.core.config import Settings
from tests.conftest import running
from tests.factories import Factory

RECORDED = Path(__file__).with_name("costs.json")
MARGIN = 1.15
ROUNDS = 7
VERSION = f"{sys.version_info.major}.{sys.version_info.minor}"

type Call = Callable[[], Awaitable[None]]


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


def call(app: Any, state: dict[str, Any], method: str, url: str, headers: dict[str, str], body: object = None) -> Call:
    """A request without a client, whose instructions would count too."""
    path, _, query = url.partition("?")
    content = b"" if body is None else json.dumps(body).encode()
    sent = {"host": "localhost", **headers}
    if content:
        sent |= {"content-type": "application/json", "content-length": str(len(content))}

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": content, "more_body": False}

    async def run() -> None:
        status = []

        async def send(message: dict[str, Any]) -> None:
            status.append(message.get("status"))

        scope = {
            "type": "http",
            "http_version": "1.1",
            "asgi": {"version": "3.0"},
            "method": method,
            "scheme": "http",
            "path": path,
            "raw_path": path.encode(),
            "query_string": query.encode(),
            "root_path": "",
            "headers": [(name.lower().encode(), value.encode()) for name, value in sent.items()],
            "client": ("127.0.0.1", 1),
            "server": ("localhost", 80),
            "state": dict(state),
        }
        await app(scope, receive, send)
        assert status[0] in {200, 201}, status

    return run


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
    async with running(settings) as (_, manager, resources):
        make = Factory(resources)
        alice = await make.user()
        ids = [(await make.item(alice, title=f"item {number}")).id for number in range(25)]
        headers = await make.bearer(alice)

        def request(method: str, path: str, body: object = None) -> Call:
            return call(manager.app, manager._state, method, path, headers, body)

        costs = {
            "health": await cost(request("GET", "/health")),
            "me": await cost(request("GET", "/api/v1/users/me")),
            "list": await cost(request("GET", "/api/v1/items?owner=me&limit=20")),
            "read": await cost(request("GET", f"/api/v1/items/{ids[0]}")),
            "patch": await cost(request("PATCH", f"/api/v1/items/{ids[0]}", {"stock": 5})),
            "create": await cost(request("POST", "/api/v1/items", {"title": "A red bicycle", "price": "19.90"})),
        }
    if is_recording:
        layers = {name: dict(sorted(found.items())) for name, found in costs.items()}
        RECORDED.write_text(json.dumps({"python": VERSION, "instructions": layers}, indent=2) + "\n")
        return
    before = {name: sum(found.values()) for name, found in recorded["instructions"].items()}
    dearer = {
        name: (cost.total(), before[name]) for name, cost in costs.items() if cost.total() > MARGIN * before[name]
    }
    assert not dearer, f"instructions now and as recorded: {dearer}"
