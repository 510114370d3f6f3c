"""The routes of the API: what every operation gets, whichever resource it belongs to."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import AsyncExitStack
from typing import Any

import structlog
from fastapi import APIRouter, Request, Response
from fastapi.routing import APIRoute
from sqlalchemy.exc import DBAPIError

from app.core.database import is_serialization_failure

log = structlog.get_logger()

ATTEMPTS = 5
FIRST_WAIT = 0.01


class Route(APIRoute):
    """Runs a write again when the database ended its transaction to let another one pass.

    Nothing of a request that failed so has happened: what it wrote was rolled back, and what it wanted
    done later had to wait for the commit. All of its dependencies run again, with a new session.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()
        if self.methods == {"GET"}:
            return handle

        async def run(request: Request) -> Response:
            for attempt in range(1, ATTEMPTS):
                try:
                    return await answer(handle, request)
                except DBAPIError as error:
                    if not is_serialization_failure(error):
                        raise
                    log.info("transaction lost to another one, trying again", attempt=attempt)
                await asyncio.sleep(FIRST_WAIT * 2**attempt * random.uniform(0.5, 1.5))  # noqa: S311 - not for secrets
                # Whoever asked has asked once.
                request.state.is_counted = True
            return await answer(handle, request)

        return run


async def answer(handle: Callable[[Request], Awaitable[Response]], request: Request) -> Response:
    """One attempt, its commit included.

    FastAPI would leave the dependencies (`scope="function"`) outside of the handler it hands out, where
    nothing could be tried again; the stack it leaves them on is replaced by one that ends here.
    """
    request.state.identity = None
    async with AsyncExitStack() as dependencies:
        request.scope["fastapi_function_astack"] = dependencies
        # For a dependency that wants to see the answer when it ends, as idempotency does.
        request.state.answer = response = await handle(request)
    return response


class Router(APIRouter):
    """FastAPI's, with our routes."""

    def __init__(self, **options: Any) -> None:
        super().__init__(route_class=Route, **options)
