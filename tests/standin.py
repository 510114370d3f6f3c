"""A PostgreSQL that lets nobody in, for refusals that the real one is not set up for."""

import asyncio
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sqlalchemy.engine import URL


class StandIn:
    """Speaks just enough of PostgreSQL's protocol to refuse everyone with one error code."""

    def __init__(self, code: str) -> None:
        fields = f"SFATAL\0C{code}\0Mrefused\0\0".encode()
        self.refusal = b"E" + struct.pack("!I", len(fields) + 4) + fields
        self.tls_requests = 0
        self.parameters: list[dict[str, str]] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                (length,) = struct.unpack("!I", await reader.readexactly(4))
                packet = await reader.readexactly(length - 4)
                if packet == struct.pack("!I", 80877103):
                    self.tls_requests += 1
                    writer.write(b"N")
                    continue
                words = packet[4:].decode().rstrip("\0").split("\0")
                self.parameters.append(dict(zip(words[::2], words[1::2], strict=True)))
                writer.write(self.refusal)
                break
        except asyncio.IncompleteReadError:
            pass
        finally:
            writer.close()


@asynccontextmanager
async def stand_in(code: str) -> AsyncIterator[tuple[StandIn, URL]]:
    server = StandIn(code)
    async with await asyncio.start_server(server.serve, "127.0.0.1", 0) as listener:
        port = listener.sockets[0].getsockname()[1]
        yield server, URL.create("postgresql+asyncpg", "u", "p", "127.0.0.1", port, "d")
