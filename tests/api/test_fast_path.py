"""Every operation is answered with the same response by the fast path and by FastAPI itself."""

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.core.config.settings import Settings
from tests.conftest import connected, running
from tests.factories import Factory

DOCUMENT = json.loads(Path(__file__).with_name("openapi.json").read_text())
OPERATIONS = [
    (method.upper(), path)
    for path, operations in DOCUMENT["paths"].items()
    for method in operations
    if method in {"get", "post", "put", "patch", "delete"}
]
OF_THE_MOMENT = {"x-request-id", "x-process-time", "server-timing", "date"}
JSON = {"Content-Type": "application/json"}


def requests(method: str, path: str, token: dict[str, str]) -> list[tuple[str, str, dict[str, Any]]]:
    """What is refused for each reason, and what reads; nothing here changes a row."""
    concrete = "/".join("1" if part.startswith("{") else part for part in path.split("/"))
    found: list[tuple[str, str, dict[str, Any]]] = [
        (method, concrete, {}),
        (method, f"{concrete}/", {}),
        (method, f"{concrete}\n", {}),
        ("TRACE", concrete, {}),
        (method, concrete, {"headers": {"Authorization": "Bearer nonsense"}}),
        (method, concrete, {"headers": token | JSON, "content": b"{"}),
        (method, concrete, {"headers": token | {"Content-Type": "text/plain"}, "content": b"{}"}),
        (method, concrete, {"headers": token | JSON, "content": b"[" * 2_000_000}),
    ]
    if method == "GET":
        found += [
            (method, concrete, {"headers": token}),
            ("HEAD", concrete, {"headers": token}),
            (method, f"{concrete}?limit=x&skip=-1&cursor=y", {"headers": token}),
            (method, concrete, {"headers": token | {"If-None-Match": "*"}}),
            (method, concrete.replace("/1", "/x"), {"headers": token}),
        ]
    return found


async def response(client: httpx.AsyncClient, method: str, path: str, options: dict[str, Any]) -> Any:
    got = await client.request(method, httpx.URL(path.replace("\n", "%0A")), **options)
    headers = {name: value for name, value in got.headers.items() if name not in OF_THE_MOMENT}
    return got.status_code, headers, got.text.replace(got.headers["x-request-id"], "")


@pytest.mark.real_database
async def test_both_ways_give_the_same_response(real_settings: Settings) -> None:
    off = real_settings.model_copy(update={"fast_path": "off"})
    auto = real_settings.model_copy(update={"fast_path": "auto"})
    differences = []
    async with running(auto) as (_, fast, services), running(off) as (_, slow, _):
        make = Factory(services)
        user = await make.user()
        await make.item(user)
        token = await make.bearer(user)
        async with connected(fast.app) as first, connected(slow.app) as second:
            for operation in OPERATIONS:
                for request in requests(*operation, token):
                    # An export tells of itself: the next one has one event more.
                    if (
                        request[1].startswith("/api/v1/users/me/export")
                        or "logout" in request[1]
                        or (request[0] == "DELETE" and "headers" in request[2])
                    ):
                        continue
                    both = [await response(client, *request) for client in (first, second)]
                    if both[0] != both[1]:
                        differences.append((request[:2], str(request[2])[:100], *both))
    assert not differences, differences[:5]
