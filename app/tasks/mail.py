"""Mails."""

from app.core.jobs.store import ClaimedJob
from app.services.app_services import AppServices
from app.services.mail.jobs import SEND_LINK, SEND_NOTICE, SEND_TEXT, Link, Notice, Text
from app.tasks.registry import Tasks

tasks = Tasks.of()


@tasks.runs(SEND_NOTICE)
async def send_notice(services: AppServices, notice: Notice, job: ClaimedJob) -> None:
    await services.delivery.send_notice(notice, job.user_id)


@tasks.runs(SEND_LINK)
async def send_link(services: AppServices, link: Link, _: ClaimedJob) -> None:
    await services.delivery.send_link(link)


@tasks.runs(SEND_TEXT)
async def send_text(services: AppServices, text: Text, _: ClaimedJob) -> None:
    await services.delivery.send_text(text)
