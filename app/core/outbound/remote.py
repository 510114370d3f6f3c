"""Asking another service over HTTP, within bounds of time and size; the one module that knows httpx."""

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
# Three attempts, with up to 0.1 and 0.2 s between them. How long the service wants us to wait is not asked: where
# that is less than the deadline it makes no difference, and where it is more nobody can wait for it.
RETRY = Retry(total=2, backoff_factor=0.05, status_forcelist=(500, 502, 503, 504), respect_retry_after_header=False)


@dataclass(frozen=True, slots=True)
class RemoteResponse:
    """`body` is empty where it was larger than anybody wants to read."""

    status: int
    body: bytes


class Remote:
    """One service, over connections that are kept; `unavailable` is what is raised while it is down."""

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
        """Ask, and again if that fails at once. Any status below 500 but 429 is an answer, redirects included.

        Raises:
            UnavailableError: of the given kind, if there is no answer in time, or the service is left alone.
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
        # Apart from the address, which is logged more easily.
        base_url=url.copy_with(userinfo=b""),
        auth=(url.username, url.password) if url.userinfo else None,
        # Compressed, a small answer could become a large one.
        headers={"Accept": "application/json", "Accept-Encoding": "identity", "User-Agent": "strata"},
        # A slow answer is waited for until the deadline: to ask again would make the service slower still.
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
    """So that the service's log lines and ours can be told to belong together."""
    current = structlog.contextvars.get_contextvars().get("request_id")
    return {"X-Request-ID": current} if current else {}


def reason(error: Exception) -> str:
    """Without the exception's text: it may hold the address."""
    return f"status {error.response.status_code}" if isinstance(error, httpx.HTTPStatusError) else type(error).__name__
