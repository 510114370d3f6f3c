"""Rejects paths with control characters, which no route has."""

import re

from starlette.types import ASGIApp, Receive, Scope, Send

from app.api.errors import framework_problem
from app.api.request_state import state_of

# Those that end lines included; and halves of surrogate pairs, which no text has.
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


class ControlCharacters:
    """A path with control characters is not found; FastAPI would take `/info` and a line break for `/info`."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        app = self.app
        if scope["type"] == "http" and CONTROL.search(scope["path"]):
            app = framework_problem(state_of(scope).id, 404, "", {})
        await app(scope, receive, send)
