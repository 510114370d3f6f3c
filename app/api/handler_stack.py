"""What ends with the handler, before the response leaves: a session commits here."""

from contextlib import AbstractAsyncContextManager, AsyncExitStack
from types import TracebackType
from typing import Any

from fastapi import Request
from starlette.types import Scope

from app.api.fastpath._fastapi import FUNCTION_STACK


class HandlerStack:
    """Around one run of a handler and its dependencies.

    FastAPI would leave what ends with the handler outside of the handler it hands out, where nothing could be tried
    again. Its stack is replaced by one that ends here, made when there is something for it.
    """

    __slots__ = ("scope",)

    def __init__(self, scope: Scope) -> None:
        self.scope = scope

    async def __aenter__(self) -> None:
        self.scope[FUNCTION_STACK] = None

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self.scope[FUNCTION_STACK] is not None:
            await self.scope[FUNCTION_STACK].__aexit__(kind, error, traceback)


async def enter[T](request: Request, context: AbstractAsyncContextManager[T]) -> T:
    """Enter what ends with the handler. A dependency with `yield` would do the same for ten times the price."""
    return await stack_of(request).enter_async_context(context)


def push(request: Request, context: AbstractAsyncContextManager[Any]) -> None:
    """The same for what has been entered, or needs not be."""
    stack_of(request).push_async_exit(context)


def stack_of(request: Request) -> AsyncExitStack:
    stack: AsyncExitStack | None = request.scope[FUNCTION_STACK]
    if stack is None:
        stack = request.scope[FUNCTION_STACK] = AsyncExitStack()
    return stack
