"""What a request costs between the server and the handler: CPU µs in one process, without a socket.

Run: uv run python benchmarks/edge.py [--rounds 15] [--requests 1000]
"""

import argparse
import asyncio
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from fastapi import APIRouter, FastAPI
from pydantic import BaseModel
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.api.router import Router
from app.core.config.settings import Settings
from app.main import create_app

ROUTERS, PATHS, METHODS = 12, 5, ("GET", "PUT", "PATCH", "DELETE")  # 240 routes
HEADERS = [(b"host", b"127.0.0.1:8000"), (b"user-agent", b"benchmark/1"), (b"accept", b"*/*")]


class Answer(BaseModel):
    status: str


async def answer() -> dict[str, str]:
    return {"status": "ok"}


async def answer_item(item_id: str) -> dict[str, str]:
    return {"status": item_id}


def nested(kind: type[APIRouter]) -> APIRouter:
    """A version with its resources, as /api/v1 has them."""
    version = kind(prefix="/api/v9")
    for number in range(ROUTERS):
        resource = kind(prefix=f"/things{number}")
        for path in range(PATHS):
            for method in METHODS:
                resource.add_api_route(f"/{{item_id}}/part{path}", answer_item, methods=[method], response_model=Answer)
        version.include_router(resource)
    return version


def strata(folder: Path) -> FastAPI:
    settings = Settings.model_validate(
        {
            "environment": "production",
            "data_dir": folder,
            "jwt_secret_key": "qNf3vX0yR8mKc1LzT7hWb5JdEs9PuGaA",
            "trusted_hosts": ("127.0.0.1",),
        }
    )
    app = create_app(settings)
    app.include_router(nested(Router))
    return app


def plain() -> FastAPI:
    app = FastAPI(openapi_url=None)
    app.add_api_route("/health", answer, response_model=Answer)
    app.include_router(nested(APIRouter))
    return app


async def bare(scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG001 - ASGI's
    headers = [(b"content-type", b"application/json"), (b"content-length", b"15")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b'{"status":"ok"}'})


class Caller:
    """Sends one request again and again, as a server would, and looks at its answers."""

    def __init__(self, app: ASGIApp, method: str, path: str) -> None:
        self.app = app
        self.method = method
        self.path = path
        self.statuses: set[int] = set()

    def scope(self) -> dict[str, Any]:
        return {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "server": ("127.0.0.1", 8000),
            "client": ("127.0.0.1", 50000),
            "scheme": "http",
            "method": self.method,
            "root_path": "",
            "path": self.path,
            "raw_path": self.path.encode(),
            "query_string": b"",
            "headers": HEADERS.copy(),
            # No lifespan has run: all that these routes ask for is whether there is a limit.
            "state": {"services": SimpleNamespace(limiter=None)},
        }

    async def receive(self) -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.statuses.add(message["status"])

    async def measure(self, requests: int) -> float:
        """CPU µs a request, those of other threads included."""
        began = time.process_time()
        for _ in range(requests):
            await self.app(self.scope(), self.receive, self.send)
        return (time.process_time() - began) / requests * 1e6


@contextmanager
def log_in_file(folder: Path) -> Iterator[None]:
    before = sys.stderr
    with (folder / "log").open("w") as log:
        sys.stderr = log
        try:
            yield
        finally:
            sys.stderr = before


def callers(folder: Path) -> dict[str, Caller]:
    apps: dict[str, ASGIApp] = {"strata": strata(folder), "FastAPI alone": plain()}
    first, last = "/api/v9/things0/7/part0", f"/api/v9/things{ROUTERS - 1}/7/part{PATHS - 1}"
    requests = {"/health": ("GET", "/health"), "first of 240": ("GET", first), "last of 240": (METHODS[-1], last)}
    found = {f"{name}, {what}": Caller(app, *of) for name, app in apps.items() for what, of in requests.items()}
    return found | {"bare ASGI": Caller(bare, "GET", "/health")}


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--requests", type=int, default=1000)
    options = parser.parse_args()
    measured: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as folder, log_in_file(Path(folder)):
        found = callers(Path(folder))
        for caller in found.values():
            await caller.measure(options.requests)  # warms up
        for _ in range(options.rounds):
            for name, caller in found.items():
                measured.setdefault(name, []).append(await caller.measure(options.requests))
        assert all(caller.statuses == {200} for caller in found.values())
    report({name: statistics.median(values) for name, values in measured.items()})


def report(medians: dict[str, float]) -> None:
    for name, median in medians.items():
        print(f"{name:28}{median:8.1f} µs   {median / medians['bare ASGI']:6.1f} x bare")
    for name in ("strata", "FastAPI alone"):
        print(f"{name}: last / first of 240 = {medians[f'{name}, last of 240'] / medians[f'{name}, first of 240']:.2f}")


if __name__ == "__main__":
    asyncio.run(main())
