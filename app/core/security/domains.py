"""International domain names: as people read them, and as mail servers do (IDNA 2008, RFC 5890)."""

import idna


def unicode_domain(domain: str) -> str:
    """`xn--bcher-kva.example` as `bücher.example`; a name that is none is left as it is."""
    if "xn--" not in domain.lower():
        return domain
    try:
        return idna.decode(domain, uts46=True)
    except UnicodeError:
        return domain


def ascii_domain(domain: str) -> str:
    """`Bücher.example` as `xn--bcher-kva.example`, which any mail server takes. Raises ValueError."""
    if domain.isascii():
        return domain
    try:
        return idna.encode(domain, uts46=True).decode()
    except UnicodeError:
        raise ValueError("must have a domain name that there can be (IDNA 2008)") from None
