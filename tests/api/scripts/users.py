"""One's own account, and for administrators all of them."""

from app.models.user import Role
from tests.api.both_ways import Both
from tests.factories import PASSWORD

USERS = "/api/v1/users"
ME = f"{USERS}/me"
NEW = "another horse battery staple"
GINA = {"username": "gina", "email": "gina@example.com", "password": PASSWORD}
JSON = {"Content-Type": "application/json"}


async def script(both: Both) -> None:
    await both.user("henry")
    await both.user("limited", scope="items:read")
    await both.user("operator", role=Role.ADMIN)
    await both.user("clerk", role=Role.ADMIN, scope="account users:read")
    await read_and_change_oneself(both)
    await change_address_and_password(both)
    await export_oneself(both)
    await list_accounts(both)
    await create_accounts(both)
    await change_accounts(both)
    await leave(both)


async def read_and_change_oneself(both: Both) -> None:
    read = await both.send(f"GET {ME}", 200, by="henry")
    tag = read.headers["etag"]
    await both.send(f"GET {ME}", 401)
    await both.send(f"HEAD {ME}", 200, by="henry")
    await both.send(f"GET {ME}", 304, by="henry", headers={"If-None-Match": tag})
    await both.send(f"GET {ME}", 304, by="henry", headers={"If-None-Match": f'W/{tag}, "x"'})
    await both.send(f"GET {ME}", 200, by="henry", headers={"If-None-Match": '"77"'})
    await both.send(f"PATCH {ME}", 401, json={"full_name": "Henry"})
    await both.send(f"PATCH {ME}", 403, by="limited", json={"full_name": "Henry"})
    await both.send(f"PATCH {ME}", 200, by="henry", json={"full_name": "Henry"}, headers={"If-Match": tag})
    await both.send(f"PATCH {ME}", 412, by="henry", json={"full_name": "Harry"}, headers={"If-Match": tag})
    await both.send(f"GET {ME}", 200, by="henry", headers={"If-None-Match": tag})
    await both.send(f"PATCH {ME}", 403, by="henry", json={"username": "harry"})
    await both.send(f"PATCH {ME}", 403, by="henry", json={"username": "harry", "password": NEW})
    await both.send(f"PATCH {ME}", 409, by="henry", json={"username": "operator", "password": PASSWORD})
    await both.send(f"PATCH {ME}", 200, by="henry", json={"username": "harry", "password": PASSWORD})
    await both.send(f"PATCH {ME}", 200, by="henry", json={"full_name": None})
    for wrong in (
        '{"full_name": 5}',
        f'{{"password": "{PASSWORD}"}}',
        '{"role": "admin"}',
        "[]",
        '"henry"',
        "null",
        "{",
    ):
        await both.send(f"PATCH {ME}", 422, by="henry", content=wrong, headers=JSON)


async def change_address_and_password(both: Both) -> None:
    wanted = {"email": "henry@new.example", "password": PASSWORD}
    await both.send(f"POST {ME}/email", 401, json=wanted)
    await both.send(f"POST {ME}/email", 403, by="henry", json=wanted | {"password": NEW})
    await both.send(f"POST {ME}/email", 409, by="henry", json=wanted | {"email": "operator@example.com"})
    await both.send(f"POST {ME}/email", 422, by="henry", json={"email": "henry"})
    await both.send(f"POST {ME}/email", 202, by="henry", json=wanted)
    await both.open_mail("link", to=wanted["email"])
    await both.send("POST /api/v1/auth/verify-email", 204, json={"token": "<link>"})
    passwords = {"current_password": PASSWORD, "new_password": NEW}
    await both.send(f"PUT {ME}/password", 401, json=passwords)
    await both.send(f"PUT {ME}/password", 403, by="henry", json=passwords | {"current_password": NEW})
    await both.send(f"PUT {ME}/password", 422, by="henry", json=passwords | {"new_password": "password"})
    await both.send(f"PUT {ME}/password", 422, by="henry", json={})
    await both.send(f"PUT {ME}/password", 204, by="henry", json=passwords)
    await both.send(f"GET {ME}", 200, by="henry")


async def export_oneself(both: Both) -> None:
    await both.send(f"GET {ME}/export", 401)
    await both.send(f"GET {ME}/export", 403, by="limited")
    await both.send(f"HEAD {ME}/export", 200, by="henry")
    await both.send(f"GET {ME}/export", 200, by="henry")
    await both.send(f"GET {ME}/export", 200, by="henry", headers={"Accept-Encoding": "gzip"})
    await both.send(f"GET {ME}/export", 429, by="henry")


async def list_accounts(both: Both) -> None:
    for url in (USERS, "/api/v2/users"):
        await both.send(f"GET {url}", 401)
        await both.send(f"GET {url}", 403, by="henry")
        page = await both.send(f"GET {url}?limit=2&sort=-username&q=e", 200, by="operator")
        cursor = page.json().get("meta", page.json())["next_cursor"]
        await both.send(f"GET {url}?limit=2&sort=-username&q=e&cursor={cursor}", 200, by="clerk")
        await both.send(f"GET {url}?limit=2&sort=id&cursor={cursor}", 422, by="operator")
        await both.send(f"GET {url}?role=admin&is_active=true", 200, by="operator")
        for query in ("sort=age", "limit=0", "role=king", "is_active=perhaps", "cursor=x", "q=%00"):
            await both.send(f"GET {url}?{query}", 422, by="operator")
    await both.send(f"GET {USERS}?skip=1&include_total=false", 200, by="operator")


async def create_accounts(both: Both) -> None:
    key = {"Idempotency-Key": "make-gina"}
    await both.send(f"POST {USERS}", 401, json=GINA)
    await both.send(f"POST {USERS}", 403, by="henry", json=GINA)
    await both.send(f"POST {USERS}", 403, by="clerk", json=GINA)
    await both.send(f"POST {USERS}", 201, by="operator", json=GINA, headers=key)
    await both.send(f"POST {USERS}", 201, by="operator", json=GINA, headers=key)
    await both.send(f"POST {USERS}", 422, by="operator", json=GINA | {"role": "admin"}, headers=key)
    await both.send(f"POST {USERS}", 409, by="operator", json=GINA)
    await both.send(f"POST {USERS}", 422, by="operator", json=GINA | {"role": "king", "is_active": 1})
    await both.send(f"POST {USERS}", 422, by="operator", json=GINA, headers={"Idempotency-Key": "a b"})


async def change_accounts(both: Both) -> None:
    ivan = await both.user("ivan")
    url = f"{USERS}/{ivan.id}"
    await both.send(f"GET {url}", 401)
    await both.send(f"GET {url}", 403, by="henry")
    tag = (await both.send(f"GET {url}", 200, by="clerk")).headers["etag"]
    await both.send(f"GET {url}", 304, by="operator", headers={"If-None-Match": tag})
    await both.send(f"HEAD {url}", 200, by="operator")
    await both.send(f"GET {USERS}/999999", 404, by="operator")
    await both.send(f"GET {USERS}/0", 422, by="operator")
    await both.send(f"PATCH {url}", 403, by="clerk", json={"is_verified": True})
    await both.send(f"PATCH {url}", 200, by="operator", json={"is_verified": True}, headers={"If-Match": tag})
    await both.send(f"PATCH {url}", 412, by="operator", json={"is_verified": False}, headers={"If-Match": tag})
    await both.send(f"PATCH {url}", 409, by="operator", json={"email": "gina@example.com"})
    await both.send(f"PATCH {url}", 422, by="operator", json={"role": "king"})
    await both.send(f"PATCH {USERS}/999999", 404, by="operator", json={})
    await both.send(f"PATCH {url}", 200, by="operator", json={"is_active": False, "email": "ivan@new.example"})
    await both.send(f"GET {ME}", 401, by="ivan")
    await both.send(f"DELETE {url}", 401)
    await both.send(f"DELETE {url}", 403, by="henry")
    await both.send(f"DELETE {url}", 412, by="operator", headers={"If-Match": tag})
    await both.send(f"DELETE {url}", 204, by="operator", headers={"If-Match": "*"})
    await both.send(f"DELETE {url}", 404, by="operator")


async def leave(both: Both) -> None:
    await both.user("jane")
    await both.send(f"DELETE {ME}", 401, content=b"{}")
    await both.send(f"DELETE {ME}", 422, by="jane")
    await both.send(f"DELETE {ME}", 403, by="jane", content=b'{"password": "wrong"}', headers=JSON)
    right = f'{{"password": "{PASSWORD}"}}'
    await both.send(f"DELETE {ME}", 412, by="jane", content=right, headers=JSON | {"If-Match": '"77"'})
    await both.send(f"DELETE {ME}", 204, by="jane", content=right, headers=JSON)
    await both.send(f"GET {ME}", 401, by="jane")
