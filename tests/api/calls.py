"""The calls of `/auth` that tests make again and again."""

import httpx

from tests.factories import PASSWORD

URL = "/api/v1/auth"


def bearer(access_token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {access_token}"}


async def login(
    client: httpx.AsyncClient,
    username: str,
    password: str = PASSWORD,
    *,
    headers: dict[str, str] | None = None,
    **form: str,
) -> httpx.Response:
    return await client.post(f"{URL}/login", data={"username": username, "password": password, **form}, headers=headers)


async def me(client: httpx.AsyncClient, access_token: str) -> httpx.Response:
    return await client.get("/api/v1/users/me", headers=bearer(access_token))


async def refresh(client: httpx.AsyncClient, token: str) -> httpx.Response:
    return await client.post(f"{URL}/refresh", json={"refresh_token": token})


def code(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["code"]
