"""What MAIL_URL and MAIL_FROM may say; light enough for the settings to import. Sending is in mail.py."""

from dataclasses import dataclass, field
from email.errors import NonASCIILocalPartDefect
from email.headerregistry import Address, HeaderRegistry
from pathlib import Path
from typing import Any, Literal
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from app.core.config.home_folder import expand_home
from app.core.security.domains import ascii_domain

type Encryption = Literal["tls", "starttls", "opportunistic", "none"]

PORTS = {"smtp": 587, "smtps": 465}
# Never the text itself: it holds a password.
NO_URL = (
    "is not a mail URL such as smtp://user:password@host:587, smtps://host or file:///var/mail; "
    "in user and password write / as %2F, : as %3A, @ as %40, # as %23, ? as %3F"
)
NO_ADDRESS = "must be one e-mail address, as in Strata <strata@example.com>"


@dataclass(frozen=True, slots=True)
class MailFolder:
    """Messages become files."""

    path: Path


@dataclass(frozen=True, slots=True)
class MailServer:
    """Messages go to an SMTP server."""

    host: str
    port: int
    encryption: Encryption
    username: str | None = None
    password: str | None = field(default=None, repr=False)


def parse_mail_url(text: str) -> MailFolder | MailServer:
    """Read `smtp://user:password@host:587?starttls=true`, `smtps://host:465` or `file:///a/folder`.

    Raises:
        ValueError: saying what it must be, without what it is.
    """
    try:
        url = urlsplit(text)
        port = url.port
    except ValueError:
        raise ValueError(NO_URL) from None
    if url.fragment:
        raise ValueError(NO_URL)
    if url.scheme == "file":
        return mail_folder(url)
    if url.scheme not in PORTS or not url.hostname or url.path not in {"", "/"}:
        raise ValueError(NO_URL)
    if bool(url.username) != bool(url.password):
        raise ValueError("needs both a user and a password, or neither")
    return MailServer(
        host=url.hostname,
        port=port or PORTS[url.scheme],
        encryption=encryption(url),
        username=unquote(url.username) if url.username else None,
        password=unquote(url.password) if url.password else None,
    )


def mail_folder(url: SplitResult) -> MailFolder:
    # file://mail/outbox would name the machine `mail`; nobody who writes it means that.
    if url.netloc or not url.path or url.query:
        raise ValueError("must be file:///an/absolute/folder, or file:folder for one below the working directory")
    return MailFolder(expand_home(Path(unquote(url.path))))


def encryption(url: SplitResult) -> Encryption:
    """How the connection is protected; credentials never travel in clear."""
    options = dict(parse_qsl(url.query, keep_blank_values=True))
    starttls = options.pop("starttls", None)
    if options or starttls not in {None, "true", "false"}:
        raise ValueError("knows one option, starttls=true or starttls=false")
    if url.scheme == "smtps":
        return "tls"
    if starttls == "false" and url.username:
        raise ValueError("must not send a password in clear: leave starttls=false out")
    if starttls == "true" or url.username:
        return "starttls"
    return "none" if starttls == "false" else "opportunistic"


def parse_address(text: str) -> Address:
    """Read exactly one address, with or without a name: `Strata <strata@example.com>`.

    Raises:
        ValueError: if it is none, several, or more than an address (a line break, say).
    """
    try:
        header: Any = HeaderRegistry()("To", text)
    except Exception:  # noqa: BLE001 - the standard library's parser fails at nonsense in ways of its own
        raise ValueError(NO_ADDRESS) from None
    # Letters outside ASCII before the `@` are fine where the server knows SMTPUTF8 (RFC 6531).
    defects = [defect for defect in header.defects if not isinstance(defect, NonASCIILocalPartDefect)]
    if defects or len(header.addresses) != 1 or header.groups[0].display_name is not None:
        raise ValueError(NO_ADDRESS)
    address: Address = header.addresses[0]
    ascii_domain(address.domain)
    return address


def mail_route(address: Address) -> Address:
    """With the domain as every mail server knows it; a local part outside ASCII wants SMTPUTF8 (RFC 6531)."""
    return Address(address.display_name, address.username, ascii_domain(address.domain))
