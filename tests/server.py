"""A real uvicorn in the test's own event loop, so that a test can look inside the application it serves."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

import uvicorn
from fastapi import FastAPI

from app.api.deps import AppServices
from app.cli import server as graceful
from app.cli.http_protocol import BoundedProtocol


@dataclass(frozen=True, slots=True)
class Server:
    url: str
    port: int
    services: AppServices


class PromptServer(graceful.Server):
    """Ends when it is told to and nobody is connected: uvicorn looks, and waits, a tenth of a second each."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config, owns_port=True, handshake_seconds=0)
        self.told_to_end = asyncio.Event()

    async def main_loop(self) -> None:
        counter = 0
        while not await self.on_tick(counter):
            counter += 1
            with suppress(TimeoutError):
                await asyncio.wait_for(self.told_to_end.wait(), 0.1)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        await asyncio.sleep(0)  # who has just gone is noticed
        if self.server_state.connections or self.server_state.tasks:
            await super().shutdown(sockets)
            return
        for closing in [*self.servers, *(sockets or ())]:
            closing.close()
        await self.lifespan.shutdown()

    def end(self) -> None:
        self.should_exit = True
        self.told_to_end.set()


@asynccontextmanager
async def serve(app: FastAPI, **options: Any) -> AsyncIterator[Server]:
    """With the protocol of `strata serve`; `options` are more of uvicorn's."""
    usual = {"log_config": None, "access_log": False, "timeout_graceful_shutdown": 5, "http": BoundedProtocol}
    options = usual | options
    # With its protocol told, or asyncio would leave Nagle's algorithm on, and answers wait for the client's next ACK.
    with socket.socket(proto=socket.IPPROTO_TCP) as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
        config = uvicorn.Config(app, **options)
        server = PromptServer(config)
        # uvicorn's own would take over the signals of pytest.
        task = asyncio.create_task(server._serve(sockets=[listener]))
        while not server.started:
            if task.done():
                task.result()
            await asyncio.sleep(0.01)
        try:
            yield Server(f"http://127.0.0.1:{port}", port, server.lifespan.state["services"])
        finally:
            server.end()
            await task
