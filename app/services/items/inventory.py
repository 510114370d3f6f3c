"""The client of the inventory service, which knows the stock of items."""

from http import HTTPStatus
from typing import TYPE_CHECKING, Self

import structlog
from pydantic import BaseModel, ValidationError

from app.core.config.settings import Settings
from app.core.errors import UnavailableError
from app.schemas.base import Count

if TYPE_CHECKING:
    from app.core.outbound.remote import Remote

log = structlog.get_logger()


class InventoryUnavailableError(UnavailableError):
    code = "inventory_unavailable"
    detail = "The inventory cannot tell the stock at the moment; try again shortly."


class Counted(BaseModel):
    """The inventory's response; other fields are ignored."""

    stock: Count


class Inventory:
    def __init__(self, remote: "Remote") -> None:
        self.remote = remote

    @classmethod
    def from_settings(cls, settings: Settings) -> Self | None:
        """None if INVENTORY_URL is not set."""
        if settings.inventory_url is None:
            return None
        # Imported late: the libraries take 10 MB, unused without an inventory.
        from app.core.outbound.circuit import Circuit  # noqa: PLC0415 - as above
        from app.core.outbound.remote import Remote  # noqa: PLC0415 - as above

        url = settings.inventory_url.get_secret_value()
        return cls(Remote(url, InventoryUnavailableError, Circuit("inventory")))

    async def close(self) -> None:
        await self.remote.close()

    async def ping(self) -> bool:
        """Whether the inventory accepts our credentials, tried with any item.

        Raises:
            InventoryUnavailableError: if it does not respond.
        """
        answer = await self.remote.get("/stock/1")
        return answer.status not in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}

    async def count(self, item_id: int) -> int:
        """How many there are.

        An item unknown to the inventory (404) is an error, not a stock of 0, which would read as sold out.

        Raises:
            InventoryUnavailableError: if it does not respond, or not with a count.
        """
        answer = await self.remote.get(f"/stock/{item_id}")
        try:
            if answer.status == HTTPStatus.OK:
                return Counted.model_validate_json(answer.body).stock
        except ValidationError:
            pass
        # Not a failure for the circuit: the service is up, and other items may be fine.
        log.warning("unusable response from the inventory", item_id=item_id, status=answer.status)
        raise InventoryUnavailableError
