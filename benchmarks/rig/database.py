"""A scratch database with Strata's schema and many rows, made on a PostgreSQL server and dropped at the end."""

import os
import secrets
import sys
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg

from app.core.security.keys import Keyring
from app.core.security.passwords import PasswordHasher
from app.core.security.tokens import Tokens
from app.main import registered_scopes
from app.models.user import Role
from rig.processes import child

USERS = 1000
ITEMS = 200_000
PASSWORD = "correct horse battery"
DEFAULT_URL = "postgresql://postgres@127.0.0.1:5432/postgres"
STRATA = Path(sys.executable).with_name("strata")

SEED_USERS = """
    INSERT INTO users (id, username, username_key, email, email_key, full_name, hashed_password, role, is_active,
                       is_verified, version, created_at, updated_at)
    SELECT n, 'user' || n, 'user' || n, 'user' || n || '@example.com', 'user' || n || '@example.com', 'User ' || n,
           $2, 'user', true, true, 1, now(), now()
    FROM generate_series(1, $1::bigint) n
"""
SEED_SESSIONS = """
    INSERT INTO sessions (id, key, user_id, scope, rotation, rotated_at, expires_at, ip, user_agent, foreign_uses,
                          created_at, updated_at)
    SELECT n, lpad(to_hex(n), 32, '0'), n, $2, 0, now(), now() + interval '7 days', '127.0.0.1', 'load', 0,
           now(), now()
    FROM generate_series(1, $1::bigint) n
"""
# One item in ten is done. The rows of an owner are far apart, as they are where many people write.
SEED_ITEMS = """
    INSERT INTO items (id, owner_id, sku, title, description, price, tax_rate, stock, is_done, version, created_at,
                       updated_at)
    SELECT n, 1 + n % $2::bigint, 'SKU-' || n, 'A red bicycle, number ' || n,
           CASE WHEN n % 4 > 0 THEN 'Hardly used, with a bell and two lamps; to be fetched at house ' || n END,
           (n % 100000) / 100.0, (ARRAY[0, 0.07, 0.19])[1 + n % 3], n % 50, n % 10 = 0, 1,
           now() - ($1::bigint - n) * interval '1 second', now()
    FROM generate_series(1, $1::bigint) n
"""


@dataclass(frozen=True, slots=True)
class Scratch:
    """The database, and what the servers sign and check tokens with."""

    name: str
    url: str
    version: str
    secret: str
    tokens: list[str]


@asynccontextmanager
async def scratch_database(server_url: str, folder: Path, items: int = ITEMS) -> AsyncIterator[Scratch]:
    server_url = server_url.replace("+asyncpg", "").replace("postgres://", "postgresql://")
    name = f"strata_load_{secrets.token_hex(4)}"
    url = urlsplit(server_url)._replace(path=f"/{name}").geturl()
    secret = secrets.token_urlsafe(48)
    server = await asyncpg.connect(server_url)
    try:
        version = await server.fetchval("SHOW server_version")
        await server.execute(f"CREATE DATABASE {name}")
        try:
            await migrate(url, folder)
            registered = registered_scopes()
            scopes = registered.text(registered.allowed(Role.USER))
            await seed(url, scopes, items)
            yield Scratch(name, url, version, secret, issue_tokens(secret, scopes))
        finally:
            await server.execute(f"DROP DATABASE {name} WITH (FORCE)")
    finally:
        await server.close()


async def migrate(url: str, folder: Path) -> None:
    environment = {"PATH": os.environ["PATH"], "DATABASE_URL": url, "DATA_DIR": str(folder)}
    async with child(STRATA, "db", "upgrade", env=environment, cwd=folder, stdout=DEVNULL, stderr=PIPE) as process:
        _, errors = await process.communicate()
    if process.returncode != 0:
        raise SystemExit(f"the migrations failed:\n{errors.decode()}")


async def seed(url: str, scopes: str, items: int) -> None:
    hashed = await PasswordHasher().hash(PASSWORD)
    connection = await asyncpg.connect(url)
    try:
        # Filling it row by row would take most of the time.
        trigrams = await connection.fetchval("SELECT indexdef FROM pg_indexes WHERE indexname = 'ix_items_trigrams'")
        await connection.execute("DROP INDEX IF EXISTS ix_items_trigrams")
        await connection.execute(SEED_USERS, USERS, hashed)
        await connection.execute(SEED_SESSIONS, USERS, scopes)
        await connection.execute(SEED_ITEMS, items, USERS, timeout=300)
        if trigrams is not None:
            await connection.execute(trigrams, timeout=300)
        for table, rows in {"users": USERS, "sessions": USERS, "items": items}.items():
            await connection.execute(f"SELECT setval(pg_get_serial_sequence('{table}', 'id'), {rows})")
            # When it runs is no difference between servers: `tidy` does its work between the measurements.
            await connection.execute(f"ALTER TABLE {table} SET (autovacuum_enabled = false)")
        await connection.execute("VACUUM ANALYZE", timeout=300)
    finally:
        await connection.close()


async def tidy(url: str) -> None:
    """Take away what a scenario has added, so that the next one finds as many rows."""
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(f"DELETE FROM items WHERE id > {ITEMS}", timeout=300)
        await connection.execute(f"DELETE FROM sessions WHERE id > {USERS}", timeout=300)
        await connection.execute("VACUUM ANALYZE items, sessions", timeout=300)
        await connection.execute("CHECKPOINT")
    except asyncpg.InsufficientPrivilegeError:
        pass  # a role that may not ask for a checkpoint gets one when PostgreSQL sees fit
    finally:
        await connection.close()


def issue_tokens(secret: str, scopes: str) -> list[str]:
    """One for each session, as `POST /auth/login` would give it."""
    tokens = Tokens(Keyring.of_secrets(secret.encode()), "strata", "strata")
    now = datetime.now(UTC)
    return [
        tokens.issue(
            "access",
            user_id=number,
            session_id=number,
            session_key=f"{number:032x}",
            jti=secrets.token_hex(16),
            issued_at=now,
            expires_at=now + timedelta(hours=2),
            scope=scopes,
        )
        for number in range(1, USERS + 1)
    ]
