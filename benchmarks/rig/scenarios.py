"""What is measured, as data: each scenario makes requests, as the bytes that go over the wire."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from urllib.parse import urlencode

from rig.database import ITEMS, PASSWORD, USERS

VARIANTS = 4000
JSON = "application/json"


@dataclass(frozen=True, slots=True)
class Scenario:
    """`make` is given a random generator, the number of a user, and that user's token."""

    name: str
    title: str
    make: Callable[[Random, int, str], str]
    connections: tuple[int, ...] = (1, 16, 64)
    writes: bool = False
    # An answer may take as long as this when many wait for theirs: less would measure how they began.
    patience: float = 0

    def requests(self, tokens: Sequence[str], seed: int) -> list[str]:
        random = Random(seed)
        users = [random.randint(1, USERS) for _ in range(VARIANTS)]
        return [self.make(random, user, tokens[user - 1]) for user in users]


def request(method: str, path: str, token: str | None = None, body: str = "", content_type: str = JSON) -> str:
    headers = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1", "User-Agent: load", "Accept: */*"]
    if token is not None:
        headers.append(f"Authorization: Bearer {token}")
    if body:
        headers += [f"Content-Type: {content_type}", f"Content-Length: {len(body)}"]
    return "\r\n".join(headers) + "\r\n\r\n" + body


def own_item(random: Random, user: int) -> int:
    """The seed gives item n to user 1 + n % USERS."""
    return random.randrange(USERS, ITEMS, USERS) + user - 1


def health(_: Random, __: int, ___: str) -> str:
    return request("GET", "/health")


def me(_: Random, __: int, token: str) -> str:
    return request("GET", "/api/v1/users/me", token)


def list_(_: Random, __: int, token: str) -> str:
    return request("GET", "/api/v1/items?owner=me&is_done=false&limit=20", token)


def read(random: Random, user: int, token: str) -> str:
    return request("GET", f"/api/v1/items/{own_item(random, user)}", token)


def create(random: Random, _: int, token: str) -> str:
    item = {
        "title": f"A blue bicycle, number {random.randrange(10**6)}",
        "description": "Hardly used, with a bell and two lamps; to be fetched.",
        "price": f"{random.randrange(10**5) / 100:.2f}",
        "tax_rate": "0.19",
        "stock": random.randrange(50),
    }
    return request("POST", "/api/v1/items", token, json.dumps(item))


def patch(random: Random, user: int, token: str) -> str:
    changes = {"title": f"A green bicycle, number {random.randrange(10**6)}", "stock": random.randrange(50)}
    return request("PATCH", f"/api/v1/items/{own_item(random, user)}", token, json.dumps(changes))


def login(_: Random, user: int, __: str) -> str:
    form = urlencode({"username": f"user{user}", "password": PASSWORD})
    return request("POST", "/api/v1/auth/login", None, form, "application/x-www-form-urlencoded")


SCENARIOS = {
    scenario.name: scenario
    for scenario in (
        Scenario("health", "GET /health", health),
        Scenario("me", "GET /api/v1/users/me", me),
        Scenario("list", "GET /api/v1/items: 20 of one's own, and their total", list_),
        Scenario("read", "GET /api/v1/items/{id}", read),
        Scenario("patch", "PATCH /api/v1/items/{id}: title and stock", patch, writes=True),
        Scenario("create", "POST /api/v1/items", create, writes=True),
        # A password takes tens of milliseconds of a core: of 64 at once the last waits for seconds.
        Scenario("login", "POST /api/v1/auth/login", login, connections=(1, 8, 64), writes=True, patience=2),
    )
}
