"""Renders mails from the templates in app/templates/mail; the mailer sends them."""

import re
from datetime import UTC, datetime
from email.headerregistry import Address
from email.message import EmailMessage
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import quote

from app.core.config.mail_url import parse_address
from app.core.config.settings import Settings
from app.core.outbound.mail import compose
from app.core.security.domains import unicode_domain

if TYPE_CHECKING:
    from jinja2 import Environment

type MailName = Literal[
    "verify_email",
    "reset_password",
    "change_email",
    "email_changed",
    "password_changed",
    "username_changed",
    "new_device",
]

SUBJECTS: dict[MailName, str] = {
    "verify_email": "Confirm your e-mail address",
    "reset_password": "Choose a new password",
    "change_email": "Confirm your new e-mail address",
    "email_changed": "Your e-mail address was changed",
    "password_changed": "Your password was changed",
    "username_changed": "Your user name was changed",
    "new_device": "New sign-in to your account",
}
# Front-end pages that pass the token to the API.
PAGES: dict[MailName, str] = {
    "verify_email": "/verify-email",
    "reset_password": "/reset-password",
    "change_email": "/change-email",
}


# Text that a user chose. It goes to verified addresses only: anybody can register with somebody else's address and
# would have us deliver their text.
CHOSEN_WORDS = ("user_agent", "new_email", "old_username", "new_username")

# Full stops that domain names may contain (IDNA 2003 section 3.1).
FULL_STOPS = ".\u3002\uff0e\uff61"


def render(name: MailName, to: str, settings: Settings, *, is_verified: bool, **values: Any) -> EmailMessage:
    """Render a message in text and HTML; CHOSEN_WORDS are included only if the address is verified.

    Template variables:
        verify_email: `token`, `code`, `minutes` (how long both are good).
        reset_password: `token`, `code`, `minutes`, `ip`. No user agent: a stranger asks for this mail, and
            must not choose words in it.
        change_email, to the new address: `token`, `code`, `minutes`.
        email_changed, to the old address: `new_email`, `at`, `ip`, `by_admin`.
        username_changed: `old_username`, `new_username`, `at`, `ip`, `by_admin`.
        password_changed, new_device: `at`, `ip`, `user_agent`.

    Raises:
        jinja2.UndefinedError: if a value is missing.
        ValueError: if `to` is not exactly one address.
    """
    sender = parse_address(settings.mail_from)
    site = settings.frontend_url.rstrip("/")
    values = {key: printable(value) if isinstance(value, str) else value for key, value in values.items()}
    for word in values.keys() & set(CHOSEN_WORDS):
        values[word] = unlinked(values[word] or "") if is_verified else ""
    values |= {"subject": SUBJECTS[name], "product": product_name(sender), "site": site}
    if name in PAGES:
        values["link"] = link(site + PAGES[name], values["token"])
    text = environment().get_template(f"{name}.txt.j2").render(values)
    html = environment().get_template(f"{name}.html.j2").render(values)
    return compose(sender, to, SUBJECTS[name], text, html)


def link(page: str, token: str) -> str:
    """The token is in the fragment, which browsers never send: it is in no log and no Referer."""
    return f"{page}#token={quote(token, safe='')}"


def product_name(sender: Address) -> str:
    """The display name of MAIL_FROM."""
    return sender.display_name or unicode_domain(sender.domain)


def printable(text: str) -> str:
    """Without line breaks, control characters and bidirectional marks."""
    return "".join(letter if letter.isprintable() else " " for letter in text)


def unlinked(text: str) -> str:
    """Defang: `www[.]example[.]com`, so that no mail client makes it a link."""
    return re.sub(rf"[{FULL_STOPS}](?=\w)(?!\d)", "[.]", text).replace("://", "[:]//")


def format_timestamp(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def duration(minutes: int) -> str:
    """In the largest whole unit up to hours: 1440 is 24 hours, not 1 day, which some read as "today"."""
    for size, unit in ((1440, "days"), (60, "hours")):
        if minutes % size == 0 and minutes > size:
            return f"{minutes // size} {unit}"
    return "1 hour" if minutes == 60 else f"{minutes} minute{'' if minutes == 1 else 's'}"


@cache
def environment() -> "Environment":
    """Created for the first mail: not every process sends mail, and Jinja is large."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape  # noqa: PLC0415

    made = Environment(
        loader=FileSystemLoader(Path(__file__).resolve().parents[2] / "templates" / "mail"),
        autoescape=select_autoescape(enabled_extensions=("html.j2",), default=False),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        auto_reload=False,
    )
    made.filters |= {"format_timestamp": format_timestamp, "duration": duration}
    return made
