"""The mail that an application has written to its folder, read as its users read it."""

import re
from dataclasses import dataclass
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from pathlib import Path

from app.services.app_services import AppServices
from tests.jobs import run_jobs


def text_of(message: EmailMessage) -> str:
    body = message.get_body(("plain",))
    assert body is not None
    return str(body.get_content())


def token_in(message: EmailMessage) -> str:
    """The token of the link in a mail."""
    found = re.search(r"#token=(\S+)", text_of(message))
    assert found is not None, "a mail with a link"
    return found[1]


def code_in(message: EmailMessage) -> str:
    """The code beside the link."""
    found = re.search(r"^  ([A-Z]{4}-[A-Z]{4})$", text_of(message), re.MULTILINE)
    assert found is not None, "a mail with a code"
    return found[1]


@dataclass(frozen=True, slots=True)
class Mailbox:
    services: AppServices

    async def messages(self, to: str | None = None) -> list[EmailMessage]:
        """All of one address, or simply all; the newest last."""
        await run_jobs(self.services)
        return [message for message in self.read() if to is None or message["To"] == to]

    def read(self) -> list[EmailMessage]:
        folder: Path = self.services.settings.data_dir / "mail"
        return [message_from_bytes(path.read_bytes(), policy=default) for path in sorted(folder.glob("*.eml"))]

    async def subjects(self, to: str | None = None) -> list[str]:
        return [str(message["Subject"]) for message in await self.messages(to)]

    async def token(self, to: str) -> str:
        """The token of the newest mail to this address."""
        return token_in((await self.messages(to))[-1])

    async def code(self, to: str) -> str:
        return code_in((await self.messages(to))[-1])
