"""One run of a handler and its dependencies, which ends before the response leaves: what it wrote is committed."""

from contextlib import AsyncExitStack
from types import TracebackType

from fastapi import Request, Response

from app.api.fastpath._fastapi import FUNCTION_STACK
from app.api.request_state import KEY, RequestState
from app.core.db.engine import Database
from app.core.db.session import ReadSession, WriteSession
from app.core.db.transaction import Transaction
from app.services.auth.identity import Identity


class HandlerRun:
    """Its sessions, made when they are asked for, and what else ends with it.

    A dependency with `yield` would do the same for ten times the price, and FastAPI would end it outside of the
    handler that it hands out, where nothing can run again.
    """

    __slots__ = ("identity", "reading", "response", "stack", "writing")

    def __init__(self) -> None:
        self.identity: Identity | None = None
        self.writing: WriteSession | None = None
        self.reading: ReadSession | None = None
        self.stack: AsyncExitStack | None = None
        # For what wants to see the response when it ends, as idempotency does.
        self.response: Response | None = None

    def set_identity(self, identity: Identity) -> None:
        """Whoever asks must still be who they were when something is written, if they are only recalled."""
        self.identity = identity
        if self.writing is not None:
            self.writing.backend.caller_check = identity.caller_check

    def write_session(self, database: Database) -> WriteSession:
        if self.writing is None:
            self.writing = database.write()
            if self.identity is not None:
                self.writing.backend.caller_check = self.identity.caller_check
        return self.writing

    def read_session(self, database: Database) -> ReadSession:
        if self.reading is None:
            self.reading = database.read()
        return self.reading

    def exit_stack(self) -> AsyncExitStack:
        """What is entered here ends before the commit."""
        if self.stack is None:
            self.stack = AsyncExitStack()
        return self.stack

    async def __aenter__(self) -> None:
        pass

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Raises CallerChangedError: nothing has been done."""
        try:
            if self.stack is not None:
                await self.stack.__aexit__(kind, error, traceback)
        except BaseException as raised:
            error = raised
            raise
        finally:
            try:
                if self.reading is not None:
                    await self.reading.__aexit__(None, error, None)
            finally:
                if self.writing is not None:
                    await Transaction(self.writing).__aexit__(None, error, None)


def run_of(request: Request) -> HandlerRun:
    run: HandlerRun | None = request.scope[KEY].run
    return run_of_other_route(request) if run is None else run


def run_of_other_route(request: Request) -> HandlerRun:
    """On a route that is none of ours FastAPI's own stack ends it, before the response as well; nothing runs again."""
    state: RequestState = request.scope[KEY]
    run = state.run = HandlerRun()
    # Whoever is only recalled may turn out to be another at the COMMIT, and the request would have to run again.
    state.asks_first = True
    request.scope[FUNCTION_STACK].push_async_exit(run)
    return run
