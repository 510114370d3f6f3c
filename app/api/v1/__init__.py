"""The registry of `/api/v1`: one import and one line for each resource."""

from app.api.errors import responses
from app.api.router import Router
from app.api.v1 import admin, admin_jobs, auth, books, items, orders, tasks, token, users

router = Router(prefix="/api/v1", responses=responses(400, 413, 422, 429, 431, 503, 507))
router.include_router(auth.router)
router.include_router(token.router)
router.include_router(users.router)
router.include_router(books.router)
router.include_router(items.router)
router.include_router(orders.router)
router.include_router(admin.router)
router.include_router(admin_jobs.router)
router.include_router(tasks.router)
