"""What asyncpg keeps of a schema: forgotten on all connections of a pool at once when it has changed."""

from typing import Any
from weakref import WeakSet

from sqlalchemy import Engine, PoolProxiedConnection, event
from sqlalchemy.pool import ConnectionPoolEntry

# In a connection's `info`: all of its engine.
CONNECTIONS = "strata_connections"


def know_siblings(engine: Engine) -> None:
    connections: WeakSet[Any] = WeakSet()

    def join(connection: Any, entry: ConnectionPoolEntry) -> None:
        connections.add(connection.driver_connection)
        entry.info[CONNECTIONS] = connections

    event.listen(engine, "connect", join)


async def forget_plans(connection: PoolProxiedConnection) -> None:
    """asyncpg does so for the one connection where it has failed; each of the others would fail once as well.

    SQLAlchemy does the same for what it prepares itself.
    """
    for sibling in [*connection.info.get(CONNECTIONS, ())]:
        await sibling.reload_schema_state()
