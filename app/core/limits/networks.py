"""Which addresses are one client's."""

from ipaddress import IPv6Address, ip_address

IPV6_SUBSCRIBER_BITS = 64


def network_of(host: str) -> str:
    """An address; of IPv6 the /64, all of which one subscriber has (RFC 6177). What is no address is itself."""
    try:
        address = ip_address(host)
    except ValueError:
        return host
    if not isinstance(address, IPv6Address):
        return str(address)
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return f"{int(address) >> IPV6_SUBSCRIBER_BITS:x}/64"
