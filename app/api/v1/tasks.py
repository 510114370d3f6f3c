"""`/tasks`: work that administrators ask for, and what became of it."""

from typing import Annotated

from fastapi import Path, status

from app.api.deps import AdminUser, AppServicesDep, ReadSessionDep, SessionDep
from app.api.deps.idempotency import IdempotencyDep
from app.api.errors import responses
from app.api.router import Router
from app.crud.job import TaskRow, tasks
from app.schemas.job import NotificationCreate, TaskCreated, TaskRead
from app.schemas.parameters import IdParameter
from app.services.mail.jobs import SEND_TEXT, Text

router = Router(
    prefix="/tasks", tag="tasks", about="Work that is done in the background.", responses=responses(401, 403)
)


@router.post(
    "/send-notification",
    response_model=TaskCreated,
    status_code=status.HTTP_202_ACCEPTED,
    summary="Send a mail",
    responses=responses(409),
)
async def send_notification(
    data: NotificationCreate, _: AdminUser, __: IdempotencyDep, session: SessionDep, services: AppServicesDep
) -> TaskCreated:
    """It is sent in the background; `GET /tasks/{task_id}` tells how that went."""
    text = Text(to=data.email, subject=data.subject, message=data.message)
    return TaskCreated(task_id=await services.jobs.enqueue(session, SEND_TEXT, text))


@router.get("/{task_id}", response_model=TaskRead, summary="See what became of a task", responses=responses(404))
async def read_task(
    task_id: Annotated[IdParameter, Path(examples=[815])], _: AdminUser, session: ReadSessionDep
) -> TaskRow:
    """Of any job. Those that are done, failed or cancelled are deleted after a while."""
    return await tasks.read_row(session, task_id)
