"""Load from a number of connections that each send when their last request is answered."""

import asyncio
import json
import random
import time
from collections.abc import Iterator
from itertools import cycle, islice
from pathlib import Path
from typing import Any, cast

from rig.order import Order, Tally
from rig.processes import backend_seconds, cpu_seconds, mib, spent

HEAD_END = b"\r\n\r\n"
LENGTH = b"content-length: "


class Connection(asyncio.Protocol):
    transport: asyncio.Transport

    def __init__(self, load: "Load") -> None:
        self.load = load
        self.received = b""
        self.expected = 0
        self.due = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's is of no such class
        self.load.opened(self)

    def send(self, due: float) -> None:
        self.due = due
        self.transport.write(next(self.load.requests))

    def data_received(self, data: bytes) -> None:
        if self.received:
            data = self.received + data
        if not self.expected:
            end = data.find(HEAD_END)
            if end < 0:
                self.received = data
                return
            head = data[:end].lower()
            at = head.find(LENGTH)
            if at < 0:
                self.load.fail(f"an answer without Content-Length: {head.decode()}")
                return
            line_end = head.find(b"\r", at)
            self.expected = end + 4 + int(head[at + len(LENGTH) : line_end if line_end > 0 else end])
        if len(data) < self.expected:
            self.received = data
            return
        self.received, self.expected = b"", 0
        self.load.answered(self, data)

    def connection_lost(self, _: Exception | None) -> None:
        self.load.closed(self)


class Load:
    """As many requests as so many connections get answered."""

    def __init__(self, order: Order) -> None:
        self.order = order
        self.loop = asyncio.get_running_loop()
        self.loop.set_exception_handler(self.stumble)
        prepared = [text.encode() for text in json.loads(Path(order.requests).read_text())]
        self.requests: Iterator[bytes] = islice(cycle(prepared), random.randrange(len(prepared)), None)
        self.tally = Tally()
        self.counts = self.ended = False

    async def run(self) -> Tally:
        connections = [self.connect() for _ in range(self.order.connections)]
        await asyncio.gather(*connections)
        await asyncio.sleep(self.order.warm_up)
        await self.measure()
        return self.tally

    async def measure(self) -> None:
        order, tally = self.order, self.tally
        backends = backend_seconds(order.database)
        server, client, began = cpu_seconds(order.pid), time.process_time(), time.perf_counter()
        self.counts = True
        await asyncio.sleep(order.seconds)
        self.counts = False
        tally.seconds = time.perf_counter() - began
        tally.client_cpu = time.process_time() - client
        tally.server_cpu = cpu_seconds(order.pid) - server
        tally.postgres_cpu = spent(backends, backend_seconds(order.database)) if backends else None
        tally.rss = mib(order.pid)
        self.ended = True

    async def connect(self) -> None:
        await self.loop.create_connection(lambda: Connection(self), "127.0.0.1", self.order.port)

    def opened(self, connection: Connection) -> None:
        connection.send(time.perf_counter())

    def answered(self, connection: Connection, data: bytes) -> None:
        now = time.perf_counter()
        status = data[9:12]
        if status[:1] != b"2":
            self.fail(data.decode(errors="replace"))
        if self.counts:
            self.tally.latencies.append(now - connection.due)
        if not self.ended:
            connection.send(now)

    def closed(self, _: Connection) -> None:
        if not self.ended:
            self.fail("the server closed a connection")

    def stumble(self, _: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """What a callback raises would only be logged."""
        self.fail(repr(context.get("exception", context["message"])))

    def fail(self, why: str) -> None:
        """Only what succeeds is worth measuring."""
        self.tally.fault = self.tally.fault or why
