"""Negotiation of the response's content coding (RFC 9110 section 12.5.3)."""

from functools import lru_cache

GZIP = (b"gzip", b"x-gzip")


# Clients send one of a few values, and only those of large responses are parsed.
@lru_cache(maxsize=100)
def accepts_gzip(accept_encoding: bytes) -> bool:
    """Whether gzip is acceptable and not less preferred than `identity`."""
    weights = dict(weighted(coding) for coding in accept_encoding.lower().split(b","))
    named = [weights[name] for name in GZIP if name in weights]
    gzip = max(named) if named else weights.get(b"*", 0)
    return gzip > 0 and gzip >= weights.get(b"identity", 0)


def weighted(coding: bytes) -> tuple[bytes, float]:
    """A coding and its weight; an invalid weight counts as 0, since compression is optional."""
    name, *parameters = (part.strip() for part in coding.split(b";"))
    weight = next((value for key, _, value in (each.partition(b"=") for each in parameters) if key == b"q"), b"1")
    try:
        return name, float(weight)
    except ValueError:
        return name, 0
