"""Every operation refuses, and reads, with the same response by the fast path and by FastAPI itself."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.engine import URL

from tests.api.both_ways import both_ways
from tests.api.operations import Operation, operations

JSON = {"Content-Type": "application/json"}


def requests(operation: Operation) -> Iterator[tuple[str, dict[str, Any]]]:
    """What is refused for each reason, and what reads; what succeeds is in tests/api/scripts."""
    path = operation.path_of("1")
    line, signed_in = f"{operation.method} {path}", {"by": "someone"}
    yield line, {}
    yield f"{line}/", {}
    yield f"{line}%0A", {}
    yield f"TRACE {path}", {}
    yield line, {"by": "nobody"}
    yield line, signed_in | {"headers": JSON, "content": b"{"}
    yield line, signed_in | {"headers": {"Content-Type": "text/plain"}, "content": b"{}"}
    yield line, signed_in | {"headers": JSON, "content": b"[" * 2_000_000}
    if operation.method == "GET":
        yield line, signed_in
        yield f"HEAD {path}", signed_in
        yield f"{line}?limit=x&skip=-1&cursor=y", signed_in
        yield line, signed_in | {"headers": {"If-None-Match": "*"}}
        yield line.replace("/1", "/x"), signed_in


@pytest.mark.real_database
async def test_both_ways_give_the_same_response(real_url: URL, another_url: URL, tmp_path: Path) -> None:
    async with both_ways(real_url, another_url, tmp_path) as both:
        user = await both.user("someone")
        for way in both.ways:
            await way.make.item(user)
        for operation in operations():
            # Some sign out.
            for way in both.ways:
                await way.sign_in("someone", user)
            for line, options in requests(operation):
                await both.send(line, **options)
