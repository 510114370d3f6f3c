"""The engine of a PostgreSQL database, and what watches over its connections."""

from typing import Any
from uuid import uuid4

from sqlalchemy import event
from sqlalchemy.engine import URL
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from app.core.config.settings import Settings
from app.core.db.driver.lending_pool import LendingPool
from app.core.db.errors import replace_spoiled_connection
from app.core.db.liveness.connection import WatchedConnection
from app.core.db.liveness.watch import Watch
from app.core.db.url.driver_arguments import driver_arguments
from app.core.db.url.postgresql_options import read_seconds

IDLE_IN_TRANSACTION_SECONDS = 60


def create_engine(url: URL, settings: Settings) -> AsyncEngine:
    engine = create_async_engine(
        url.set(query={}),  # which the arguments have; the dialect would pass it on as it is
        echo=settings.db_echo,
        hide_parameters=not settings.db_echo,  # errors are logged; hashes and addresses are not
        poolclass=LendingPool,
        pool_size=settings.db_pool_size,
        max_overflow=settings.db_max_overflow,
        pool_timeout=settings.db_pool_timeout,
        pool_recycle=settings.db_pool_recycle,
        pool_use_lifo=True,
        connect_args=asyncpg_arguments(url, settings),
    )
    event.listen(engine.sync_engine, "handle_error", replace_spoiled_connection)
    return engine


def asyncpg_arguments(url: URL, settings: Settings) -> dict[str, Any]:
    """What the URL's parameters say, and the settings where it says nothing."""
    named = driver_arguments(url)
    asked = named.pop("server_settings")
    seconds = (
        read_seconds(asked["statement_timeout"]) if "statement_timeout" in asked else settings.db_statement_timeout
    )
    arguments: dict[str, Any] = {
        "connection_class": WatchedConnection,
        "timeout": settings.db_connect_timeout,
        "command_timeout": seconds + 5 if seconds else None,
        "server_settings": {"application_name": "strata"},
    }
    if settings.db_pgbouncer:
        # A pooled transaction may meet another client's prepared statements: keep none, share no name.
        # PgBouncer refuses unknown start-up parameters, so only the client's own time-out applies.
        arguments["statement_cache_size"] = 0
        arguments["prepared_statement_cache_size"] = 0
        arguments["prepared_statement_name_func"] = lambda: f"__strata_{uuid4()}__"
        asked.pop("statement_timeout", None)
    else:
        # The last line: whatever holds a transaction and does nothing in it loses its connection.
        idle_timeout = max(settings.db_statement_timeout, IDLE_IN_TRANSACTION_SECONDS)
        arguments["server_settings"] |= {
            "statement_timeout": f"{settings.db_statement_timeout * 1000:.0f}",
            "idle_in_transaction_session_timeout": f"{idle_timeout * 1000:.0f}",
        }
    arguments["server_settings"] |= asked
    return arguments | named


def autocommitting(engine: AsyncEngine, settings: Settings) -> AsyncEngine:
    if settings.db_pgbouncer:
        # Outside a transaction PREPARE and EXECUTE could meet different servers.
        return engine
    return engine.execution_options(isolation_level="AUTOCOMMIT")


def watch_over(engine: AsyncEngine, settings: Settings, *, has_primary: bool = True) -> Watch:
    arguments = asyncpg_arguments(engine.url, settings)
    return Watch(engine, arguments, has_primary=has_primary, is_pooled=settings.db_pgbouncer)
