"""Framing of a connection's last response, and closing of the connection after it."""

import asyncio
from typing import TYPE_CHECKING

from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

if TYPE_CHECKING:
    from uvicorn._types import ASGI3Application, ASGIReceiveCallable, ASGISendCallable, ASGISendEvent, Scope

    from app.cli.http_protocol import BoundedProtocol

# Closing while the client sends resets the connection, and the client may never see the response.
LINGER_SECONDS = 2


class LingeringTransport(asyncio.Transport):
    """Lingering close: half-closes first, and discards what still arrives."""

    def __init__(self, protocol: "BoundedProtocol", cycle: RequestResponseCycle | None = None) -> None:
        """With a cycle, linger only if the client has not sent all of that request."""
        super().__init__()
        self.protocol = protocol
        self.transport = protocol.transport
        self.cycle = cycle

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.transport.write(data)

    def is_closing(self) -> bool:
        return self.transport.is_closing()

    def close(self) -> None:
        if self.cycle is not None and not self.cycle.more_body:
            self.transport.close()
            return
        self.protocol.is_refused = True
        if self.transport.can_write_eof() and not self.transport.is_closing():
            self.transport.write_eof()
        self.protocol.flow.resume_reading()
        self.protocol.loop.call_later(LINGER_SECONDS, self.transport.close)


def without_chunks(app: "ASGI3Application", cycle: RequestResponseCycle) -> "ASGI3Application":
    """HTTP/1.0 has no chunks: a response of unknown length ends with the connection (RFC 9112 section 6.3)."""

    async def application(scope: "Scope", receive: "ASGIReceiveCallable", send: "ASGISendCallable") -> None:
        has_length = True

        async def send_unframed(message: "ASGISendEvent") -> None:
            nonlocal has_length
            if message["type"] == "http.response.start":
                has_length = any(name.lower() == b"content-length" for name, _ in message.get("headers", ()))
                if not has_length:
                    cycle.chunked_encoding = False
            elif message["type"] == "http.response.body" and not has_length:
                cycle.expected_content_length = len(message.get("body", b""))  # of this piece: uvicorn counts down
            await send(message)

        await app(scope, receive, send_unframed)

    return application
