"""`/auth`: registering, signing in, staying signed in, signing out, and verifying addresses by mail."""

from typing import Annotated, Any

from fastapi import Form, status

from app.api.deps import AccountsDep, AccountUser, AuthDep, CreatedDep, DeviceDep, ReadSessionDep, SessionDep
from app.api.deps.cookies import RefreshCookieDep
from app.api.deps.limits import LoginLimit, MailLimit, RegisterLimit
from app.api.errors import responses
from app.api.examples import example
from app.api.forms import FORM_LIMITS
from app.api.router import Router
from app.core.clock import utc_now
from app.core.errors import NotFoundError
from app.crud.device_session import sessions
from app.crud.user import users
from app.models.user import User
from app.schemas.account import AccountId, EmailVerification, ForgottenPassword, PasswordReset, SessionRead
from app.schemas.auth import LoginForm, RefreshRequest, TokenRead
from app.schemas.base import Message
from app.schemas.user import Registration, UserRead
from app.services.audit import record_sign_out
from app.services.auth.auth import session_facts

router = Router(
    prefix="/auth", tag="auth", about="Registering, signing in, staying signed in, signing out.", takes_little=True
)

LOGIN = {"grant_type": "password", "username": "alice", "password": "correct horse battery staple"}
REFRESH = {"refresh_token": "the refresh_token of the last sign-in or refresh"}

BY_CODE = {"email": "alice@example.com", "code": "WDJB-MJHT"}

LoginFormBody = Annotated[LoginForm, Form()]
SENT = "If the address belongs to an account, a mail with a link is on its way."


@router.post(
    "/register",
    response_model=UserRead,
    status_code=status.HTTP_201_CREATED,
    summary="Open an account",
    dependencies=[RegisterLimit],
    responses=responses(409),
)
async def register(
    data: Registration, session: SessionDep, accounts: AccountsDep, device: DeviceDep, created: CreatedDep
) -> User:
    fields = data.model_dump(exclude={"password", "confirm_password"})
    user = await accounts.register(session, data.password.get_secret_value(), device, **fields)
    created.at("read_me")
    return created.tag(user)


@router.post(
    "/login",
    response_model=TokenRead,
    response_model_exclude_none=True,
    summary="Sign in",
    dependencies=[LoginLimit],
    responses=responses(401, 403, 415),
    openapi_extra=example(LOGIN, "application/x-www-form-urlencoded"),
    form_limits=FORM_LIMITS,
)
async def login(form: LoginFormBody, auth: AuthDep, device: DeviceDep, cookie: RefreshCookieDep) -> dict[str, Any]:
    """The password grant of OAuth 2: `username` may be the e-mail address; `scope` narrows what the token can do."""
    return cookie.answer(await auth.login(form.username, form.password, form.scope, device))


@router.post(
    "/refresh",
    response_model=TokenRead,
    response_model_exclude_none=True,
    summary="Trade a refresh token in",
    responses=responses(401, 403),
    openapi_extra=example(REFRESH),
)
async def refresh(
    auth: AuthDep, device: DeviceDep, cookie: RefreshCookieDep, data: RefreshRequest | None = None
) -> dict[str, Any]:
    """Each refresh token works once; a copy used later ends the session."""
    return cookie.answer(await auth.refresh(cookie.read(data), device))


@router.post(
    "/logout",
    status_code=status.HTTP_204_NO_CONTENT,
    summary="Sign out",
    responses=responses(401, 403),
    openapi_extra=example(REFRESH),
)
async def logout(
    auth: AuthDep, device: DeviceDep, cookie: RefreshCookieDep, data: RefreshRequest | None = None
) -> None:
    """The session's tokens stop working at once, the access token included."""
    await auth.logout(cookie.read(data), device)
    cookie.clear()


@router.post(
    "/logout-all",
    status_code=status.HTTP_204_NO_CONTENT,
    summary="Sign out on every device",
    responses=responses(401, 403),
)
async def logout_all(
    me: AccountUser, session: SessionDep, auth: AuthDep, device: DeviceDep, cookie: RefreshCookieDep
) -> None:
    auth.ended.add(*await sessions.end_all(session, me.user.id))
    await record_sign_out(session, device, me.user.id)
    cookie.clear()


@router.get("/sessions", response_model=list[SessionRead], summary="List your devices", responses=responses(401, 403))
async def list_sessions(me: AccountUser, session: ReadSessionDep) -> list[dict[str, Any]]:
    """Where you are signed in; the device used last comes first."""
    rows = await sessions.of_user(session, me.user.id, utc_now())
    return [session_facts(row, me.session_key) for row in rows]


@router.delete(
    "/sessions/{session_id}",
    status_code=status.HTTP_204_NO_CONTENT,
    summary="Sign a device out",
    responses=responses(401, 403, 404),
)
async def delete_session(
    session_id: AccountId, me: AccountUser, session: SessionDep, auth: AuthDep, device: DeviceDep
) -> None:
    key = await sessions.end(session, session_id, me.user.id)
    if key is None:
        raise NotFoundError(f"You have no session with id {session_id}.", code="session_not_found")
    auth.ended.add(key)
    await record_sign_out(session, device, me.user.id, session_id=session_id)


@router.post("/forgot-password", response_model=Message, summary="Ask for a new password", dependencies=[MailLimit])
async def forgot_password(data: ForgottenPassword, accounts: AccountsDep, device: DeviceDep) -> dict[str, str]:
    """The response is the same whether or not there is such an account."""
    await accounts.passwords.request_reset(data.email, device)
    return {"message": SENT}


@router.post(
    "/reset-password",
    status_code=status.HTTP_204_NO_CONTENT,
    summary="Set a new password",
    dependencies=[RegisterLimit],
    openapi_extra=example(BY_CODE | {"new_password": "another horse battery staple"}),
)
async def reset_password(data: PasswordReset, accounts: AccountsDep, device: DeviceDep) -> None:
    """With the token of the mail or its code, which work once; every session of the account ends."""
    await accounts.passwords.reset(data, data.new_password.get_secret_value(), device)


@router.post(
    "/verify-email",
    status_code=status.HTTP_204_NO_CONTENT,
    summary="Verify an address",
    dependencies=[RegisterLimit],
    responses=responses(409),
    openapi_extra=example(BY_CODE),
)
async def verify_email(data: EmailVerification, session: SessionDep, accounts: AccountsDep, device: DeviceDep) -> None:
    """With the token of the mail or its code: of a new account, or of an address that is to replace the old one."""
    await accounts.addresses.confirm(session, data, device)


@router.post(
    "/verify-email/request",
    status_code=status.HTTP_202_ACCEPTED,
    response_model=Message,
    summary="Ask for the mail again",
    dependencies=[MailLimit],
    responses=responses(401, 403),
)
async def request_verification(me: AccountUser, session: SessionDep, accounts: AccountsDep) -> dict[str, str]:
    await accounts.addresses.request_verification(session, await users.get_for_update(session, me.user.id))
    return {"message": "A mail with a link is on its way, unless your address is verified already."}
