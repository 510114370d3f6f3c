"""Health, readiness, version, public keys and the API documentation."""

from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any, Literal

import fastapi_offline
from fastapi import FastAPI, Request, Response
from fastapi.openapi.docs import get_redoc_html, get_swagger_ui_html, get_swagger_ui_oauth2_redirect_html
from pydantic import Field
from starlette.responses import HTMLResponse
from starlette.staticfiles import StaticFiles

from app.api.deps import AppServicesDep
from app.api.errors import responses
from app.api.middleware.root_path import root_path_of
from app.api.router import Router
from app.api.routing import UnlimitedRoute
from app.core.config.environments import Environment
from app.core.config.settings import Settings
from app.schemas.base import Out

ASSETS = Path(fastapi_offline.__file__).parent / "static"
ASSETS_PATH = "/docs/assets"
# The pages run one inline script, ReDoc also a worker and inline styles; nothing is loaded from other origins.
DOCS_CSP = (
    "default-src 'none'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; font-src 'self' data:; connect-src 'self'; worker-src blob:; frame-ancestors 'none'"
)

# Three routers, since settings may disable the last two.
router = Router(tag="system", about="Health and identity of the server.", route_class=UnlimitedRoute)
info_router = Router(tag="system", route_class=UnlimitedRoute)
docs_router = Router(tag="system", route_class=UnlimitedRoute)


ALIVE = b'{"status":"ok"}'


class Health(Out):
    status: Literal["ok"]


class Readiness(Out):
    status: Literal["ready"]
    checks: dict[str, Literal["ok"]]


class Info(Out):
    name: str
    version: Annotated[str, Field(examples=["1.0.0"])]
    commit: Annotated[str | None, Field(examples=["4f1c2a9"])]
    environment: Annotated[Environment, Field(description="What kind of installation it is.")]


class PublicKey(Out):
    """RFC 7517 section 4."""

    kid: Annotated[str, Field(description="What a token's header calls the key: its RFC 7638 thumbprint.")]
    use: Literal["sig"]


class RSAPublicKey(PublicKey):
    """RFC 7518 section 6.3.1."""

    kty: Literal["RSA"]
    alg: Literal["RS256"]
    n: Annotated[str, Field(description="Modulus, base64url.")]
    e: Annotated[str, Field(description="Exponent, base64url.", examples=["AQAB"])]


class ECPublicKey(PublicKey):
    """RFC 7518 section 6.2.1."""

    kty: Literal["EC"]
    alg: Literal["ES256"]
    crv: Literal["P-256"]
    x: Annotated[str, Field(description="First coordinate, base64url.")]
    y: Annotated[str, Field(description="Second coordinate, base64url.")]


class PublicKeys(Out):
    keys: list[Annotated[RSAPublicKey | ECPublicKey, Field(discriminator="kty")]]


@router.get("/health", response_model=Health, summary="Is the process alive?")
async def health() -> Response:
    """Touches nothing else, so that a database that is down does not restart the server."""
    return Response(ALIVE, media_type="application/json")


@router.get("/ready", response_model=Readiness, summary="Can it serve requests?", responses=responses(503))
async def ready(services: AppServicesDep) -> dict[str, object]:
    """The database responds, and its schema is the one this code was written for; asked once a second for all."""
    await services.readiness.require()
    return {"status": "ready", "checks": {"database": "ok", "migrations": "ok"}}


@cache
def own_version() -> str:
    """Cached: reading the package metadata takes as long as many requests."""
    return version("strata")


@info_router.get("/info", response_model=Info, summary="What is running here?")
async def info(services: AppServicesDep) -> dict[str, str | None]:
    settings = services.settings
    return {
        "name": "Strata",
        "version": own_version(),
        "commit": settings.git_commit,
        "environment": settings.environment,
    }


@router.get("/.well-known/jwks.json", response_model=PublicKeys, summary="Which keys verify access tokens?")
async def jwks(services: AppServicesDep, response: Response) -> dict[str, object]:
    """The current and the previous public keys (RFC 7517); none where tokens are signed with a secret."""
    response.headers["Cache-Control"] = "public, max-age=300"
    return {"keys": services.keys.public_keys()}


class Assets(StaticFiles):
    """With weak tags: what is sent may be compressed, and no range of the file is a part of that (RFC 9110 13.1.5)."""

    def file_response(self, *args: Any, **options: Any) -> Response:
        response = super().file_response(*args, **options)
        response.headers["ETag"] = f"W/{response.headers['ETag']}"
        return response


def docs_page(page: HTMLResponse) -> HTMLResponse:
    page.headers["Content-Security-Policy"] = DOCS_CSP
    return page


@docs_router.get("/docs", include_in_schema=False)
async def swagger_ui(request: Request) -> HTMLResponse:
    root = root_path_of(request.scope)
    return docs_page(
        get_swagger_ui_html(
            openapi_url=f"{root}/openapi.json",
            title="Strata · API",
            oauth2_redirect_url=f"{root}/docs/oauth2-redirect",
            swagger_js_url=f"{root}{ASSETS_PATH}/swagger-ui-bundle.js",
            swagger_css_url=f"{root}{ASSETS_PATH}/swagger-ui.css",
            swagger_favicon_url=f"{root}{ASSETS_PATH}/favicon.png",
        )
    )


@docs_router.get("/docs/oauth2-redirect", include_in_schema=False)
async def swagger_ui_redirect() -> HTMLResponse:
    return docs_page(get_swagger_ui_oauth2_redirect_html())


@docs_router.get("/redoc", include_in_schema=False)
async def redoc(request: Request) -> HTMLResponse:
    root = root_path_of(request.scope)
    return docs_page(
        get_redoc_html(
            openapi_url=f"{root}/openapi.json",
            title="Strata · API reference",
            redoc_js_url=f"{root}{ASSETS_PATH}/redoc.standalone.js",
            redoc_favicon_url=f"{root}{ASSETS_PATH}/favicon.png",
            with_google_fonts=False,
        )
    )


def include_system(app: FastAPI, settings: Settings) -> None:
    """Disabled pages have no route, so that they are 404 like any unknown path."""
    app.include_router(router)
    if settings.info_enabled:
        app.include_router(info_router)
    if settings.docs_enabled:
        app.include_router(docs_router)
        app.mount(ASSETS_PATH, Assets(directory=ASSETS), name="docs-assets")
