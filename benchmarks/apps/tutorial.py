"""The tutorial: FastAPI and SQLAlchemy as most introductions put them together, on Strata's tables.

`get_current_user` selects the user, a chain of dependencies checks it, lists select and then count, ORM objects go
through `response_model`, three `BaseHTTPMiddleware` classes surround everything, the pool pings before each use, the
session's dependency commits, and passwords are checked on the event loop. A token's session is not looked at.
"""

import logging
import os
import time
import uuid
from base64 import urlsafe_b64encode
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from typing import Annotated, Any

from fastapi import APIRouter, Depends, FastAPI, HTTPException, Query, Request, Response
from fastapi.middleware.cors import CORSMiddleware
from fastapi.security import OAuth2PasswordBearer, OAuth2PasswordRequestForm
from jose import JWTError, jwt
from passlib.context import CryptContext
from pydantic import BaseModel, ConfigDict, EmailStr, Field, computed_field
from sqlalchemy import BigInteger, DateTime, ForeignKey, Numeric, String, Text, func, select
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship
from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint

SECRET_KEY = os.environ["JWT_SECRET_KEY"]
DATABASE_URL = os.environ["DATABASE_URL"].replace("postgresql://", "postgresql+asyncpg://").replace("sslmode=", "ssl=")

engine = create_async_engine(DATABASE_URL, pool_pre_ping=True)
SessionLocal = async_sessionmaker(engine, expire_on_commit=False)
pwd_context = CryptContext(
    schemes=["argon2"], argon2__memory_cost=19 * 1024, argon2__time_cost=2, argon2__parallelism=1
)
oauth2_scheme = OAuth2PasswordBearer(tokenUrl="/api/v1/auth/login")
logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s %(message)s")
logger = logging.getLogger("access")
logger.setLevel(logging.INFO)


def now() -> datetime:
    return datetime.now(UTC)


class Base(DeclarativeBase):
    pass


class User(Base):
    __tablename__ = "users"
    id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    username: Mapped[str] = mapped_column(String(255))
    username_key: Mapped[str] = mapped_column(String(255), unique=True)
    email: Mapped[str] = mapped_column(String(320))
    full_name: Mapped[str | None] = mapped_column(String(255))
    hashed_password: Mapped[str] = mapped_column(String(255))
    role: Mapped[str] = mapped_column(String(16))
    is_active: Mapped[bool]
    is_verified: Mapped[bool]
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    updated_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))


class Item(Base):
    __tablename__ = "items"
    id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    owner_id: Mapped[int] = mapped_column(ForeignKey("users.id"), index=True)
    sku: Mapped[str | None] = mapped_column(String(64))
    title: Mapped[str] = mapped_column(String(100))
    description: Mapped[str | None] = mapped_column(Text)
    price: Mapped[Decimal] = mapped_column(Numeric(12, 2))
    tax_rate: Mapped[Decimal] = mapped_column(Numeric(5, 4))
    stock: Mapped[int]
    is_done: Mapped[bool] = mapped_column(default=False)
    version: Mapped[int] = mapped_column(default=1)
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), default=now)
    updated_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), default=now, onupdate=now)
    owner: Mapped[User] = relationship(lazy="selectin")


class UserRead(BaseModel):
    model_config = ConfigDict(from_attributes=True)
    id: int
    username: str
    email: EmailStr
    full_name: str | None
    role: str
    is_active: bool
    is_verified: bool
    created_at: datetime
    updated_at: datetime


class Owner(BaseModel):
    model_config = ConfigDict(from_attributes=True)
    id: int
    username: str


class ItemRead(BaseModel):
    model_config = ConfigDict(from_attributes=True)
    id: int
    sku: str | None
    title: str
    description: str | None
    price: Decimal
    tax_rate: Decimal
    stock: int
    is_done: bool
    owner: Owner
    version: int
    created_at: datetime
    updated_at: datetime

    @computed_field
    def price_with_tax(self) -> Decimal:
        return (self.price * (1 + self.tax_rate)).quantize(Decimal("0.01"), ROUND_HALF_UP)


class ItemPage(BaseModel):
    items: list[ItemRead]
    total: int
    skip: int
    limit: int
    next_cursor: str | None


class ItemCreate(BaseModel):
    title: str = Field(min_length=1, max_length=100)
    sku: str | None = None
    description: str | None = None
    price: Decimal = Field(default=Decimal(0), ge=0, max_digits=12, decimal_places=2)
    tax_rate: Decimal = Field(default=Decimal(0), ge=0, le=1)
    stock: int = Field(default=0, ge=0)
    is_done: bool = False


class ItemUpdate(BaseModel):
    title: str | None = Field(default=None, min_length=1, max_length=100)
    description: str | None = None
    price: Decimal | None = None
    tax_rate: Decimal | None = None
    stock: int | None = None
    is_done: bool | None = None


class Token(BaseModel):
    access_token: str
    token_type: str = "bearer"
    expires_in: int = 1800


async def get_db() -> AsyncIterator[AsyncSession]:
    async with SessionLocal() as session:
        try:
            yield session
            await session.commit()
        except Exception:
            await session.rollback()
            raise


DB = Annotated[AsyncSession, Depends(get_db)]


async def get_current_user(token: Annotated[str, Depends(oauth2_scheme)], db: DB) -> User:
    credentials_error = HTTPException(401, "Could not validate credentials", {"WWW-Authenticate": "Bearer"})
    try:
        payload = jwt.decode(token, SECRET_KEY, algorithms=["HS256"], audience="strata")
        user_id = int(payload["sub"])
    except (JWTError, KeyError, ValueError):
        raise credentials_error from None
    user = (await db.execute(select(User).where(User.id == user_id))).scalar_one_or_none()
    if user is None:
        raise credentials_error
    return user


async def get_current_active_user(user: Annotated[User, Depends(get_current_user)]) -> User:
    if not user.is_active:
        raise HTTPException(400, "Inactive user")
    return user


CurrentUser = Annotated[User, Depends(get_current_active_user)]


class RequestIDMiddleware(BaseHTTPMiddleware):
    async def dispatch(self, request: Request, call_next: RequestResponseEndpoint) -> Response:
        request.state.request_id = request.headers.get("x-request-id") or str(uuid.uuid4())
        response = await call_next(request)
        response.headers["X-Request-ID"] = request.state.request_id
        return response


class ProcessTimeMiddleware(BaseHTTPMiddleware):
    async def dispatch(self, request: Request, call_next: RequestResponseEndpoint) -> Response:
        start = time.perf_counter()
        response = await call_next(request)
        response.headers["X-Process-Time"] = f"{time.perf_counter() - start:.6f}"
        return response


class LoggingMiddleware(BaseHTTPMiddleware):
    async def dispatch(self, request: Request, call_next: RequestResponseEndpoint) -> Response:
        start = time.perf_counter()
        response = await call_next(request)
        logger.info(
            "%s %s %s %.2fms %s",
            request.method,
            request.url.path,
            response.status_code,
            (time.perf_counter() - start) * 1000,
            request.state.request_id,
        )
        return response


users = APIRouter(prefix="/users", tags=["users"])
items = APIRouter(prefix="/items", tags=["items"])
auth = APIRouter(prefix="/auth", tags=["auth"])


@users.get("/me", response_model=UserRead)
async def read_me(user: CurrentUser) -> User:
    return user


@items.get("", response_model=ItemPage)
async def list_items(
    db: DB,
    user: CurrentUser,
    owner: str | None = None,
    is_done: bool = False,
    skip: Annotated[int, Query(ge=0)] = 0,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
) -> dict[str, Any]:
    query = select(Item).where(Item.is_done == is_done)
    if owner == "me":
        query = query.where(Item.owner_id == user.id)
    total = (await db.execute(select(func.count()).select_from(query.subquery()))).scalar_one()
    newest = query.order_by(Item.created_at.desc(), Item.id.desc()).offset(skip).limit(limit)
    rows = (await db.execute(newest)).scalars().all()
    more = skip + len(rows) < total
    cursor = urlsafe_b64encode(f"{rows[-1].created_at} {rows[-1].id}".encode()).decode() if more else None
    return {"items": rows, "total": total, "skip": skip, "limit": limit, "next_cursor": cursor}


async def get_item_or_404(db: AsyncSession, item_id: int) -> Item:
    item = (await db.execute(select(Item).where(Item.id == item_id))).scalar_one_or_none()
    if item is None:
        raise HTTPException(404, "Item not found")
    return item


@items.get("/{item_id}", response_model=ItemRead)
async def read_item(item_id: int, db: DB, _: CurrentUser) -> Item:
    return await get_item_or_404(db, item_id)


@items.post("", response_model=ItemRead, status_code=201)
async def create_item(data: ItemCreate, db: DB, user: CurrentUser) -> Item:
    item = Item(**data.model_dump(), owner_id=user.id)
    db.add(item)
    await db.commit()
    await db.refresh(item)
    return item


@items.patch("/{item_id}", response_model=ItemRead)
async def update_item(item_id: int, data: ItemUpdate, db: DB, user: CurrentUser) -> Item:
    item = await get_item_or_404(db, item_id)
    if item.owner_id != user.id:
        raise HTTPException(403, "Not enough permissions")
    for key, value in data.model_dump(exclude_unset=True).items():
        setattr(item, key, value)
    item.version += 1
    await db.commit()
    await db.refresh(item)
    return item


@auth.post("/login")
async def login(form: Annotated[OAuth2PasswordRequestForm, Depends()], db: DB) -> Token:
    user = (await db.execute(select(User).where(User.username_key == form.username))).scalar_one_or_none()
    if user is None or not pwd_context.verify(form.password, user.hashed_password):
        raise HTTPException(401, "Incorrect username or password")
    claims = {"sub": str(user.id), "aud": "strata", "exp": now() + timedelta(minutes=30)}
    return Token(access_token=jwt.encode(claims, SECRET_KEY, algorithm="HS256"))


app = FastAPI(title="Tutorial")
app.add_middleware(CORSMiddleware, allow_origins=["http://localhost:5173"], allow_methods=["*"], allow_headers=["*"])
app.add_middleware(LoggingMiddleware)
app.add_middleware(ProcessTimeMiddleware)
app.add_middleware(RequestIDMiddleware)
api = APIRouter(prefix="/api/v1")
api.include_router(users)
api.include_router(items)
api.include_router(auth)
app.include_router(api)


@app.get("/health")
async def health() -> dict[str, str]:
    return {"status": "ok"}
