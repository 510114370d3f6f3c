"""Accounts."""

from app.core.jobs.store import ClaimedJob
from app.services.accounts.passwords import MAIL_RESET_LINK, ResetRequest
from app.services.app_services import AppServices
from app.tasks.registry import Tasks

tasks = Tasks.of()


@tasks.runs(MAIL_RESET_LINK)
async def mail_reset_link(services: AppServices, asked: ResetRequest, _: ClaimedJob) -> None:
    await services.accounts.passwords.mail_reset_link(asked)
