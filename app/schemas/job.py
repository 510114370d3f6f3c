"""Background jobs on the wire."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from app.core.security.addresses import PlainAddress
from app.schemas.base import In, Out
from app.schemas.fields import LongText

JobStatusName = Annotated[
    Literal["queued", "running", "done", "failed", "cancelled"],
    Field(
        description="`queued` waits for a worker, or for its next attempt; of one that `failed` there is no other "
        "attempt; `cancelled` was withdrawn by an administrator before it ran."
    ),
]
# With the separators of lines and paragraphs: a header takes none of these.
NOT_IN_A_LINE = r"\x00-\x1f\x7f-\x9f\u2028\u2029"
SUBJECT = rf"^[^{NOT_IN_A_LINE}]*[^ {NOT_IN_A_LINE}][^{NOT_IN_A_LINE}]*$"
Subject = Annotated[str, StringConstraints(max_length=200, pattern=SUBJECT)]
Attempts = Annotated[int, Field(description="Those that have ended, well or not.", examples=[1])]
JobFault = Annotated[
    str | None,
    Field(description="Why the last attempt failed; null where none did.", examples=["TimeoutError: it took too long"]),
]


class NotificationCreate(In):
    """A mail, in plain text."""

    email: PlainAddress
    subject: Annotated[Subject, Field(examples=["Planned maintenance"])]
    message: Annotated[LongText, Field(examples=["The shop will be closed on Sunday from 2 to 3."])]


class TaskCreated(Out):
    task_id: Annotated[int, Field(examples=[815])]


class TaskRead(Out):
    status: JobStatusName
    attempts: Attempts
    error: JobFault


class JobRead(Out):
    id: Annotated[int, Field(examples=[815])]
    kind: Annotated[str, Field(description="What it does.", examples=["mail.text"])]
    status: JobStatusName
    attempts: Attempts
    error: JobFault
    created_at: datetime
