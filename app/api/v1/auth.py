"""`/auth`: registering, signing in, staying signed in, signing out."""

from typing import Annotated

from fastapi import APIRouter, Depends, status
from fastapi.security import OAuth2PasswordRequestForm

from app.api.deps import AuthDep, CreatedDep, DeviceDep, HasherDep, SessionDep
from app.api.errors import responses
from app.crud.user import users
from app.models.user import User
from app.schemas.auth import RefreshRequest, TokenRead
from app.schemas.user import Registration, UserRead
from app.services.auth import TokenPair

router = APIRouter(prefix="/auth", tags=["auth"])

LoginForm = Annotated[OAuth2PasswordRequestForm, Depends()]


def token_answer(pair: TokenPair) -> dict[str, object]:
    """RFC 6749 section 5.1."""
    return {
        "access_token": pair.access_token,
        "refresh_token": pair.refresh_token,
        "token_type": "bearer",
        "expires_in": pair.expires_in,
        "scope": pair.scope,
    }


@router.post(
    "/register",
    response_model=UserRead,
    status_code=status.HTTP_201_CREATED,
    summary="Open an account",
    responses=responses(409),
)
async def register(data: Registration, session: SessionDep, hasher: HasherDep, created: CreatedDep) -> User:
    fields = data.model_dump(exclude={"password", "confirm_password"})
    user = User(**fields, hashed_password=await hasher.hash(data.password.get_secret_value()))
    await users.add(session, user)
    created.at("read_me")
    return created.tag(user)


@router.post("/login", response_model=TokenRead, summary="Sign in", responses=responses(401, 403))
async def login(form: LoginForm, auth: AuthDep, device: DeviceDep) -> dict[str, object]:
    """The password grant of OAuth 2: `username` may be the e-mail address; `scope` narrows what the token can do."""
    return token_answer(await auth.login(form.username, form.password, " ".join(form.scopes), device))


@router.post("/refresh", response_model=TokenRead, summary="Trade a refresh token in", responses=responses(401))
async def refresh(data: RefreshRequest, auth: AuthDep) -> dict[str, object]:
    """Each refresh token works once; a copy used later ends the session."""
    return token_answer(await auth.refresh(data.refresh_token))


@router.post("/logout", status_code=status.HTTP_204_NO_CONTENT, summary="Sign out", responses=responses(401))
async def logout(data: RefreshRequest, auth: AuthDep) -> None:
    """The session's tokens stop working at once, the access token included."""
    await auth.logout(data.refresh_token)
