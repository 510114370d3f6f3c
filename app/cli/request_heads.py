"""Rewrites valid request heads that uvicorn would not understand."""

import httptools

type Fields = list[tuple[bytes, bytes]]


def origin_form(target: bytes, fields: Fields) -> bytes:
    """The origin form of an absolute target (RFC 9112 section 3.2.2), whose host must equal `Host`.

    Raises:
        ValueError: the hosts differ, or the target is invalid.
    """
    if target == b"*":
        return target
    scheme, _, rest = target.partition(b"://")
    authority = rest.partition(b"/")[0].partition(b"?")[0].lower()
    if not scheme or authority not in [value.lower() for name, value in fields if name == b"host"]:
        raise ValueError("the target names another host")
    url = httptools.parse_url(target)
    return (url.path or b"/") + (b"?" + url.query if url.query else b"")


def head_without_upgrade(method: bytes, target: bytes, version: str, fields: Fields) -> bytes:
    """Upgrades are not supported; a request for one is served over HTTP/1.1 (RFC 9110 section 7.8)."""
    kept = [b"%b: %b" % field for field in fields if field[0] != b"upgrade"]
    return b"\r\n".join((b"%b %b HTTP/%b" % (method, target, version.encode()), *kept, b"\r\n"))
