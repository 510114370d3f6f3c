"""`/users`: accounts."""

from fastapi import APIRouter

from app.api.deps import ConditionalDep, CurrentUser
from app.api.errors import responses
from app.models.user import User
from app.schemas.user import UserRead

router = APIRouter(prefix="/users", tags=["users"], responses=responses(401))


@router.get("/me", response_model=UserRead, summary="See your account", responses=responses(304))
async def read_me(me: CurrentUser, conditional: ConditionalDep) -> User:
    return conditional.tag(me.user)
