"""Two applications, with and without the fast path, that get the same requests and must not differ in anything."""

import re
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import time_machine
from sqlalchemy.engine import URL

from app.models.user import User
from tests.api.operations import operations
from tests.api.way import Way
from tests.conftest import settings_for
from tests.mailbox import Mailbox

START = datetime(2026, 3, 1, 12, tzinfo=UTC)
# That responses tell how much is left, and that nothing but downloads is refused for it.
LIMITS: dict[str, Any] = {
    "rate_limit_enabled": True,
    **{f"rate_limit_{kind}": "10000/hour" for kind in ("default", "login", "register", "mail")},
    "rate_limit_export": "2/hour",
}
TIMINGS = {"x-process-time", "server-timing"}
JWT = re.compile(r"eyJ[\w-]+\.[\w-]+\.[\w-]+")
# The first that fits; `/items/{item_id}` fits `/items/bulk` too.
PATHS = sorted(
    ((each.method, re.compile(each.path_of("[^/]+")), each) for each in operations()),
    key=lambda found: found[2].path.count("{"),
)


@dataclass(slots=True)
class Both:
    ways: tuple[Way, Way]
    clock: Any
    steps: int = 0
    # The statuses that each operation has had.
    seen: dict[str, set[int]] = field(default_factory=lambda: defaultdict(set))

    async def send(
        self, line: str, expected: int | None = None, *, by: str = "", keep: str = "", **options: Any
    ) -> httpx.Response:
        """`GET /health`, the same response both ways. `by` is who asks, `keep` the name of whoever signs in with this.

        All happens at one instant, for both; the next request comes two seconds later.
        """
        self.steps += 1
        self.clock.shift(timedelta(seconds=2))
        method, url = line.split(" ", 1)
        own = {"Accept-Encoding": "identity", "X-Request-ID": f"step-{self.steps}"}
        if by:
            own["Authorization"] = f"Bearer <{by}>"
        options["headers"] = own | options.get("headers", {})
        fast, plain = [await way.send(method, url, options) for way in self.ways]
        assert shown(fast) == shown(plain), "\n".join([line, str(shown(fast)), str(shown(plain))])
        assert expected in {None, fast.status_code}, (line, fast.text)
        if keep:
            for way, response in zip(self.ways, (fast, plain), strict=True):
                way.secrets.update({keep: response.json()["access_token"], f"{keep}'s": refresh_token_of(response)})
        self.note(method, fast)
        return fast

    def note(self, method: str, response: httpx.Response) -> None:
        path = response.request.url.path
        found = (each for of, fits, each in PATHS if of == method and fits.fullmatch(path))
        if (operation := next(found, None)) is not None:
            self.seen[operation.id].add(response.status_code)

    async def user(self, name: str, scope: str | None = None, **fields: Any) -> User:
        """A signed-in user of this name, and of this scope."""
        users = []
        for way in self.ways:
            user = await way.make.user(username=name, email=f"{name}@example.com", **fields)
            users.append(user)
            await way.sign_in(name, user, scope)
        return users[0]

    async def open_mail(self, name: str, to: str) -> None:
        """Remember the token of the last mail by this name, and its code."""
        for way in self.ways:
            mailbox = Mailbox(way.services)
            way.secrets.update({name: await mailbox.token(to), f"{name}'s code": await mailbox.code(to)})


def refresh_token_of(response: httpx.Response) -> str:
    found = JWT.search(response.json().get("refresh_token") or response.headers["set-cookie"])
    assert found is not None
    return found[0]


def shown(response: httpx.Response) -> tuple[int, list[tuple[str, str]], str]:
    headers = [
        (name, re.sub(r"\d+", "0", value) if name in TIMINGS else JWT.sub("<token>", value))
        for name, value in response.headers.multi_items()
    ]
    return response.status_code, sorted(headers), JWT.sub("<token>", response.text)


@asynccontextmanager
async def both_ways(fast_url: URL, plain_url: URL, folder: Path) -> AsyncIterator[Both]:
    """Both with databases of their own, of which all that was stored and mailed is compared at the end."""
    with time_machine.travel(START, tick=False) as clock:
        async with (
            Way.running(settings_for(fast_url, folder / "fast", fast_path="auto", **LIMITS)) as fast,
            Way.running(settings_for(plain_url, folder / "plain", fast_path="off", **LIMITS)) as plain,
        ):
            yield Both((fast, plain), clock)
            assert await fast.mails() == await plain.mails()
            assert await fast.rows() == await plain.rows()
