"""Parses hosts, origins and proxies in settings, and normalizes them to the form of requests."""

from ipaddress import IPv6Address, ip_address, ip_network
from re import fullmatch
from urllib.parse import SplitResult, urlsplit

DEFAULT_PORTS = {"http": 80, "https": 443}
# Names as DNS has them; a resolver may know names with underscores too.
HOST = r"[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?)*"
MAX_HOST_LENGTH = 253  # RFC 1035 section 2.3.4


def read_origin(text: str) -> str:
    """An origin as browsers send it (RFC 6454 section 6.2): in small letters, without the usual port and a slash.

    Raises:
        ValueError: if it is none.
    """
    if text == "*":
        return text
    url = split(text)
    if url is None or not url.scheme or not url.netloc:
        raise ValueError("an origin is a scheme and a host, as in https://app.example.com")
    if url.path not in {"", "/"} or url.query or url.fragment or "@" in url.netloc:
        raise ValueError("an origin has no path, query or user: https://app.example.com")
    if "*" in url.netloc:
        raise ValueError("an origin cannot be a pattern; list each one")
    port = "" if url.port in {None, DEFAULT_PORTS.get(url.scheme)} else f":{url.port}"
    return f"{url.scheme}://{read_host(url.hostname or '')}{port}"


def read_trusted_host(text: str) -> str:
    """A host name, `*.` and a host name, or the host of a URL. Ports are ignored, as in requests.

    Raises:
        ValueError: if it is none.
    """
    if text == "*":
        return text
    if is_ipv6(text):
        return read_host(text)
    url = split(text if "://" in text else f"//{text}")
    if url is None or url.path not in {"", "/"} or url.query or url.fragment or "@" in url.netloc:
        raise ValueError("a host is a name or an address alone, as in api.example.com")
    host = url.hostname or ""
    return f"*.{read_host(host[2:])}" if host.startswith("*.") else read_host(host)


def read_host(host: str) -> str:
    """Raises ValueError if it is neither a host name nor an address."""
    if is_ipv6(host):
        return f"[{IPv6Address(host)}]"
    host = host.lower().removesuffix(".")
    if not host.isascii():
        raise ValueError("a host name must be ASCII; write it in Punycode")
    if "*" in host:
        raise ValueError("`*` stands for the first part of a host name alone, as in *.example.com")
    if len(host) > MAX_HOST_LENGTH or not fullmatch(HOST, host):
        raise ValueError("a host is a name or an address alone, as in api.example.com")
    return host


def read_proxy(text: str) -> str:
    """An address or a network, in one spelling. Names of hosts would match no connection.

    Raises:
        ValueError: if it is neither.
    """
    text = text.removeprefix("[").removesuffix("]")
    if text == "*":
        return text
    try:
        # Host bits of a network may be set: 10.0.0.1/8 is 10.0.0.0/8.
        return str(ip_network(text, strict=False) if "/" in text else ip_address(text))
    except ValueError:
        raise ValueError(
            "a proxy is an address or a network, as in 10.0.0.5 or 10.0.0.0/8; names of hosts are not looked up"
        ) from None


def split(text: str) -> SplitResult | None:
    """None for an invalid URL, an invalid port included."""
    try:
        url = urlsplit(text)
        _ = url.port
    except ValueError:
        return None
    return url


def is_ipv6(text: str) -> bool:
    try:
        IPv6Address(text)
    except ValueError:
        return False
    return "%" not in text  # a zone identifier is local to one machine
