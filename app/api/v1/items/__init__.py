"""Items, one module per kind of operation."""

from app.api.router import Router
from app.api.v1.items import batch, items, stock

router = Router()
router.include_router(batch.router)  # first: `/items/{item_id}` fits its paths too
router.include_router(stock.router)
router.include_router(items.router)
