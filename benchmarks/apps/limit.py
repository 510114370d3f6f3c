"""The limit: about the least that CPython can do for a request with a token and a row from PostgreSQL.

Bare ASGI without a framework, asyncpg without its pool (whose reset is one more round trip), one hand-written statement
a request, msgspec for JSON. It checks the token's signature, time and kind, but neither that its session still exists
nor its scopes; it knows no limits, no log and no middleware. A yardstick, not an example.
"""

import asyncio
import hmac
import os
import time
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections import deque
from collections.abc import Awaitable, Callable, MutableMapping
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any
from urllib.parse import parse_qsl

import asyncpg
import msgspec
from argon2 import PasswordHasher
from argon2.exceptions import VerifyMismatchError

type Message = MutableMapping[str, Any]
type Receive = Callable[[], Awaitable[Message]]
type Send = Callable[[Message], Awaitable[None]]

SECRET = os.environ["JWT_SECRET_KEY"].encode()
CONNECTIONS = 10
ITEM = """
    {0}.id, {0}.sku, {0}.title, {0}.description, {0}.price, trim_scale({0}.tax_rate) AS tax_rate, {0}.stock,
    {0}.is_done, {0}.version, {0}.created_at, {0}.updated_at, {0}.owner_id,
    round({0}.price * (1 + {0}.tax_rate), 2) AS price_with_tax, users.username
"""
ME = """
    SELECT id, username, email, full_name, role, is_active, is_verified, created_at, updated_at
    FROM users WHERE id = $1 AND is_active
"""
LIST = f"""
    SELECT {ITEM.format("items")}, (SELECT count(*) FROM items WHERE owner_id = $1 AND is_done = $2) AS total
    FROM items JOIN users ON users.id = items.owner_id
    WHERE items.owner_id = $1 AND items.is_done = $2
    ORDER BY items.created_at DESC, items.id DESC LIMIT $3 OFFSET $4
"""
READ = f"SELECT {ITEM.format('items')} FROM items JOIN users ON users.id = items.owner_id WHERE items.id = $1"
CREATE = f"""
    WITH new AS (
        INSERT INTO items (owner_id, sku, title, description, price, tax_rate, stock, is_done, version, created_at,
                           updated_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 1, now(), now()) RETURNING *
    )
    SELECT {ITEM.format("new")} FROM new JOIN users ON users.id = new.owner_id
"""
UPDATE = f"""
    UPDATE items SET title = coalesce($3, items.title), description = coalesce($4, items.description),
                     price = coalesce($5, items.price), tax_rate = coalesce($6, items.tax_rate),
                     stock = coalesce($7, items.stock), is_done = coalesce($8, items.is_done),
                     version = items.version + 1, updated_at = now()
    FROM users WHERE items.id = $1 AND items.owner_id = $2 AND users.id = items.owner_id
    RETURNING {ITEM.format("items")}
"""
LOGIN = "SELECT id, hashed_password FROM users WHERE username_key = $1 AND is_active"


class ItemCreate(msgspec.Struct, forbid_unknown_fields=True):
    title: Annotated[str, msgspec.Meta(min_length=1, max_length=100)]
    sku: str | None = None
    description: str | None = None
    price: Decimal = Decimal(0)
    tax_rate: Decimal = Decimal(0)
    stock: int = 0
    is_done: bool = False


class ItemUpdate(msgspec.Struct, forbid_unknown_fields=True):
    title: Annotated[str, msgspec.Meta(min_length=1, max_length=100)] | None = None
    description: str | None = None
    price: Decimal | None = None
    tax_rate: Decimal | None = None
    stock: int | None = None
    is_done: bool | None = None


class Claims(msgspec.Struct):
    sub: str
    exp: int
    type: str


class Header(msgspec.Struct):
    alg: str


encode = msgspec.json.Encoder().encode
decode_create = msgspec.json.Decoder(ItemCreate).decode
decode_update = msgspec.json.Decoder(ItemUpdate).decode
decode_claims = msgspec.json.Decoder(Claims).decode
decode_header = msgspec.json.Decoder(Header).decode
hasher = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)
threads = ThreadPoolExecutor(1)


class DeniedError(Exception):
    """No token that counts, or not the right password."""


class Pool:
    """A stack of connections and a queue of those who wait for one."""

    idle: list[asyncpg.Connection]
    waiting: deque[asyncio.Future[asyncpg.Connection]]

    async def open(self) -> None:
        self.idle = [await connect() for _ in range(CONNECTIONS)]
        self.waiting = deque()

    async def close(self) -> None:
        for connection in self.idle:
            await connection.close()

    async def take(self) -> asyncpg.Connection:
        if self.idle:
            return self.idle.pop()
        waiter = asyncio.get_running_loop().create_future()
        self.waiting.append(waiter)
        return await waiter

    def give(self, connection: asyncpg.Connection) -> None:
        while self.waiting:
            waiter = self.waiting.popleft()
            if not waiter.done():
                waiter.set_result(connection)
                return
        self.idle.append(connection)

    async def fetch(self, sql: str, *args: object) -> list[Any]:
        connection = await self.take()
        try:
            rows: list[Any] = await connection.fetch(sql, *args)
            return rows
        finally:
            self.give(connection)

    async def row(self, sql: str, *args: object) -> Any:
        connection = await self.take()
        try:
            return await connection.fetchrow(sql, *args)
        finally:
            self.give(connection)


pool = Pool()


async def connect() -> asyncpg.Connection:
    connection = await asyncpg.connect(os.environ["DATABASE_URL"])
    # Numbers go to JSON as the text that PostgreSQL sends.
    await connection.set_type_codec("numeric", schema="pg_catalog", encoder=str, decoder=str, format="text")
    return connection


def unpadded(data: bytes) -> bytes:
    return urlsafe_b64encode(data).rstrip(b"=")


def sign(user_id: int) -> bytes:
    claims = {"sub": str(user_id), "exp": int(time.time()) + 1800, "type": "access"}
    signed = unpadded(b'{"alg":"HS256","typ":"JWT"}') + b"." + unpadded(encode(claims))
    return signed + b"." + unpadded(hmac.digest(SECRET, signed, "sha256"))


def user_of(scope: Message) -> int:
    for name, value in scope["headers"]:
        if name == b"authorization" and value[:7] == b"Bearer ":
            return verify_token(value[7:])
    raise DeniedError


def verify_token(token: bytes) -> int:
    signed, _, signature = token.rpartition(b".")
    header, _, payload = signed.partition(b".")
    if decode_header(urlsafe_b64decode(header + b"==")).alg != "HS256":
        raise DeniedError
    if not hmac.compare_digest(urlsafe_b64decode(signature + b"=="), hmac.digest(SECRET, signed, "sha256")):
        raise DeniedError
    claims = decode_claims(urlsafe_b64decode(payload + b"=="))
    if claims.exp < time.time() or claims.type != "access":
        raise DeniedError
    return int(claims.sub)


async def read_body(receive: Receive) -> bytes:
    message = await receive()
    body: bytes = message.get("body", b"")
    while message.get("more_body"):
        message = await receive()
        body += message.get("body", b"")
    return body


async def reply(send: Send, status: int, body: bytes) -> None:
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def item_of(row: Any) -> dict[str, Any]:
    item = dict(row)
    item["owner"] = {"id": item.pop("owner_id"), "username": item.pop("username")}
    return item


def cursor_after(row: Any) -> str:
    created_at: datetime = row["created_at"]
    return urlsafe_b64encode(f"{created_at.isoformat()} {row['id']}".encode()).decode()


async def list_items(scope: Message, send: Send) -> None:
    me = user_of(scope)
    query = dict(parse_qsl(scope["query_string"].decode()))
    skip, limit = int(query.get("skip", 0)), min(int(query.get("limit", 20)), 100)
    rows = await pool.fetch(LIST, me, query.get("is_done") == "true", limit, skip)
    total = rows[0]["total"] if rows else 0
    items = [item_of(row) for row in rows]
    for item in items:
        del item["total"]
    cursor = cursor_after(rows[-1]) if skip + len(rows) < total else None
    page = {"items": items, "total": total, "skip": skip, "limit": limit, "next_cursor": cursor}
    await reply(send, 200, encode(page))


async def create_item(scope: Message, receive: Receive, send: Send) -> None:
    me = user_of(scope)
    new = decode_create(await read_body(receive))
    values = (new.sku, new.title, new.description, str(new.price), str(new.tax_rate), new.stock, new.is_done)
    await reply(send, 201, encode(item_of(await pool.row(CREATE, me, *values))))


async def one_item(scope: Message, receive: Receive, send: Send) -> None:
    me, id_ = user_of(scope), int(scope["path"].rpartition("/")[2])
    if scope["method"] == "PATCH":
        new = decode_update(await read_body(receive))
        money = [None if value is None else str(value) for value in (new.price, new.tax_rate)]
        row = await pool.row(UPDATE, id_, me, new.title, new.description, *money, new.stock, new.is_done)
    else:
        row = await pool.row(READ, id_)
    if row is None:
        await reply(send, 404, b'{"detail":"Not Found"}')
    else:
        await reply(send, 200, encode(item_of(row)))


async def read_me(scope: Message, send: Send) -> None:
    row = await pool.row(ME, user_of(scope))
    if row is None:
        raise DeniedError
    await reply(send, 200, encode(dict(row)))


def verify_password(hashed: str, password: str) -> bool:
    try:
        return hasher.verify(hashed, password)
    except VerifyMismatchError:
        return False


async def login(receive: Receive, send: Send) -> None:
    form = dict(parse_qsl((await read_body(receive)).decode()))
    row = await pool.row(LOGIN, form["username"])
    loop = asyncio.get_running_loop()
    if row is None or not await loop.run_in_executor(threads, verify_password, row[1], form["password"]):
        raise DeniedError
    token = {"access_token": sign(row[0]).decode(), "token_type": "bearer", "expires_in": 1800}
    await reply(send, 200, encode(token))


async def route(scope: Message, receive: Receive, send: Send) -> None:
    path: str = scope["path"]
    if path == "/api/v1/users/me":
        await read_me(scope, send)
    elif path == "/api/v1/items":
        await (list_items(scope, send) if scope["method"] == "GET" else create_item(scope, receive, send))
    elif path.startswith("/api/v1/items/"):
        await one_item(scope, receive, send)
    elif path == "/health":
        await reply(send, 200, b'{"status":"ok"}')
    elif path == "/api/v1/auth/login":
        await login(receive, send)
    else:
        await reply(send, 404, b'{"detail":"Not Found"}')


async def lifespan(receive: Receive, send: Send) -> None:
    await receive()
    await pool.open()
    await send({"type": "lifespan.startup.complete"})
    await receive()
    await pool.close()
    await send({"type": "lifespan.shutdown.complete"})


async def app(scope: Message, receive: Receive, send: Send) -> None:
    if scope["type"] == "lifespan":
        await lifespan(receive, send)
        return
    try:
        await route(scope, receive, send)
    except DeniedError:
        await reply(send, 401, b'{"detail":"Not authenticated"}')
    except (msgspec.MsgspecError, ValueError, KeyError) as error:
        await reply(send, 422, encode({"detail": str(error)}))
