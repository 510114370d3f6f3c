"""The sessions of a request, which `Route` ends with its handler."""

from typing import Annotated

from fastapi import Depends, Request

from app.api.deps.app_services import app_services_of
from app.api.handler_run import run_of
from app.core.db.session import ReadSession, WriteSession


async def get_session(request: Request) -> WriteSession:
    """A transaction, which begins when it is used and is committed before the response.

    Who asks may be known from before; they still must be who they were when something is written.
    """
    return run_of(request).write_session(app_services_of(request).database)


async def get_autocommit_session(request: Request) -> WriteSession:
    session = run_of(request).write_session(app_services_of(request).database)
    session.backend.autocommits = True
    return session


async def get_read_session(request: Request) -> ReadSession:
    return run_of(request).read_session(app_services_of(request).database)


SessionDep = Annotated[WriteSession, Depends(get_session)]
# For a handler that writes with one statement of a CRUD object, and nothing after it: the session of SessionDep.
AutocommitSessionDep = Annotated[WriteSession, Depends(get_autocommit_session)]
ReadSessionDep = Annotated[ReadSession, Depends(get_read_session)]
