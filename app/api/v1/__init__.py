"""The registry of `/api/v1`: one import and one line for each resource."""

from fastapi import APIRouter, Depends

from app.api.deps import refuse_large_body
from app.api.errors import responses
from app.api.v1 import auth, items, users

router = APIRouter(prefix="/api/v1", dependencies=[Depends(refuse_large_body)], responses=responses(400, 413, 422, 503))
router.include_router(auth.router)
router.include_router(users.router)
router.include_router(items.router)
