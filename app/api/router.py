"""A resource's router: its operations, its tag and its scopes, which the registries collect."""

from collections.abc import Callable, Iterator
from typing import Annotated, Any

from fastapi import APIRouter, Security

from app.api.body import SMALL_BODY
from app.api.deps.identity import get_identity
from app.api.routing import Route
from app.api.rows import FromRows
from app.services.auth.scopes import Scope, Scopes


class Router(APIRouter):
    """FastAPI's, with our routes, and with responses made of rows.

    `tag` is what its operations are listed under in the OpenAPI document, where `about` describes it: said once,
    by the router of v1. With `takes_little` for operations whose bodies are a few short fields: no more is read.
    """

    def __init__(self, *, tag: str = "", about: str = "", takes_little: bool = False, **options: Any) -> None:
        super().__init__(**({"route_class": Route} | ({"tags": [tag]} if tag else {}) | options))
        self.described_tags = [{"name": tag, "description": about}] if about else []
        self.scopes: list[Scope] = []
        self.takes_little = takes_little
        self.included: list[Router] = []

    def requires(self, name: str, text: str, *, admin_only: bool = False) -> Any:
        """A token with the scope `name`, which `text` describes to clients: `Annotated[Identity, …]` is the caller."""
        self.scopes.append(Scope(name, text, admin_only))
        return Security(get_identity, scopes=[name])

    def include_router(self, router: APIRouter, **options: Any) -> None:
        super().include_router(router, **options)
        if isinstance(router, Router):
            self.included.append(router)

    def walk(self) -> Iterator["Router"]:
        """This router and all that are included."""
        yield self
        for router in self.included:
            yield from router.walk()

    def add_api_route(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        # FastAPI's placeholder for what was not given is as false as what it stands for.
        if model := options.get("response_model"):
            options["response_model"] = Annotated[model, FromRows()]
        if self.takes_little and options.get("max_body_size") is None:
            options["max_body_size"] = SMALL_BODY
        super().add_api_route(path, endpoint, **options)


def collect_scopes(*registries: Router) -> Scopes:
    routers = (router for registry in registries for router in registry.walk())
    return Scopes.of(tuple(router.scopes) for router in routers if router.scopes)


def collect_tags(*registries: Router) -> list[dict[str, str]]:
    return [tag for registry in registries for router in registry.walk() for tag in router.described_tags]
