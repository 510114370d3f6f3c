"""FastAPI's application, with an OpenAPI document that shows the address clients use."""

from collections.abc import Iterator
from typing import Any

from app.api.openapi import OpenAPIApp

OAUTH_URLS = {"authorizationUrl", "refreshUrl", "tokenUrl"}


class Application(OpenAPIApp):
    def __init__(self, *, public_root: str = "", **options: Any) -> None:
        """`public_root` is what clients see before our paths: `ROOT_PATH`."""
        super().__init__(servers=[{"url": public_root}] if public_root else None, **options)
        self.public_root = public_root

    def openapi(self) -> dict[str, Any]:
        document = super().openapi()
        if self.public_root:
            # Clients resolve these without `servers`. FastAPI keeps the document: they may have the prefix already.
            for flow in oauth_flows(document):
                for name in OAUTH_URLS & flow.keys():
                    flow[name] = self.public_root + flow[name].removeprefix(self.public_root)
        return document


def oauth_flows(document: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for scheme in document["components"].get("securitySchemes", {}).values():
        yield from scheme.get("flows", {}).values()
