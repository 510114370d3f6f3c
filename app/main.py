"""The application: `create_app()` puts the layers together; importing this module does nothing."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext
from importlib.metadata import version
from typing import TypedDict

from fastapi import FastAPI
from fastapi.routing import APIRoute
from fastapi.telemetry import TelemetryConfig
from opentelemetry import trace
from starlette.middleware import Middleware
from starlette.types import Lifespan

from app.api import system, v1, v2
from app.api.application import Application
from app.api.errors import install_error_handlers
from app.api.fastpath.middleware import FastPath
from app.api.middleware.checks import Checks
from app.api.middleware.context import RequestContext
from app.api.middleware.control_characters import ControlCharacters
from app.api.middleware.cross_origin import cors_options, with_cors
from app.api.middleware.head_limit import HeadLimit, head_refusals
from app.api.middleware.headers import ResponseHeaders
from app.api.middleware.root_path import RootPath
from app.api.middleware.shedding import LoadShedding
from app.api.openapi import DESCRIPTION
from app.api.plugins import install_plugins
from app.api.router import collect_scopes, collect_tags
from app.core.cache.cache import Cache
from app.core.config.deployment import PREFIX, redis_prefix
from app.core.config.settings import Settings
from app.core.db.engine import Database
from app.core.db.migrations import migration_head
from app.core.db.startup import wait_for_database
from app.core.limits.download_slots import DownloadSlots
from app.core.limits.ratelimit import RateLimiter
from app.core.observability.access_log import access_log
from app.core.observability.logging import configure_logging
from app.core.observability.readiness import Readiness
from app.core.outbound.mail import open_mailer
from app.core.plugins import log_plugins
from app.core.security.cursors import CursorSigner
from app.core.security.keys import Keyring
from app.core.security.mail_codes import MailCodes
from app.core.security.passwords import PasswordHasher
from app.core.security.tokens import Tokens
from app.services.accounts.accounts import Accounts
from app.services.app_services import AppServices
from app.services.auth.account_changes import open_listener
from app.services.auth.auth import Auth
from app.services.auth.scopes import Scopes
from app.services.items.inventory import Inventory
from app.services.jobs import Jobs
from app.services.mail.delivery import MailDelivery
from app.services.mail.notices import Notices
from app.tasks.running import running_worker


class State(TypedDict):
    services: AppServices


def create_app(settings: Settings | None = None) -> FastAPI:
    """Build the application from the given settings, or from the environment's.

    Raises:
        SettingsError: naming every setting that is wrong.
        PluginError: naming a plugin of MODULES that cannot be loaded.
    """
    settings = settings or Settings.load()
    configure_logging(settings)
    app = Application(
        title="Strata",
        version=version("strata"),
        description=DESCRIPTION,
        openapi_tags=collect_tags(v1.router, v2.router, system.router),
        scopes=registered_scopes(),
        public_root=settings.root_path,
        openapi_url="/openapi.json" if settings.docs_enabled else None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        generate_unique_id_function=operation_id,
        lifespan=lifespan_of(settings, has_worker=settings.runs_jobs),
        middleware=middleware(settings),
        telemetry=telemetry(),
    )
    install_error_handlers(app)
    system.include_system(app, settings)
    app.include_router(v1.router)
    app.include_router(v2.router)
    install_plugins(app, settings.modules)
    return app


def telemetry() -> TelemetryConfig:
    """A span for each request, and none for its parts, which would cost more than most requests.

    Where nothing is set up, FastAPI would look for OpenTelemetry's providers with each request all the same.
    """
    is_configured = not isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider)
    is_used = is_configured or any(name.startswith("OTEL_") for name in os.environ)
    return {"tracing": is_used, "metrics": is_used, "logs": is_used, "operation_spans": False}


def middleware(settings: Settings) -> list[Middleware]:
    """From the outside in: each layer sees the responses of those below it."""
    headers, cors = ResponseHeaders(hsts=settings.is_exposed), with_cors(settings)
    prefix = [Middleware(RootPath, root_path=settings.root_path)] if settings.root_path else []
    return [
        *prefix,
        Middleware(HeadLimit, refusals=head_refusals(headers, cors)),
        Middleware(LoadShedding, limit=settings.max_concurrent_requests, headers=headers, with_cors=cors),
        Middleware(RequestContext, headers=headers),
        Middleware(
            Checks,
            allowed_hosts=settings.trusted_hosts or ["*"],
            cors=cors_options(settings),
            max_body_size=settings.max_body_size,
        ),
        Middleware(FastPath, mode=settings.fast_path),
        # For FastAPI's own way alone: the fast path knows no such paths.
        Middleware(ControlCharacters),
    ]


def lifespan_of(settings: Settings, *, has_worker: bool) -> Lifespan[FastAPI]:
    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[State]:
        try:
            async with (
                opened(settings) as services,
                listening_for_accounts(services),
                running_worker(services) if has_worker else nullcontext(),
            ):
                yield {"services": services}
        finally:
            await asyncio.to_thread(access_log.flush)

    return lifespan


@asynccontextmanager
async def opened(settings: Settings) -> AsyncIterator[AppServices]:
    """What a server and a job worker hold open."""
    log_plugins(settings.modules)
    database = Database(settings)
    try:
        await wait_for_database(database.engine, settings)
        services = open_app_services(settings, database, await redis_prefix(settings, database.engine))
        try:
            yield services
        finally:
            if services.limiter is not None:
                await services.limiter.close()
            await services.cache.close()
            if services.inventory is not None:
                await services.inventory.close()
    finally:
        await database.close()


@asynccontextmanager
async def listening_for_accounts(services: AppServices) -> AsyncIterator[None]:
    listener = open_listener(services.settings, services.database, services.auth.account_cache)
    if listener is None:
        yield
        return
    listener.start()
    try:
        yield
    finally:
        await listener.close()


def open_app_services(settings: Settings, database: Database, prefix: str = PREFIX) -> AppServices:
    keys = Keyring.from_settings(settings)
    hasher = PasswordHasher()
    tokens = Tokens(keys, settings.jwt_issuer, settings.jwt_audience)
    limiter = RateLimiter.from_settings(settings, prefix)
    mailer, jobs = open_mailer(settings), Jobs()
    notices, codes = Notices(jobs), MailCodes(keys)
    auth = Auth.from_settings(settings, database, hasher, tokens, registered_scopes(), limiter, notices)
    return AppServices(
        settings=settings,
        database=database,
        download_slots=DownloadSlots(),
        hasher=hasher,
        auth=auth,
        accounts=Accounts.from_settings(settings, database, hasher, auth.attempts, limiter, jobs, notices, codes),
        cache=Cache.from_settings(settings, prefix),
        cursors=CursorSigner(keys),
        keys=keys,
        mailer=mailer,
        delivery=MailDelivery(settings, database, mailer, limiter, jobs, codes),
        jobs=jobs,
        limiter=limiter,
        inventory=Inventory.from_settings(settings),
        readiness=Readiness(database, migration_head()),
    )


def registered_scopes() -> Scopes:
    return collect_scopes(v1.router, v2.router)


def operation_id(route: APIRoute) -> str:
    """`list_items` of the tag `items` is `items_list`: generated clients read `client.items_list()`."""
    tag = str(route.tags[0]) if route.tags else "system"
    verb = route.name
    for noun in (tag, tag.removesuffix("s"), tag.removesuffix("es"), f"{tag.removesuffix('ies')}y"):
        verb = verb.removesuffix(f"_{noun}")
    return f"{tag}_{verb}"
