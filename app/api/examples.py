"""Examples of whole request bodies, where the examples of their fields do not suffice."""

from typing import Any


def example(body: dict[str, Any], media_type: str = "application/json") -> dict[str, Any]:
    """For a route's `openapi_extra`."""
    return {"requestBody": {"content": {media_type: {"example": body}}}}
