"""uvicorn's HTTP/1.1 protocol with bounds on buffered data and on waiting for slow clients."""

import asyncio
from typing import TYPE_CHECKING, Any, Literal

import httptools
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from app.api.middleware.head_limit import MALFORMED, MAX_BYTES, TIMED_OUT, TOO_LARGE
from app.api.server_scope import ABORT, BOUNDED, REFUSED
from app.cli.request_heads import head_without_upgrade, origin_form
from app.cli.transports import LingeringTransport, without_chunks

if TYPE_CHECKING:
    from uvicorn._types import ASGI3Application

# Pipelined requests that may wait; a connection's requests are served one at a time.
MAX_PIPELINED = 100
VERSIONS = ("1.0", "1.1")
# Seconds from the first byte of a head to its last, and from one piece of a body to the next.
SLOW_SECONDS = 30
# Seconds at shutdown for the first request of a new connection, and for the rest of a head.
LAST_REQUEST_SECONDS = 1

type Wait = Literal["request", "head", "body"]


class BoundedProtocol(HttpToolsProtocol):
    """Counts the bytes of unfinished heads, trailers and chunk extensions before they reach the parser.

    The parser concatenates the pieces of a header, in quadratic time, and the application's own limit (`HeadLimit`)
    sees finished heads only. Rejections are sent by `HeadLimit`.
    """

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self.unfinished = 0
        self.is_refused = False
        self.wants_upgrade = False
        self.body_bytes = 0
        # What the connection waits for since the last check, and since when (event loop time).
        self.wait: tuple[object, ...] = ()
        self.waits_since = 0.0

    def data_received(self, data: bytes) -> None:
        self.unfinished += len(data)
        if self.unfinished <= MAX_BYTES and not self.is_refused:
            self.parse(data)
        else:
            self.unfinished -= len(data)
            self.receive_in_pieces(data)

    def receive_in_pieces(self, data: bytes) -> None:
        """Feed the parser in pieces that fit the bound; body bytes reset the count."""
        while data and not self.is_refused and not self.transport.is_closing():
            room = MAX_BYTES - self.unfinished
            if not room:
                self.refuse(TOO_LARGE)
                return
            piece, data = data[:room], data[room:]
            self.unfinished += len(piece)
            self.parse(piece)

    def parse(self, data: bytes) -> None:
        self._unset_keepalive_if_required()
        while data:
            try:
                self.parser.feed_data(data)
                data = b""
            except httptools.HttpParserUpgrade as upgrade:
                data = self.without_upgrade() + data[upgrade.args[0] :]
            except httptools.HttpParserError:
                self.logger.warning("Invalid HTTP request received.")
                self.refuse(MALFORMED)
                return

    def without_upgrade(self) -> bytes:
        """The head without `Upgrade`, for a new parser: this one would treat the body as upgraded data."""
        method, version = self.parser.get_method(), self.parser.get_http_version()
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn does
        return head_without_upgrade(method, self.url, version, self.headers)

    def on_headers_complete(self) -> None:
        self.unfinished = 0
        self.wants_upgrade = self.parser.should_upgrade() and self.parser.get_method() != b"CONNECT"
        if self.wants_upgrade:
            return
        # An exception here stops the parser, and the request is rejected.
        if self.parser.get_http_version() not in VERSIONS:
            raise RuntimeError("another version of HTTP")
        if len(self.pipeline) >= MAX_PIPELINED:
            raise RuntimeError("too many requests at once")
        if self.url[:1] != b"/":
            self.url = origin_form(self.url, self.headers)
        # A copy: trailers are not headers (RFC 9110 section 6.5.1).
        self.scope["headers"] = self.headers.copy()
        self.scope[ABORT] = self.transport.abort  # type: ignore[literal-required] # a key of ours
        self.scope[BOUNDED] = True  # type: ignore[literal-required] # a key of ours
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self.unfinished = 0
        self.body_bytes += len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        if not self.wants_upgrade:
            super().on_message_complete()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: "ASGI3Application") -> None:
        if not cycle.keep_alive:
            # Set only now: the client may still send during the response, and would be reset.
            cycle.transport = LingeringTransport(self, cycle)
            if cycle.scope["http_version"] == "1.0":
                cycle.waiting_for_100_continue = False  # RFC 9110 section 10.1.1
                app = without_chunks(app, cycle)
        super()._start_asgi_task(cycle, app)

    def waits_for(self) -> Wait | None:
        """What the client still has to send; None if it is the server's turn."""
        cycle = self.newest()
        if self.is_refused or self.flow.read_paused:
            return None
        if self.has_begun_another():
            return "head"
        if cycle is None or cycle.response_complete:
            return "request"
        return "body" if cycle.more_body and not cycle.response_started else None

    def has_begun_another(self) -> bool:
        """Whether a head has begun to arrive."""
        begun: object = self.scope  # None before the first, whatever uvicorn's types say
        cycle = self.newest()
        return begun is not None and (cycle is None or cycle.scope is not begun)

    def is_inside_a_request(self) -> bool:
        """Whether the headers read last belong to the current message."""
        cycle = self.newest()
        return self.has_begun_another() or (cycle is not None and cycle.more_body)

    def cut_if_slow(self, now: float) -> None:
        """Called about once a second. A client that trickles bytes would hold the connection forever."""
        waits_for = self.waits_for()
        wait = (waits_for, self.cycle, self.body_bytes)
        if waits_for is None or wait != self.wait:
            self.wait, self.waits_since = wait, now
        elif waits_for == "request" and now - self.waits_since > self.timeout_keep_alive:
            self.transport.close()
        elif waits_for != "request" and now - self.waits_since > SLOW_SECONDS:
            self.refuse(TIMED_OUT)

    def shutdown(self) -> None:
        """Serve requests that have begun or are just arriving; close idle connections."""
        if self.newest() is None or self.waits_for() == "head":
            self.loop.call_later(LAST_REQUEST_SECONDS, self.close_unused)
        else:
            super().shutdown()

    def close_unused(self) -> None:
        if self.waits_for() in {"request", "head"}:
            self.transport.close()

    def refuse(self, status: int) -> None:
        """Reject the request after the responses to earlier ones, and stop reading."""
        before, cycle = self.newest(), self.refusal(status)
        self.is_refused = True
        if before is not None and before.more_body:
            # What is rejected is the rest of that request.
            before.disconnected = True
            before.message_event.set()
            if before.response_started or self.pipeline:
                LingeringTransport(self, before).close()
                return
        elif before is not None and not before.response_complete:
            self.pipeline.appendleft((cycle, self.app))
            return
        self.cycle = cycle
        self._start_asgi_task(cycle, self.app)

    def newest(self) -> RequestResponseCycle | None:
        """None before the first request, whatever uvicorn's types say."""
        return self.cycle

    def refusal(self, status: int) -> RequestResponseCycle:
        scope: Any = {
            "type": "http",
            "asgi": {"version": self.asgi_version, "spec_version": "2.3"},
            "http_version": "1.1",
            "server": self.server,
            "client": self.client,
            "scheme": self.scheme,
            "root_path": self.root_path,
            "method": self.parser.get_method().decode("ascii"),
            "path": "/",
            "raw_path": b"/",
            "query_string": b"",
            "headers": self.headers if self.is_inside_a_request() else [],
            "state": self.app_state.copy(),
            REFUSED: status,
        }
        return RequestResponseCycle(
            scope=scope,
            transport=LingeringTransport(self),
            flow=self.flow,
            logger=self.logger,
            access_logger=self.access_logger,
            access_log=self.access_log,
            default_headers=self.server_state.default_headers,
            message_event=asyncio.Event(),
            expect_100_continue=False,
            keep_alive=False,
            on_response=self.on_response_complete,
        )
