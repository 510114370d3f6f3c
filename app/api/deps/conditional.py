"""Conditional requests: `ETag`, `If-Match` and `If-None-Match` by the version of a resource (RFC 9110 section 13)."""

import re
from functools import lru_cache
from typing import Annotated, Protocol

from fastapi import Depends, Header, Request, Response

from app.api.application import Application
from app.api.errors import EarlyResponse
from app.core.errors import PreconditionFailedError

MAX_TAGS = 1000
IfNoneMatchHeader = Annotated[
    str | None, Header(max_length=MAX_TAGS, description="An ETag you have; 304 if it is current.")
]
IfMatchHeader = Annotated[
    str | None, Header(max_length=MAX_TAGS, description="The ETag the change is based on; else 412.")
]


# What a proxy that compresses adds to a tag: `W/` (nginx, CDNs), or the coding (`"3-gzip"`, `"3;br"`); none of ours
# ends like that. If-Match should compare strongly (RFC 9110 section 13.1.1), but no write behind such a proxy would
# ever fit then. Weak tags are refused there since several states of a resource may share one. Ours are versions:
# whoever has a representation of version 3, compressed or not, has seen version 3.
CODING = r"(?:(?:--?|;)(?:gzip|br|zstd|deflate))?"
TAG = re.compile(rf'(?:^|,)\s*(?:W/)?"([^"]*?){CODING}"\s*(?=,|$)')
VERSION_TAG = re.compile(rf'(?:^|,)\s*(?:W/)?"([1-9][0-9]{{0,9}}){CODING}"\s*(?=,|$)')


class HasVersion(Protocol):
    """A row, or what was made of one."""

    @property
    def version(self) -> int: ...


def etag(row: HasVersion) -> str:
    return version_tag(row.version)


def version_tag(version: int) -> str:
    return f'"{version}"'


def names(header: str, tag: str) -> bool:
    """Whether a list of entity tags (RFC 9110 section 8.8.3) has this one, or is `*`; compared weakly."""
    return header.strip() == "*" or tag.strip('"') in TAG.findall(header)


def require_modified(if_none_match: str | None, tag: str, **headers: str) -> None:
    """Answers a client that already has this version with 304."""
    if if_none_match is not None and names(if_none_match, tag):
        raise EarlyResponse(Response(status_code=304, headers={"ETag": tag, **headers}))


@lru_cache
def path_of(app: Application, handler: str, names: tuple[str, ...]) -> str:
    """With `{name}` where each parameter goes: to look for a route takes longer than to insert a row."""
    return app.public_root + str(app.url_path_for(handler, **{name: f"{{{name}}}" for name in names}))


def add_header(response: Response, name: bytes, value: str) -> None:
    """One that is not there yet; to set one looks through all of them."""
    response.raw_headers.append((name, value.encode("latin-1")))


class ETag:
    """Tells clients the version of what they get."""

    def __init__(self, response: Response) -> None:
        self.response = response

    def tag[V: HasVersion](self, row: V) -> V:
        add_header(self.response, b"etag", etag(row))
        return row


class Created(ETag):
    """Like ETag, and tells where the new resource is."""

    def __init__(self, request: Request, response: Response) -> None:
        super().__init__(response)
        self.request = request

    def at(self, handler: str, **path_params: object) -> None:
        """`handler` is the name of the function that reads the resource."""
        location = path_of(self.request.app, handler, tuple(path_params))
        add_header(self.response, b"location", location.format_map(path_params))


class Conditional(ETag):
    """Like ETag, for reads: a client that already has this version is told so (304) instead."""

    def __init__(self, response: Response, if_none_match: str | None) -> None:
        super().__init__(response)
        self.if_none_match = if_none_match

    def tag[V: HasVersion](self, row: V) -> V:
        require_modified(self.if_none_match, etag(row))
        return super().tag(row)


class IfMatch:
    """RFC 9110 section 13.1.1, but for weak tags: a write that only applies to the version the client has seen."""

    def __init__(self, if_match: str | None) -> None:
        self.if_match = if_match

    def check(self, row: HasVersion) -> None:
        self.check_version(row.version)

    @property
    def versions(self) -> frozenset[int] | None:
        """Those that the client has seen; None where any will do, or where it does not say."""
        if self.if_match is None or self.if_match.strip() == "*":
            return None
        return frozenset(map(int, VERSION_TAG.findall(self.if_match)))

    def check_version(self, version: int | None) -> None:
        """None where there was nothing yet: then no tag fits, `*` neither."""
        if self.if_match is None:
            return
        if version is None or (self.versions is not None and version not in self.versions):
            raise PreconditionFailedError


# Coroutines, all of them: FastAPI sends a class or a plain function to a thread, which costs more than most handlers.


async def get_etag(response: Response) -> ETag:
    return ETag(response)


async def get_created(request: Request, response: Response) -> Created:
    return Created(request, response)


async def get_conditional(response: Response, if_none_match: IfNoneMatchHeader = None) -> Conditional:
    return Conditional(response, if_none_match)


async def get_if_match(if_match: IfMatchHeader = None) -> IfMatch:
    return IfMatch(if_match)


ETagDep = Annotated[ETag, Depends(get_etag)]
CreatedDep = Annotated[Created, Depends(get_created)]
ConditionalDep = Annotated[Conditional, Depends(get_conditional)]
IfMatchDep = Annotated[IfMatch, Depends(get_if_match)]
