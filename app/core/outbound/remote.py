"""HTTP requests to another service, bounded in time and size; the only module that imports httpx."""

import asyncio
import ssl
from dataclasses import dataclass
from datetime import timedelta

import httpx
import structlog
from httpx_retries import Retry, RetryTransport
from pydantic import HttpUrl

from app.core.errors import UnavailableError
from app.core.outbound.circuit import Circuit, CircuitOpenError

log = structlog.get_logger()

DEADLINE = timedelta(seconds=2)
CONNECT_TIMEOUT_SECONDS = 0.5
RETRY_AFTER_SECONDS = 5
LIMITS = httpx.Limits(max_connections=50, max_keepalive_connections=10)
MAX_BODY_BYTES = 64 * 1024
# Three attempts, with up to 0.1 and 0.2 s between them. `Retry-After` is ignored: no caller could wait longer than
# the deadline.
RETRY = Retry(total=2, backoff_factor=0.05, status_forcelist=(500, 502, 503, 504), respect_retry_after_header=False)


@dataclass(frozen=True, slots=True)
class RemoteResponse:
    """`body` is empty if it exceeded the limit."""

    status: int
    body: bytes


class Remote:
    """A client of one service with pooled connections; `unavailable` is the error raised while it is down."""

    def __init__(
        self, url: str, unavailable: type[UnavailableError], circuit: Circuit, *, deadline: timedelta = DEADLINE
    ) -> None:
        self.client = open_client(url, deadline)
        self.unavailable = unavailable
        self.circuit = circuit
        self.deadline_seconds = deadline.total_seconds()

    async def close(self) -> None:
        await self.client.aclose()

    async def get(self, path: str) -> RemoteResponse:
        """GET with retries. Any status below 500 other than 429 is a response, redirects included.

        Raises:
            UnavailableError: of the class `unavailable`, if there is no response in time or the circuit is open.
        """
        try:
            async with self.circuit.passing(), asyncio.timeout(self.deadline_seconds):
                return await self.send(path)
        except CircuitOpenError as error:
            raise self.unavailable(retry_after=error.retry_after) from None
        except (httpx.HTTPError, TimeoutError) as error:
            log.warning("a service does not respond", service=self.circuit.name, error=reason(error))
            retry_after = await self.circuit.seconds_to_wait() or RETRY_AFTER_SECONDS
            raise self.unavailable(retry_after=retry_after) from error

    async def send(self, path: str) -> RemoteResponse:
        async with self.client.stream("GET", path, headers=request_id()) as response:
            if response.status_code >= 500 or response.status_code == 429:
                response.raise_for_status()
            return RemoteResponse(response.status_code, await read_bounded(response))


def open_client(text: str, deadline: timedelta) -> httpx.AsyncClient:
    url = httpx.URL(str(HttpUrl(text)))
    return httpx.AsyncClient(
        # Separate from the URL, which is more likely to be logged.
        base_url=url.copy_with(userinfo=b""),
        auth=(url.username, url.password) if url.userinfo else None,
        # No compression: a small response could expand to a large one.
        headers={"Accept": "application/json", "Accept-Encoding": "identity", "User-Agent": "strata"},
        # A slow response is awaited until the deadline: a retry would make the service slower still.
        timeout=httpx.Timeout(deadline.total_seconds(), connect=CONNECT_TIMEOUT_SECONDS),
        transport=RetryTransport(
            # The system's certificates, as for mail.
            httpx.AsyncHTTPTransport(verify=ssl.create_default_context(), limits=LIMITS),
            RETRY,
        ),
        follow_redirects=False,
        trust_env=False,
    )


async def read_bounded(response: httpx.Response) -> bytes:
    body = b""
    async for chunk in response.aiter_raw():
        body += chunk
        if len(body) > MAX_BODY_BYTES:
            return b""
    return body


def request_id() -> dict[str, str]:
    """The request ID to pass on, so that log lines of both services can be correlated."""
    current = structlog.contextvars.get_contextvars().get("request_id")
    return {"X-Request-ID": current} if current else {}


def reason(error: Exception) -> str:
    """The reason without the exception's text, which may contain the URL."""
    return f"status {error.response.status_code}" if isinstance(error, httpx.HTTPStatusError) else type(error).__name__
