"""The inventory: another service, which knows how many of an item there are."""

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
    """What the inventory answers; fields that it has besides are none of our business."""

    stock: Count


class Inventory:
    def __init__(self, remote: "Remote") -> None:
        self.remote = remote

    @classmethod
    def from_settings(cls, settings: Settings) -> Self | None:
        """None where INVENTORY_URL is not set."""
        if settings.inventory_url is None:
            return None
        # Here, since their libraries cost those who have no inventory 10 MB.
        from app.core.outbound.circuit import Circuit  # noqa: PLC0415 - as above
        from app.core.outbound.remote import Remote  # noqa: PLC0415 - as above

        url = settings.inventory_url.get_secret_value()
        return cls(Remote(url, InventoryUnavailableError, Circuit("inventory")))

    async def close(self) -> None:
        await self.remote.close()

    async def ping(self) -> bool:
        """Whether it lets us in; any item will do to find out.

        Raises:
            InventoryUnavailableError: if it does not answer.
        """
        answer = await self.remote.get("/stock/1")
        return answer.status not in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}

    async def count(self, item_id: int) -> int:
        """How many there are.

        An item that the inventory does not know (404) is not one of which there are none: nobody has counted it,
        and whoever reads 0 would believe that it is sold out.

        Raises:
            InventoryUnavailableError: if it does not answer, or with anything but a count.
        """
        answer = await self.remote.get(f"/stock/{item_id}")
        try:
            if answer.status == HTTPStatus.OK:
                return Counted.model_validate_json(answer.body).stock
        except ValidationError:
            pass
        # The circuit does not count these: the service is there, and other items may be fine.
        log.warning("unusable response from the inventory", item_id=item_id, status=answer.status)
        raise InventoryUnavailableError
