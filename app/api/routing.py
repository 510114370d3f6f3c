"""The routes of the API: what every operation gets, whichever resource it belongs to."""

from collections.abc import Callable, Coroutine
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from functools import partial
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute
from sqlalchemy.exc import DBAPIError

from app.api.body import StrictRequest
from app.api.deps.limits import limit_requests
from app.api.fastpath._fastapi import FUNCTION_STACK
from app.api.forms import require_usual_form
from app.api.middleware.exchange import request_header
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
        state = request.scope["state"]
        for number in range(1, ATTEMPTS):
            try:
                return await attempt(handle, request)
            except CallerChangedError:
                # Who asks has changed since they were last seen.
                state["asks_first"] = True
            except DBAPIError as error:
                await pause_after(error, number, is_read=request.method in READS)
            # Whoever asked has asked once.
            state["is_counted"] = True
        return await attempt(handle, request)


class UnlimitedRoute(Route):
    """For probes and the like, which are not counted."""

    is_limited = False


async def read_form(handle: Handler, request: Request) -> Response:
    """What FastAPI itself answers may read a form."""
    require_usual_form(request_header(request, b"content-type") or "")
    stack_of(request)
    return await handle(request)


async def attempt(handle: Handler, request: Request) -> Response:
    """One answer, and the commit of what it tells of.

    FastAPI would leave what ends with the handler outside of the handler it hands out, where nothing could be tried
    again; the stack it leaves them on is replaced by one that ends here, made when there is something for it.
    """
    scope = request.scope
    state = scope["state"]
    state["identity"] = None
    scope[FUNCTION_STACK] = None
    try:
        # For what wants to see the answer when it ends, as idempotency does.
        state["answer"] = response = await handle(request)
    except BaseException as error:
        if scope[FUNCTION_STACK] is not None:
            await scope[FUNCTION_STACK].__aexit__(type(error), error, error.__traceback__)
        raise
    if scope[FUNCTION_STACK] is not None:
        await scope[FUNCTION_STACK].__aexit__(None, None, None)
    return response


async def until_answered[T](request: Request, context: AbstractAsyncContextManager[T]) -> T:
    """Enter what ends with the handler: a session commits before the answer leaves.

    A dependency with `yield` would do the same for ten times the price.
    """
    return await stack_of(request).enter_async_context(context)


def end_with_handler(request: Request, context: AbstractAsyncContextManager[Any]) -> None:
    """The same for what needs not be entered, as soon as there is something to be ended."""
    stack_of(request).push_async_exit(context)


def stack_of(request: Request) -> AsyncExitStack:
    stack: AsyncExitStack | None = request.scope[FUNCTION_STACK]
    if stack is None:
        stack = request.scope[FUNCTION_STACK] = AsyncExitStack()
    return stack
