"""The jobs that send mail: what they are told."""

from datetime import datetime, timedelta

from app.core.jobs.kinds import JobKind, Payload, Retries
from app.models.one_time_token import Purpose
from app.services.mail.mails import MailName

# For about half a day, in which a mail server that is down comes back.
RETRIES = Retries(attempts=14, first_wait=timedelta(seconds=5), max_wait=timedelta(hours=2))
TIMEOUT = timedelta(seconds=30)


class Facts(Payload):
    """What a mail tells; of a template those alone are set that it names."""

    at: datetime | None = None
    ip: str | None = None
    user_agent: str | None = None
    by_admin: bool | None = None
    new_email: str | None = None
    old_username: str | None = None
    new_username: str | None = None


class Notice(Payload):
    name: MailName
    to: str
    is_verified: bool
    # Whether it is to be counted first.
    is_limited: bool
    facts: Facts


class Link(Payload):
    """`binding` is of the account when the link was asked for: what has changed since voids it, as it does a link."""

    purpose: Purpose
    user_id: int
    to: str
    binding: str
    facts: Facts


class Text(Payload):
    to: str
    subject: str
    message: str


SEND_NOTICE = JobKind("mail.notice", Notice, RETRIES, TIMEOUT)
SEND_LINK = JobKind("mail.link", Link, RETRIES, TIMEOUT)
SEND_TEXT = JobKind("mail.text", Text, RETRIES, TIMEOUT, keep=timedelta(days=7))
