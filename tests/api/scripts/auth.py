"""Registering, signing in and out, and mails with links."""

from tests.api.both_ways import Both
from tests.factories import PASSWORD

AUTH = "/api/v1/auth"
CAROL = {"username": "carol", "email": "carol@example.com", "password": PASSWORD}
SIGN_IN = {"username": "carol", "password": PASSWORD}
NEW = "another horse battery staple"
ELSEWHERE = {"Origin": "https://evil.example"}


async def script(both: Both) -> None:
    await register(both)
    await sign_in(both)
    await use_tokens(both)
    await use_the_token_endpoint(both)
    await use_cookies(both)
    await follow_mails(both)
    await sign_devices_out(both)
    await sign_out(both)


async def register(both: Both) -> None:
    for refused in ({}, {"password": "short"}, {"email": "carol"}, {"role": "admin"}, {"confirm_password": NEW}):
        await both.send(f"POST {AUTH}/register", 422, json=CAROL | refused if refused else {})
    await both.send(f"POST {AUTH}/register", 422, content=b'{"username":', headers={"Content-Type": "application/json"})
    await both.send(f"POST {AUTH}/register", 422, content=b"{}", headers={"Content-Type": "text/plain"})
    await both.send(f"POST {AUTH}/register", 201, json=CAROL | {"full_name": "Carol Ünal"})
    await both.send(f"POST {AUTH}/register", 409, json=CAROL | {"email": "other@example.com"})
    await both.send(f"POST {AUTH}/register", 409, json=CAROL | {"username": "other"})


async def sign_in(both: Both) -> None:
    await both.send(f"POST {AUTH}/login", 200, data=SIGN_IN, keep="carol")
    await both.send(f"POST {AUTH}/login", 200, data=SIGN_IN | {"scope": "items:read"}, keep="reader")
    await both.send(f"POST {AUTH}/login", 401, data=SIGN_IN | {"password": NEW})
    await both.send(f"POST {AUTH}/login", 401, data=SIGN_IN | {"username": "nobody"})
    await both.send(f"POST {AUTH}/login", 422, data={"username": "carol"})
    await both.send(f"POST {AUTH}/login", 422, data=SIGN_IN | {"scope": "nothing"})
    await both.send(f"POST {AUTH}/login", 400, content=b"{}", headers={"Content-Type": "multipart/form-data"})
    await both.user("idle", is_active=False)
    await both.send(f"POST {AUTH}/login", 403, data=SIGN_IN | {"username": "idle"})


async def use_tokens(both: Both) -> None:
    old = {"refresh_token": "<carol's>"}
    await both.send(f"POST {AUTH}/refresh", 422)
    await both.send(f"POST {AUTH}/refresh", 422, json={"refresh_token": 1})
    await both.send(f"POST {AUTH}/refresh", 401, json={"refresh_token": "nonsense"})
    await both.send(f"POST {AUTH}/refresh", 401, json={"refresh_token": "<carol>"})
    await both.send(f"POST {AUTH}/refresh", 200, json=old)
    await both.send(f"POST {AUTH}/refresh", 200, json=old, keep="carol")
    await both.send("GET /api/v1/users/me", 200, by="carol")
    await both.send("GET /api/v1/users/me", 401, by="carol's")


async def use_the_token_endpoint(both: Both) -> None:
    password = SIGN_IN | {"grant_type": "password"}
    await both.send(f"POST {AUTH}/token", 200, data=password, keep="app")
    again = {"grant_type": "refresh_token", "refresh_token": "<app's>"}
    await both.send(f"POST {AUTH}/token", 200, data=again)
    await both.send(f"POST {AUTH}/token", 400, data=again | {"refresh_token": "nonsense"})
    await both.send(f"POST {AUTH}/token", 400, data=password | {"password": NEW})
    await both.send(f"POST {AUTH}/token", 400, data={"grant_type": "implicit"})
    await both.send(f"POST {AUTH}/token", 400, data={})
    await both.send(f"POST {AUTH}/token", 401, data=password | {"client_secret": "known to all"})
    await both.send(f"POST {AUTH}/token", 400, json=password)


async def use_cookies(both: Both) -> None:
    cookie = {"Cookie": "refresh_token=<page's>", "Sec-Fetch-Site": "same-origin"}
    await both.send(f"POST {AUTH}/login?cookie=true", 200, data=SIGN_IN, keep="page")
    await both.send(f"POST {AUTH}/login?cookie=true", 403, data=SIGN_IN, headers=ELSEWHERE)
    await both.send(f"POST {AUTH}/refresh", 403, headers=cookie | ELSEWHERE)
    await both.send(f"POST {AUTH}/refresh", 403, headers=cookie | {"Cookie": "refresh_token=1; refresh_token=2"})
    await both.send(f"POST {AUTH}/refresh", 200, headers=cookie, keep="page")
    await both.send(f"POST {AUTH}/logout", 204, headers=cookie)
    await both.send(f"POST {AUTH}/logout", 204, headers=cookie)


async def follow_mails(both: Both) -> None:
    await both.open_mail("link", to=CAROL["email"])
    await both.send(f"POST {AUTH}/verify-email/request", 401)
    await both.send(f"POST {AUTH}/verify-email/request", 403, by="reader")
    await both.send(f"POST {AUTH}/verify-email/request", 202, by="carol")
    await both.open_mail("link", to=CAROL["email"])
    await both.send(f"POST {AUTH}/verify-email", 400, json={"token": "nonsense"})
    await both.send(f"POST {AUTH}/verify-email", 422, json={})
    by_code = {"email": CAROL["email"], "code": "<link's code>"}
    await both.send(f"POST {AUTH}/verify-email", 422, json=by_code | {"token": "<link>"})
    await both.send(f"POST {AUTH}/verify-email", 400, json=by_code | {"code": "WDJB-MJHT"})
    await both.send(f"POST {AUTH}/verify-email", 400, json=by_code | {"email": "nobody@example.com"})
    await both.send(f"POST {AUTH}/verify-email", 204, json={"token": "<link>"})
    await both.send(f"POST {AUTH}/verify-email", 400, json={"token": "<link>"})
    await both.send(f"POST {AUTH}/verify-email/request", 202, by="carol")
    await both.send(f"POST {AUTH}/forgot-password", 422, json={"email": "carol"})
    await both.send(f"POST {AUTH}/forgot-password", 200, json={"email": "nobody@example.com"})
    await both.send(f"POST {AUTH}/forgot-password", 200, json={"email": CAROL["email"]})
    await both.open_mail("link", to=CAROL["email"])
    await both.send(f"POST {AUTH}/reset-password", 422, json={"token": "<link>", "new_password": "short"})
    await both.send(f"POST {AUTH}/reset-password", 400, json=by_code | {"code": "x", "new_password": NEW})
    await both.send(f"POST {AUTH}/reset-password", 204, json=by_code | {"new_password": NEW})
    await both.send(f"POST {AUTH}/reset-password", 400, json={"token": "<link>", "new_password": NEW})
    await both.send("GET /api/v1/users/me", 401, by="carol")


async def sign_devices_out(both: Both) -> None:
    await both.user("dave")
    await both.user("narrow", scope="items:read")
    await both.send(f"GET {AUTH}/sessions", 401)
    await both.send(f"GET {AUTH}/sessions", 403, by="narrow")
    listed = await both.send(f"GET {AUTH}/sessions", 200, by="dave")
    own = listed.json()[0]["id"]
    await both.send(f"DELETE {AUTH}/sessions/{own}", 401)
    await both.send(f"DELETE {AUTH}/sessions/{own}", 403, by="narrow")
    await both.send(f"DELETE {AUTH}/sessions/{own + 1}", 404, by="dave")
    await both.send(f"DELETE {AUTH}/sessions/x", 422, by="dave")
    await both.send(f"DELETE {AUTH}/sessions/{own}", 204, by="dave")
    await both.send(f"DELETE {AUTH}/sessions/{own}", 401, by="dave")


async def sign_out(both: Both) -> None:
    await both.user("erin")
    await both.send(f"POST {AUTH}/logout", 401, json={"refresh_token": "nonsense"})
    await both.send(f"POST {AUTH}/logout", 204, json={"refresh_token": "<erin's>"})
    await both.send(f"POST {AUTH}/logout", 204, json={"refresh_token": "<erin's>"})
    await both.send("GET /api/v1/users/me", 401, by="erin")
    await both.user("frank")
    await both.send(f"POST {AUTH}/logout-all", 401)
    await both.send(f"POST {AUTH}/logout-all", 403, by="narrow")
    await both.send(f"POST {AUTH}/logout-all", 204, by="frank", headers={"Cookie": "refresh_token=<frank's>"})
    await both.send(f"POST {AUTH}/logout-all", 401, by="frank")
