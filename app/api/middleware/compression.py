"""Response bodies compressed with gzip on their way out (RFC 9110 section 8.4.1.3)."""

import zlib

import anyio.to_thread
from starlette.types import Message, Send

from app.api.middleware.headers import Pairs, vary

MINIMUM_SIZE = 1024  # of what is worth being compressed
THREAD_SIZE = 128 * 1024  # compressing more at once would hold up the event loop for milliseconds
LEVEL = 1  # takes half the time of the others
GZIP_WINDOW = 16 + zlib.MAX_WBITS  # zlib's way to say gzip
# What is compressed already, or must reach the client piece by piece.
EXCLUDED = frozenset(
    {
        b"application/grpc",
        b"application/gzip",
        b"application/x-gzip",
        b"application/zip",
        b"font/woff",
        b"font/woff2",
        b"image/avif",
        b"image/gif",
        b"image/jpeg",
        b"image/png",
        b"image/webp",
        b"text/event-stream",
    }
)
EXCLUDED_KINDS = frozenset({b"audio", b"video"})


def is_compressible(start: Message, headers: dict[bytes, bytes]) -> bool:
    """Whether a response of this type, and of this length where it is known, may be compressed."""
    if int(headers.get(b"content-length", MINIMUM_SIZE)) < MINIMUM_SIZE:
        return False
    if start["status"] in {204, 206, 304} or b"content-encoding" in headers:
        return False
    media_type = headers.get(b"content-type", b"").partition(b";")[0].strip().lower()
    return media_type not in EXCLUDED and media_type.partition(b"/")[0] not in EXCLUDED_KINDS


class Gzip:
    """Takes the messages of one compressible response, and sends them on compressed.

    A body that turns out to be small is sent as it is: the start waits for the first part of the body.
    """

    __slots__ = ("compressor", "is_large", "send", "start")

    def __init__(self, send: Send) -> None:
        self.send = send
        self.start: Message | None = None
        self.is_large = False
        self.compressor = zlib.compressobj(LEVEL, wbits=GZIP_WINDOW)

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.start = message
            return
        is_body = message["type"] == "http.response.body"
        if self.start is not None:
            start, self.start = self.start, None
            self.is_large = is_body and (
                message.get("more_body", False) or len(message.get("body", b"")) >= MINIMUM_SIZE
            )
            if self.is_large:
                message = await self.compressed(message)
                start["headers"] = compressed_headers(start.get("headers", ()), message)
            await self.send(start)
        elif is_body and self.is_large:
            message = await self.compressed(message)
        await self.send(message)

    async def compressed(self, message: Message) -> Message:
        body, is_last = message.get("body", b""), not message.get("more_body", False)
        if len(body) < THREAD_SIZE:
            body = self.compress(body, is_last)
        else:
            body = await anyio.to_thread.run_sync(self.compress, body, is_last)
        return {**message, "body": body}

    def compress(self, body: bytes, is_last: bool) -> bytes:
        # Each part can be read when it arrives.
        return self.compressor.compress(body) + self.compressor.flush(zlib.Z_FINISH if is_last else zlib.Z_SYNC_FLUSH)


def compressed_headers(pairs: Pairs, first: Message) -> Pairs:
    """With the length of what is sent in place of the other; none where more is to come."""
    kept = [pair for pair in pairs if pair[0] != b"content-length"]
    length = [] if first.get("more_body", False) else [(b"content-length", b"%d" % len(first["body"]))]
    return [*vary(kept, b"Accept-Encoding"), (b"content-encoding", b"gzip"), *length]
