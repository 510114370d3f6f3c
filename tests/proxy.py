"""A TCP proxy before PostgreSQL that does to connections what networks, poolers and failovers do."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

from sqlalchemy.engine import URL, make_url

LISTENER = b"strata listener"
# PostgreSQL's BackendKeyData: which process serves the connection.
BACKEND = re.compile(rb"K\x00\x00\x00\x0c(.{4})", re.DOTALL)


@dataclass
class Proxy:
    """Passes everything on, but for connections of the listener what these say."""

    flows: asyncio.Event = field(default_factory=asyncio.Event)
    refuses: bool = False
    is_pooler: bool = False
    # Whether new connections are taken, and then nothing is said on them.
    mutes: bool = False
    # Where new connections lead to.
    url: URL = field(default_factory=lambda: make_url("postgresql://"))
    listeners: int = 0
    # Of the connections that are still heard.
    passes: asyncio.Event = field(default_factory=asyncio.Event)
    # Whether a connection is cut as soon as anything is sent on it; new ones are not.
    cuts: set[asyncio.StreamWriter] = field(default_factory=set)
    clients: set[asyncio.StreamWriter] = field(default_factory=set)

    def silence(self) -> None:
        """What is open now stays open, and no byte passes any more; new connections work."""
        self.passes.clear()
        self.passes = asyncio.Event()
        self.passes.set()

    def freeze(self) -> None:
        """Nothing arrives any more, and nobody is told."""
        self.flows.clear()

    def thaw(self) -> None:
        self.flows.set()

    def cut(self) -> None:
        """What is open now ends."""
        for writer in self.clients:
            writer.close()

    def cut_late(self) -> None:
        """What is open now ends with the next that is sent on it."""
        self.cuts = {*self.clients}

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionRefusedError):
            await self.lead(reader, writer)

    async def lead(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        host, port = self.url.host or "localhost", self.url.port or 5432
        self.clients.add(writer)
        try:
            hello = await reader.read(65536)
            if self.mutes:
                await asyncio.Event().wait()
            if LISTENER not in hello:
                await self.join(hello, reader, writer, host, port, holds=False)
            elif not self.refuses:
                self.listeners += 1
                await self.join(hello, reader, writer, host, port, holds=True)
        finally:
            self.clients.discard(writer)
            writer.close()

    async def join(
        self,
        hello: bytes,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        host: str,
        port: int,
        *,
        holds: bool,
    ) -> None:
        passes = self.passes
        there, back = await asyncio.open_connection(host, port)
        back.write(hello)
        try:
            pipes = [
                asyncio.ensure_future(self.pipe(reader, back, passes, holds=holds, client=writer)),
                asyncio.ensure_future(self.pipe(there, writer, passes, holds=holds)),
            ]
            await asyncio.wait(pipes, return_when=asyncio.FIRST_COMPLETED)
            for pipe in pipes:
                pipe.cancel()
            await asyncio.wait(pipes)
        finally:
            back.close()

    async def pipe(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        passes: asyncio.Event,
        *,
        holds: bool,
        client: asyncio.StreamWriter | None = None,
    ) -> None:
        with suppress(ConnectionError):
            while data := await reader.read(65536):
                await passes.wait()
                if client in self.cuts:
                    return
                if holds:
                    await self.flows.wait()
                    if self.is_pooler:
                        data = BACKEND.sub(b"K\x00\x00\x00\x0c\x00\x00\x00\x01", data)
                writer.write(data)
                await writer.drain()


@asynccontextmanager
async def before(url: URL) -> AsyncIterator[tuple[URL, Proxy]]:
    """The address of a proxy in place of a server's, and the proxy."""
    proxy = Proxy(url=url)
    proxy.thaw()
    proxy.passes.set()
    tasks: set[asyncio.Task[None]] = set()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(proxy.serve(reader, writer))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    try:
        yield url.set(host="127.0.0.1", port=port).update_query_dict({"ssl": "disable"}), proxy
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
