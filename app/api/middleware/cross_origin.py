"""CORS: what scripts of other origins may send and read (Fetch standard)."""

from functools import partial
from typing import Any

from starlette.middleware.cors import CORSMiddleware
from starlette.types import Receive, Scope, Send

from app.api.middleware.refusals import WithCORS
from app.api.request_state import state_of
from app.core.config.settings import Settings

# HEAD included: it needs no preflight by itself, but a preflight caused by a header would fail without it.
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
# Headers that this API reads, and those that libraries, browsers and tracing add. None of them grants anything.
OWN_HEADERS = (
    "Authorization",
    "Idempotency-Key",
    "If-Match",
    "If-Modified-Since",
    "If-None-Match",
    "If-Range",
    "If-Unmodified-Since",
    "Last-Event-ID",
    "Range",
    "X-Request-ID",
)
CLIENTS_HEADERS = (
    "Accept-Encoding",
    "Cache-Control",
    "Content-Disposition",
    "Content-Encoding",
    "DNT",
    "Expires",
    "Keep-Alive",
    "Pragma",
    "Prefer",
    "Priority",
    "Save-Data",
    "User-Agent",
    "X-Correlation-ID",
    "X-CSRF-Token",
    "X-CSRFToken",
    "X-Requested-With",
    "X-XSRF-Token",
)
TUS_HEADERS = (
    "Tus-Resumable",
    "Upload-Checksum",
    "Upload-Concat",
    "Upload-Defer-Length",
    "Upload-Length",
    "Upload-Metadata",
    "Upload-Offset",
)
TRACING_HEADERS = (
    "b3",
    "baggage",
    "elastic-apm-traceparent",
    "newrelic",
    "Request-Context",
    "Request-Id",
    "sentry-trace",
    "traceparent",
    "tracestate",
    "uber-trace-id",
    "X-B3-Flags",
    "X-B3-ParentSpanId",
    "X-B3-Sampled",
    "X-B3-SpanId",
    "X-B3-TraceId",
    "X-Cloud-Trace-Context",
    "X-Datadog-Origin",
    "X-Datadog-Parent-Id",
    "X-Datadog-Sampling-Priority",
    "X-Datadog-Tags",
    "X-Datadog-Trace-Id",
)
EXPOSED_HEADERS = (
    "Accept-Ranges",
    "Allow",
    "Content-Disposition",
    "Content-Location",
    "Content-Range",
    "Deprecation",
    "ETag",
    "Idempotency-Replayed",
    "Link",
    "Location",
    "RateLimit-Limit",
    "RateLimit-Remaining",
    "RateLimit-Reset",
    "Retry-After",
    "Server-Timing",
    "Sunset",
    "Tus-Checksum-Algorithm",
    "Tus-Extension",
    "Tus-Max-Size",
    "Tus-Resumable",
    "Tus-Version",
    "Upload-Expires",
    "Upload-Length",
    "Upload-Metadata",
    "Upload-Offset",
    "WWW-Authenticate",
    "X-Process-Time",
    "X-Request-ID",
)


def cors_options(settings: Settings) -> dict[str, Any]:
    """Keyword arguments for Starlette's `CORSMiddleware`."""
    return {
        "allow_origins": settings.cors_origins,
        "allow_credentials": "*" not in settings.cors_origins,
        "allow_methods": METHODS,
        "allow_headers": (*OWN_HEADERS, *CLIENTS_HEADERS, *TUS_HEADERS, *TRACING_HEADERS, *settings.cors_headers),
        "expose_headers": EXPOSED_HEADERS,
    }


def with_cors(settings: Settings) -> WithCORS:
    """Returns a wrapper that adds CORS headers to an ASGI app's responses."""
    return partial(CORSMiddleware, **cors_options(settings))


class CORS(CORSMiddleware):
    """Starlette's middleware for requests with `Origin`; `Exchange` adds `Vary` to all other responses."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        has_origin = scope["type"] == "http" and b"origin" in state_of(scope).headers
        await (super().__call__ if has_origin else self.app)(scope, receive, send)
