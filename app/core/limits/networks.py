"""The network that counts as one client."""

from ipaddress import IPv6Address, ip_address

IPV6_SUBSCRIBER_BITS = 64


def network_of(host: str) -> str:
    """An IPv4 address, or the /64 of an IPv6 address, which one subscriber has (RFC 6177); other text as it is."""
    try:
        address = ip_address(host)
    except ValueError:
        return host
    if not isinstance(address, IPv6Address):
        return str(address)
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return f"{int(address) >> IPV6_SUBSCRIBER_BITS:x}/64"
