"""A process keeps nothing of what clients send, however long it is and however often it is something else."""

import gc
import tracemalloc
from collections.abc import AsyncIterator, Iterable
from typing import Any

import pytest

from app.api.deps import AppServices
from app.core.clock import utc_now
from app.core.config.settings import Settings
from app.core.errors import AppError
from app.core.limits import windows
from app.core.security import tokens
from tests.conftest import in_one_transaction, running

WARM_UP, ROUNDS = 30, 60
LENGTH = 3000
# A round sends some twenty texts; to keep one of them would take more.
MAX_GROWTH = 1000
type App = tuple[Any, AppServices]


@pytest.fixture
async def app(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[App]:
    """With limits that stop nobody, and caches that are full after a few requests."""
    monkeypatch.setattr(windows, "MAX_KEYS", 20, raising=False)
    monkeypatch.setattr(tokens, "MAX_KNOWN_TOKENS", 20)
    rates = dict.fromkeys(("rate_limit_default", "rate_limit_login", "rate_limit_register"), "1000/minute")
    usual = settings.model_copy(update={"rate_limit_enabled": True, **rates, "log_level": "error"})
    async with running(usual) as (_, manager, services), in_one_transaction(services):
        services.cache.local.max_bytes = 10_000
        yield (manager.app, services)


async def send(app: Any, method: str, path: str, text: str, body: bytes = b"", **headers: str) -> None:
    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    async def answer(message: dict[str, Any]) -> None:
        assert message.get("status", 200) < 500, (path, message)

    target, _, query = path.partition("?")
    usual = {"host": "test", "content-length": str(len(body)), "x-request-id": text, "user-agent": text}
    scope = {
        "type": "http",
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": target,
        "raw_path": target.encode(),
        "root_path": "",
        "query_string": query.encode(),
        "headers": [(name.replace("_", "-").encode(), value.encode()) for name, value in (usual | headers).items()],
        "client": ("127.0.0.1", 1),
    }
    await app(scope, receive, answer)


async def ask(app: App, number: int) -> None:
    """All that takes a text from a client, each time with another one."""
    asgi, services = app
    text = f"{number:07}{'x' * LENGTH}"
    multipart = f"multipart/form-data; boundary=x; charset={text}"
    await send(asgi, "GET", "/info", text, host=f"{text[:250]}")
    await send(asgi, "GET", "/info", text, host=text, origin=f"https://{text}", cookie=f"refresh_token={text}")
    await send(asgi, "POST", "/api/v1/auth/refresh", text, b"{}", content_type=f"application/{text}+json")
    await send(asgi, "POST", "/api/v1/auth/login", text, content_type=multipart, accept_encoding=text)
    await send(asgi, "GET", f"/api/v1/books?q=a{number}&cursor={text}", text, authorization=f"Bearer {text}")
    await send(asgi, "GET", f"/api/v1/books?q=a{number}", text, if_none_match=text)
    await send(asgi, "POST", f"/{text}", text, idempotency_key=text, if_match=text)
    with pytest.raises(AppError):
        services.auth.tokens.verify(text, "refresh")
    await services.auth.attempts.spend(text)
    services.auth.tokens.verify(access_token(services, number), "access")


def access_token(services: AppServices, number: int) -> str:
    until = utc_now() + services.auth.access_ttl
    return services.auth.tokens.issue(
        "access",
        user_id=1,
        session_id=number + 1,
        session_key=f"{number:032x}",
        jti=str(number),
        issued_at=utc_now(),
        expires_at=until,
    )


async def snapshot(app: App, numbers: Iterable[int]) -> tracemalloc.Snapshot:
    for number in numbers:
        await ask(app, number)
    gc.collect()
    return tracemalloc.take_snapshot()


async def test_memory_does_not_grow_with_what_clients_send(app: App) -> None:
    tracemalloc.start()
    try:
        before, after = [await snapshot(app, rounds) for rounds in (range(WARM_UP), range(WARM_UP, WARM_UP + ROUNDS))]
    finally:
        tracemalloc.stop()
    grown = after.compare_to(before, "lineno")
    shown = "\n".join(map(str, grown[:10]))
    assert sum(each.size_diff for each in grown) / ROUNDS < MAX_GROWTH, f"bytes that each round leaves behind:\n{shown}"
