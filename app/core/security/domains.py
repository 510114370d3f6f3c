"""International domain names in Unicode and in ASCII (IDNA 2008, RFC 5890)."""

import idna


def unicode_domain(domain: str) -> str:
    """`xn--bcher-kva.example` as `bücher.example`; an invalid name is returned unchanged."""
    if "xn--" not in domain.lower():
        return domain
    try:
        return idna.decode(domain, uts46=True)
    except UnicodeError:
        return domain


def ascii_domain(domain: str) -> str:
    """`Bücher.example` as `xn--bcher-kva.example`, which every mail server accepts. Raises ValueError."""
    if domain.isascii():
        return domain
    try:
        return idna.encode(domain, uts46=True).decode()
    except UnicodeError:
        raise ValueError("must have a domain name that there can be (IDNA 2008)") from None
