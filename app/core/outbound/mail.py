"""Mailers: to a folder or an SMTP server."""

import os
import secrets
import ssl
from datetime import UTC, datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import default
from email.utils import localtime, make_msgid
from pathlib import Path
from typing import Protocol

import structlog
from anyio.to_thread import run_sync

from app.core.config.mail_url import MailFolder, MailServer, mail_route, parse_address, parse_mail_url
from app.core.config.private_files import make_private_folder
from app.core.config.settings import Settings
from app.core.security.domains import ascii_domain

log = structlog.get_logger()

TIMEOUT_SECONDS = 10.0


class MailServerError(Exception):
    """The message was not accepted, and may be later; the text names no addresses."""


class MailRefusedError(MailServerError):
    """The message will never be accepted."""


class Mailer(Protocol):
    async def send(self, message: EmailMessage) -> None:
        """Hand the message over; raises MailServerError if that failed."""
        ...


class FileMailer:
    """Writes one `.eml` file per message, sorted by name; for development and tests."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    async def send(self, message: EmailMessage) -> None:
        try:
            await run_sync(self.write, message)
        except OSError as error:
            raise MailServerError(f"the mail cannot be written: {error.strerror}") from error

    def write(self, message: EmailMessage) -> None:
        # Mails contain links that give access to accounts: readable by the owner only.
        make_private_folder(self.folder)
        name = f"{datetime.now(UTC):%Y%m%dT%H%M%S.%fZ}-{secrets.token_hex(4)}.eml"
        draft = self.folder / f".{name}"
        try:
            with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                file.write(message.as_bytes(policy=default.clone(utf8=True)))
            # Atomic, so that watchers of the folder see complete messages only.
            draft.rename(self.folder / name)
        finally:
            draft.unlink(missing_ok=True)


class SmtpMailer:
    """Sends each message over a new connection; the server's certificate is always verified."""

    def __init__(
        self, server: MailServer, *, tls_context: ssl.SSLContext | None = None, timeout: float = TIMEOUT_SECONDS
    ) -> None:
        self.server = server
        # Created once: loading the system's certificates would delay other requests noticeably.
        self.tls_context = tls_context or ssl.create_default_context()
        self.timeout = timeout

    async def send(self, message: EmailMessage) -> None:
        server = self.server
        import aiosmtplib  # noqa: PLC0415 - not needed to write files

        try:
            await aiosmtplib.send(
                message,
                hostname=server.host,
                port=server.port,
                username=server.username,
                password=server.password,
                use_tls=server.encryption == "tls",
                # None uses STARTTLS if offered; True requires it.
                start_tls={"starttls": True, "opportunistic": None}.get(server.encryption, False),
                tls_context=self.tls_context,
                timeout=self.timeout,
            )
        # A refusal is final if it is of this message: of the server it may be mended.
        except aiosmtplib.SMTPRecipientsRefused as error:
            raise refusal(error.recipients[0].code) from error
        except (aiosmtplib.SMTPSenderRefused, aiosmtplib.SMTPDataError) as error:
            raise refusal(error.code) from error
        except aiosmtplib.SMTPResponseException as error:
            raise MailServerError(f"the mail server responded {error.code}") from error
        except aiosmtplib.SMTPNotSupported as error:
            if str(message["To"]).isascii():
                raise MailServerError("the mail server lacks an extension that is required") from error
            raise MailRefusedError("the mail server takes no addresses outside ASCII") from error
        except (aiosmtplib.SMTPException, OSError) as error:
            raise MailServerError(f"the mail server cannot be reached: {type(error).__name__}") from error


def refusal(code: int) -> MailServerError:
    """RFC 5321 section 4.2.1: 4yz is transient, 5yz permanent."""
    if code >= 500:
        return MailRefusedError(f"the mail server refused the mail for good: {code}")
    return MailServerError(f"the mail server refused the mail for now: {code}")


def open_mailer(settings: Settings) -> Mailer:
    """The mailer for MAIL_URL; a folder in DATA_DIR if it is not set."""
    if settings.mail_url is None:
        if settings.is_exposed:
            log.warning("MAIL_URL is not set: mail is written to files and not delivered")
        return FileMailer(settings.data_dir / "mail")
    target = parse_mail_url(settings.mail_url.get_secret_value())
    return FileMailer(target.path) if isinstance(target, MailFolder) else SmtpMailer(target)


def compose(sender: Address, to: str, subject: str, text: str, html: str | None = None) -> EmailMessage:
    """A message in text, and in HTML where there is some, marked as auto-generated.

    Raises:
        ValueError: if `to` is not exactly one address, or a header would hold a line break.
    """
    message = EmailMessage()
    message["From"] = mail_route(sender)
    message["To"] = mail_route(parse_address(to))
    message["Subject"] = subject
    message["Date"] = localtime()
    # With an explicit domain: looking up the host name may wait for DNS.
    message["Message-ID"] = make_msgid(domain=ascii_domain(sender.domain))
    # RFC 3834: suppresses automatic replies.
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(text, cte=transfer_encoding(text))
    if html is not None:
        message.add_alternative(html, subtype="html", cte=transfer_encoding(html))
    return message


def transfer_encoding(text: str) -> str:
    """Never quoted-printable, which breaks long links in the raw file."""
    return "7bit" if text.isascii() else "8bit"
