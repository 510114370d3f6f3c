"""`Idempotency-Key`: a repeated request does its work once."""

import hmac
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated

from fastapi import Depends, Header, Request, Response

from app.api.deps import CurrentUser, SessionDep
from app.api.deps.app_services import app_services_of
from app.api.errors import EarlyResponse, problem
from app.api.handler_run import run_of
from app.api.request_state import state_of
from app.core.clock import utc_now
from app.core.db.session import WriteSession
from app.core.errors import AppError, UnprocessableError
from app.core.security.keys import Keyring
from app.crud.idempotency import idempotency_keys
from app.models.idempotency import IdempotencyKey
from app.services.app_services import AppServices

TTL = timedelta(hours=24)
KEPT_HEADERS = ("content-type", "etag", "location", "retry-after")
# Not about what was asked for, but about who asked and how often.
NOT_KEPT = {401, 403, 429}


class KeyReusedError(UnprocessableError):
    code = "idempotency_key_reused"
    detail = "This Idempotency-Key came with another body before; take a new key for a new request."


KeyHeader = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        pattern=r"^[\x21-\x7e]{1,255}$",
        max_length=255,
        description="Makes repeating the request safe: for 24 hours the same key gets the first response again.",
        examples=["7f4c2f9a-1d1c-4a57-9c1e-0c8f6d1b2a33"],
    ),
]


@dataclass(frozen=True, slots=True)
class Idempotency:
    """For a handler that has slow work to do before its transaction: no key, and no connection, waits for that."""

    request: Request
    user_id: int
    session: WriteSession
    key: str | None

    async def claim_key(self) -> None:
        """Store the response in the transaction of what it tells of, and give it again to whoever repeats the request.

        Raises:
            EarlyResponse, KeyReusedError, InProgressError: the request is not to run.
        """
        if self.key is not None:
            services = app_services_of(self.request)
            context = once(self.request, services, self.user_id, self.session, self.key)
            await run_of(self.request).exit_stack().enter_async_context(context)


async def get_idempotency(request: Request, me: CurrentUser, session: SessionDep, key: KeyHeader = None) -> Idempotency:
    return Idempotency(request, me.user.id, session, key)


IdempotencyKeyDep = Annotated[Idempotency, Depends(get_idempotency)]


async def run_once(request: Request, me: CurrentUser, session: SessionDep, key: KeyHeader = None) -> None:
    if key is not None:
        await Idempotency(request, me.user.id, session, key).claim_key()


@asynccontextmanager
async def once(
    request: Request, services: AppServices, user_id: int, session: WriteSession, key: str
) -> AsyncIterator[None]:
    row = await claim(request, services.keys, user_id, session, key)
    try:
        async with services.database.savepoint(session):
            yield
    except AppError as error:
        if error.status in NOT_KEPT or error.status >= 500:
            raise
        refusal = problem(state_of(request.scope).id, error.status, error.code, error.detail, error.headers)
        await keep(session, row, refusal)
        error.keeps_changes = True
        raise
    response = run_of(request).response
    assert response is not None
    await keep(session, row, response)


async def claim(request: Request, keys: Keyring, user_id: int, session: WriteSession, key: str) -> IdempotencyKey:
    """Raises EarlyResponse, KeyReusedError or InProgressError if the request is not to run."""
    fingerprints = [hmac.digest(secret, await request.body(), "sha256").hex() for secret in keys.derive("idempotency")]
    operation = f"{request.method} {request.scope['path']}"
    row = await idempotency_keys.claim(session, user_id, operation, key, fingerprints[0], utc_now() + TTL)
    if row.fingerprint not in fingerprints:
        raise KeyReusedError
    if row.status is not None:
        headers = {**json.loads(row.headers or "{}"), "Idempotency-Replayed": "true"}
        raise EarlyResponse(Response(row.body, row.status, headers))
    return row


async def keep(session: WriteSession, row: IdempotencyKey, answer: Response) -> None:
    headers = {name: answer.headers[name] for name in KEPT_HEADERS if name in answer.headers}
    body = bytes(answer.body).decode()
    row.status, row.headers, row.body = answer.status_code, json.dumps(headers), body
    await idempotency_keys.flush(session)


# The same for all other handlers, which begin at once.
IdempotencyDep = Annotated[None, Depends(run_once)]
