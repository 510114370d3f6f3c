"""The routes of the API: what every operation gets, whichever resource it belongs to."""

from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute
from sqlalchemy.exc import DBAPIError

from app.api.body import StrictRequest
from app.api.deps.limits import limit_requests
from app.api.fastpath._fastapi import FUNCTION_STACK
from app.api.forms import require_usual_form
from app.api.handler_run import HandlerRun, run_of
from app.api.request_state import KEY, RequestState, request_header
from app.core.db.caller_check import CallerChangedError
from app.core.db.retry import ATTEMPTS, pause_after

type Handler = Callable[[Request], Coroutine[Any, Any, Response]]

READS = ("GET", "HEAD")


class Route(APIRoute):
    """What every operation does before its dependencies, and what the database took back runs again.

    Nothing of a request has happened that made way for another one, lost its connection before its COMMIT, or was
    planned before the schema changed: what it wrote was rolled back, and what it wanted done later had to wait for the
    commit. All of its dependencies run again, with a new session.
    """

    is_limited = True

    def get_route_handler(self) -> Handler:
        return partial(self.run_walk, super().get_route_handler())

    async def run_walk(self, handle: Handler, request: Request) -> Response:
        """By FastAPI's own walk of the dependencies, which may read a form."""
        return await self.run(partial(read_form, handle), StrictRequest(request.scope, request.receive))

    async def run(self, handle: Handler, request: Request) -> Response:
        if self.is_limited:
            await limit_requests(request)
        state: RequestState = request.scope[KEY]
        for number in range(1, ATTEMPTS):
            try:
                return await attempt(handle, request)
            except CallerChangedError:
                # Who asks has changed since they were last seen.
                state.asks_first = True
            except DBAPIError as error:
                await pause_after(error, number, is_read=request.method in READS)
            # Whoever asked has asked once.
            state.is_counted = True
        return await attempt(handle, request)


class UnlimitedRoute(Route):
    """For probes and the like, which are not counted."""

    is_limited = False


async def read_form(handle: Handler, request: Request) -> Response:
    """What FastAPI itself serves may read a form, and have dependencies that end with the handler."""
    require_usual_form(request_header(request, b"content-type") or "")
    request.scope[FUNCTION_STACK] = run_of(request).exit_stack()
    return await handle(request)


async def attempt(handle: Handler, request: Request) -> Response:
    """One response, and the commit of what it tells of."""
    run = request.scope[KEY].run = HandlerRun()
    async with run:
        run.response = response = await handle(request)
    return response
