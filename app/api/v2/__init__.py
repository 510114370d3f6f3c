"""The registry of `/api/v2`: what has changed since v1, which is the form of lists, and only that."""

from app.api.errors import responses
from app.api.router import Router
from app.api.v2 import admin, books, items, orders, users

router = Router(prefix="/api/v2", responses=responses(400, 413, 422, 429, 431, 503, 507))
router.include_router(users.router)
router.include_router(books.router)
router.include_router(items.router)
router.include_router(orders.router)
router.include_router(admin.router)
