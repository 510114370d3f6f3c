"""The headers of every response."""

import random
import re
from collections.abc import Iterable, Mapping

type Pairs = list[tuple[bytes, bytes]]

SANE_ID = re.compile(rb"[A-Za-z0-9._-]{1,128}")
HSTS = (b"strict-transport-security", b"max-age=31536000; includeSubDomains")
GUARDS = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
)
OWN = frozenset({b"x-request-id", b"x-process-time", b"server-timing"})
VARY_ORIGIN = (b"vary", b"Origin")
NO_STORE = (b"cache-control", b"no-store")
# Responses hold personal data; revalidation may still save the transfer.
REVALIDATE = (b"cache-control", b"private, no-cache")


def request_id_of(request_headers: Mapping[bytes, bytes]) -> bytes:
    """The client's `X-Request-ID` if it is valid, else a new one."""
    theirs = request_headers.get(b"x-request-id")
    if theirs is not None and SANE_ID.fullmatch(theirs):
        return theirs
    # It need not be unpredictable, and the operating system's randomness takes ten times as long.
    return b"%032x" % random.getrandbits(128)


class ResponseHeaders:
    """Completes the headers of a response; those that a handler set stay, except for `OWN`."""

    def __init__(self, *, hsts: bool) -> None:
        self.guards = (*GUARDS, HSTS) if hsts else GUARDS
        self.guarded = frozenset(name for name, _ in self.guards)

    def complete(
        self, pairs: Iterable[tuple[bytes, bytes]], request_id: bytes, seconds: float, *, varies: bool
    ) -> Pairs:
        complete = list(pairs)
        present = dict(complete).keys()
        if not present.isdisjoint(OWN):
            complete = [pair for pair in complete if pair[0] not in OWN]
        complete += (
            (b"x-request-id", request_id),
            (b"x-process-time", b"%.6f" % seconds),
            (b"server-timing", b"app;dur=%.3f" % (seconds * 1000)),
        )
        if present.isdisjoint(self.guarded):
            complete += self.guards
        else:
            complete += [pair for pair in self.guards if pair[0] not in present]
        if b"cache-control" not in present:
            complete.append(REVALIDATE if b"etag" in present else NO_STORE)
        if varies:
            complete = vary(complete, b"Origin") if b"vary" in present else [*complete, VARY_ORIGIN]
        return complete


def vary(pairs: Pairs, name: bytes) -> Pairs:
    """The headers with `name` added to `Vary`."""
    for place, (each, names) in enumerate(pairs):
        if each == b"vary":
            return [*pairs[:place], (b"vary", b"%b, %b" % (names, name)), *pairs[place + 1 :]]
    return [*pairs, (b"vary", name)]
